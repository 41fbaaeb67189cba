"""A client whose replies are lost."""

from dataclasses import dataclass

import numpy as np

from fedrobust.availability.contract import AVAILABILITY, ClientAvailability
from fedrobust.bounds import Share


@AVAILABILITY.register("dropout")
@dataclass(frozen=True, kw_only=True)
class Dropout(ClientAvailability):
    """Be sampled, but do not reply in some rounds: a lost connection, or a reply after the round's end.

    Replies are lost independently in each round (Bonawitz et al., 2019, arXiv:1902.01046, observed 6 to 10 % of the
    devices that drop out of a round).

    Attributes:
        probability: of a lost reply.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> sum(Dropout(probability=0.3).replies(1, draw) for _ in range(1000))
        723
    """

    probability: Share = 0.1

    @property
    def silent(self) -> bool:
        """Whether every reply is lost."""
        return self.probability == 1

    def replies(self, round: int, generator: np.random.Generator) -> bool:
        """Return whether the reply arrives."""
        return bool(generator.random() >= self.probability)
