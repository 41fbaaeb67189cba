"""Why a round, or a study, cannot go on."""

from typing import Any

from fedrobust.errors import FedrobustError


class RoundError(FedrobustError, RuntimeError):
    """No new model could be made of a round: too few replies are left, or the rule can make nothing of them."""


class AttackFailedError(RoundError):
    """A malicious client failed by a fault of the study, so that its round does not measure the defence.

    Args:
        message: for the user.
        outcome: the figures of the round.
    """

    def __init__(self, message: str, outcome: Any):
        super().__init__(message)
        self.outcome = outcome


class UnmeasurableError(FedrobustError, ValueError):
    """The model that a study ends with answers with numbers that are not finite."""
