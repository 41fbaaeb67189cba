"""Errors that stop a study."""

from typing import Any

from fedrobust.errors import FedrobustError


class RoundError(FedrobustError, RuntimeError):
    """A round gave no new model: too few valid replies, or the rule failed on them."""


class BrokenRuleError(FedrobustError, RuntimeError):
    """The code of a user's own rule has a fault that is no matter of the clients' numbers."""


class AttackFailedError(RoundError):
    """A malicious client failed because of the attack's own code, so that the round does not measure the defence.

    Args:
        message: for the user.
        outcome: the figures of the round.
    """

    def __init__(self, message: str, outcome: Any):
        super().__init__(message)
        self.outcome = outcome


class UnmeasurableError(FedrobustError, ValueError):
    """The logits of a study's final model are not finite."""
