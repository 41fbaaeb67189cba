"""A client that is absent for some rounds."""

from dataclasses import dataclass

from fedrobust.availability.contract import AVAILABILITY, ClientAvailability
from fedrobust.bounds import Count


@AVAILABILITY.register("absent")
@dataclass(frozen=True, kw_only=True)
class Absent(ClientAvailability):
    """Be absent for some rounds in a row, and return: maintenance, or a network that is down.

    An inactive client of Ruan et al. (2020, arXiv:2006.06954).

    Attributes:
        first: the first round of the absence, from 1.
        last: the last one.

    Raises:
        ValueError: the last round is before the first one.

    Example:
        >>> [Absent(first=2, last=3).is_present(round) for round in (1, 2, 3, 4)]
        [True, False, False, True]
    """

    first: Count
    last: Count

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"last = {self.last}: choose a round from first = {self.first} on")

    def is_present(self, round: int) -> bool:
        """Return whether `round` is outside of the absence."""
        return not self.first <= round <= self.last
