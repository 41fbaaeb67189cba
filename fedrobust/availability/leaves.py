"""A client that leaves."""

from dataclasses import dataclass

from fedrobust.availability.contract import AVAILABILITY, ClientAvailability
from fedrobust.bounds import Count


@AVAILABILITY.register("leaves")
@dataclass(frozen=True, kw_only=True)
class Leaves(ClientAvailability):
    """Leave the federation for good, as a hospital that withdraws.

    Early departure of Ruan et al. (2020, arXiv:2006.06954). What the model learnt from its images stays in the model.

    Attributes:
        after: the last round in which the client may be sampled, from 1.

    Example:
        >>> [Leaves(after=3).is_present(round) for round in (2, 3, 4)]
        [True, True, False]
    """

    after: Count

    def is_present(self, round: int) -> bool:
        """Return whether `round` is the last one or an earlier one."""
        return round <= self.after
