"""A slow client, which trains on a part of its batches."""

from dataclasses import dataclass

import numpy as np

from fedrobust.availability.contract import AVAILABILITY, ClientAvailability
from fedrobust.bounds import PositiveShare, Share


@AVAILABILITY.register("straggler")
@dataclass(frozen=True, kw_only=True)
class Straggler(ClientAvailability):
    """Train on a part of the round's batches: the client is slow, and replies when the round ends.

    Partial work of FedProx (Li et al., 2018, arXiv:1812.06127, section 5.2), whose stragglers train a number of epochs
    drawn uniformly; here the share of the batches is drawn. Updates of a former round, which an asynchronous server
    accepts, are not simulated.

    Attributes:
        probability: of a slow round.
        least: the smallest share of the batches in a slow round.
        most: the largest share; equal to `least` for a fixed one.

    Raises:
        ValueError: `most` is below `least`.

    Example:
        >>> Straggler(least=0.5, most=0.5).work(1, np.random.default_rng(0))
        0.5
    """

    probability: Share = 1.0
    least: PositiveShare = 0.1
    most: PositiveShare = 0.9

    def __post_init__(self) -> None:
        if self.most < self.least:
            raise ValueError(f"most = {self.most}: choose a share from least = {self.least} to 1")

    def work(self, round: int, generator: np.random.Generator) -> float:
        """Return the share of the batches in `round`."""
        slow, share = generator.random() < self.probability, generator.uniform(self.least, self.most)
        return float(share) if slow else 1.0
