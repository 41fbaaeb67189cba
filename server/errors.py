"""Errors that stop a study."""

from collections.abc import Sequence
from typing import Any

from fedrobust.errors import FedrobustError


class RoundError(FedrobustError, RuntimeError):
    """A round gave no new model: too few valid replies, or the rule failed on them."""


class BrokenRuleError(FedrobustError, RuntimeError):
    """The code of a user's own rule has a fault that is no matter of the clients' numbers."""


class RuleError(ValueError):
    """A rule failed on the updates of a round."""


class AttackFailedError(RoundError):
    """A malicious client failed because of the attack's own code, so that the round does not measure the defence.

    Args:
        message: for the user.
        outcome: the figures of the round.
    """

    def __init__(self, message: str, outcome: Any):
        super().__init__(message)
        self.outcome = outcome

    @classmethod
    def of(cls, round: int, failures: Sequence[Any], attack: str, outcome: Any) -> "AttackFailedError":
        """Return the error of a round, whose sentence says what to do.

        Args:
            round: from 1.
            failures: of malicious clients, at least one.
            attack: as written in the study.
            outcome: the figures of the round.
        """
        first, others = failures[0], len(failures) - 1
        more = f" (and {others} more)" if others else ""
        return cls(
            f"round {round}: malicious client {first.client_id}{more} failed: {first.reason}. Its attack did not run, "
            f'so that the round says nothing of the defence: mend poisoning.attack = "{attack}", or set '
            'poisoning.on-failure = "mark" to go on and have such rounds marked',
            outcome,
        )


class NumbersError(RoundError):
    """A client or the new model has numbers that are not finite, and ``federation.non-finite`` is "stop"."""


class UnmeasurableError(FedrobustError, ValueError):
    """The logits of a study's final model are not finite."""
