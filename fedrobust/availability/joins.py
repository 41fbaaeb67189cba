"""A client that joins late."""

from dataclasses import dataclass

from fedrobust.availability.contract import AVAILABILITY, ClientAvailability
from fedrobust.bounds import Count


@AVAILABILITY.register("joins")
@dataclass(frozen=True, kw_only=True)
class Joins(ClientAvailability):
    """Become a member of the federation in a later round, as a hospital that joins a running study.

    Late arrival of Ruan et al. (2020, arXiv:2006.06954).

    Attributes:
        round: the first round in which the client may be sampled, from 1.

    Example:
        >>> [Joins(round=3).is_present(round) for round in (2, 3, 4)]
        [False, True, True]
    """

    round: Count

    def is_present(self, round: int) -> bool:
        """Return whether `round` is that of joining, or a later one."""
        return round >= self.round
