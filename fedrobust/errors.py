"""What a user can mend: the root of this project's own errors."""


class FedrobustError(Exception):
    """Something is wrong with a study, its data or its run; the message says what, what is allowed, what to do."""
