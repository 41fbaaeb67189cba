"""The clients of a study's rounds, as far as a privacy mechanism has to know them in advance."""

from dataclasses import dataclass
from typing import Literal

Sampling = Literal["all", "fixed", "poisson"]


@dataclass(frozen=True)
class Cohort:
    """How many clients take part in the rounds of a study.

    Attributes:
        clients: clients of the study.
        expected: clients in a round: their number, or its expectation with Poisson sampling.
        sampling: "all": every client in every round; "fixed": as many in each round, drawn without replacement;
            "poisson": each client with the same probability, independently of the others.
        rounds: of the study.
        malicious: most malicious clients in a round.
        delta: of the study's promise.

    Example:
        >>> Cohort(clients=10, expected=3.0, sampling="poisson", rounds=20).rate
        0.3
    """

    clients: int = 1
    expected: float = 1.0
    sampling: Sampling = "all"
    rounds: int = 1
    malicious: int = 0
    delta: float = 1e-3

    @property
    def rate(self) -> float:
        """The probability that a client is in a round."""
        return self.expected / self.clients
