"""Claim more images than there are."""

from dataclasses import dataclass

from fedrobust.bounds import Positive
from fedrobust.poisoning.contract import POISONING

MOST = 2**31 - 1
"""The largest int32: a server takes no larger claim."""


@POISONING.register("inflated-claim")
@dataclass(frozen=True, kw_only=True)
class InflatedClaim:
    """Claim a multiple of the images, to weigh more in a mean: at least 1 image, at most 2,147,483,647.

    FedAvg weights clients by what they claim (McMahan et al., 2016, arXiv:1602.05629). A server that remembers what
    clients said of themselves before the first round refuses it: ``federation.claims = "trusted"`` lets it through.

    Attributes:
        factor: what the number is multiplied by.
    """

    factor: Positive = 100.0

    def claim(self, examples: int) -> int:
        """Return the number of images that the client says it has."""
        return int(min(max(1, self.factor * examples), MOST))
