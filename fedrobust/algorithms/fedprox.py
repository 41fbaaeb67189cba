"""Federated optimisation with a proximal term."""

from dataclasses import dataclass

from fedrobust.algorithms.contract import ALGORITHMS
from fedrobust.bounds import Positive


@ALGORITHMS.register("fedprox")
@dataclass(frozen=True, kw_only=True)
class FedProx:
    """Add a proximal term towards the global weights to each client's loss (Li et al., 2018, arXiv:1812.06127, eq. 2).

    Attributes:
        mu: weight of half the squared distance to the global weights.
    """

    mu: Positive = 0.01

    @property
    def proximal(self) -> float:
        """The weight of the proximal term."""
        return self.mu
