"""What a user can mend: the root of this project's own errors."""


class FedrobustError(Exception):
    """Something is wrong with a study, its data or its run; the message says what, what is allowed, what to do."""


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says, or its kind where it says nothing.

    Example:
        >>> first_line(ValueError("no such layer\nmore")), first_line(KeyError())
        ('no such layer', 'KeyError')
    """
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


class ConfigError(FedrobustError, ValueError):
    """A study cannot be run as written; the message names the file, the key, and what is allowed."""
