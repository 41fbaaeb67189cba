"""The site shifts of a study's clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.data.dataset import DataError, Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, SiteShift
from fedrobust.randomness import Purpose, generator
from fedrobust.spec import SpecError, build, split_sum


@dataclass(frozen=True)
class SiteShifts:
    """What differs at each of a study's clients.

    Attributes:
        lines: the line of ``data.site-shifts`` that a client has, by its number; others have no shift.
        shifts: the shifts of each line, in order.

    Example:
        >>> shifts = SiteShifts.of(["0-1: gamma(severity=2) + label-noise", "3: blur"], clients=5)
        >>> sorted(shifts.lines.items())
        [(0, 'gamma(severity=2) + label-noise'), (1, 'gamma(severity=2) + label-noise'), (3, 'blur')]
        >>> split = Split(np.full((2, 4, 4, 1), 99, np.uint8), np.zeros(2, np.int32))
        >>> [int(shifts.tested(client, split, 2, seed=0).images.max()) for client in (0, 2)]
        [62, 99]
    """

    lines: Mapping[int, str] = field(default_factory=dict)
    shifts: Mapping[str, tuple[SiteShift, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Sequence[str], clients: int) -> "SiteShifts":
        """Return the shifts that lines ``CLIENTS: SHIFT + SHIFT`` give.

        Clients are written as in ``0-2, 5``, or ``all``, which is meant where there are none.

        Raises:
            SpecError: a line has another form, a client does not exist or has two lines, or a shift cannot be made.
        """
        of_client: dict[int, str] = {}
        shifts: dict[str, tuple[SiteShift, ...]] = {}
        for line in lines:
            who, colon, what = (part.strip() for part in line.partition(":"))
            who, what = (who, what) if colon else ("all", who)
            if not what:
                raise SpecError(
                    f'"{line}": "CLIENTS: SHIFT + SHIFT" is allowed, as in "0-2, 5: blur(severity=2) + noise"'
                )
            shifts[what] = tuple(build(SITE_SHIFTS, each) for each in split_sum(what))
            for client in _clients(who, clients):
                if client in of_client:
                    raise SpecError(f'"{line}": client {client} has a line already; join its shifts by "+"')
                of_client[client] = what
        return cls(of_client, shifts)

    def trained(self, client: int, split: Split, classes: int, seed: int) -> Split:
        """Return the training images of a client with its shifts.

        Args:
            client: its number.
            split: its images without shifts.
            classes: number of classes.
            seed: the study's.

        Raises:
            DataError: no image is left, or a class does not exist; the message names the client.
        """
        draw = generator(seed, Purpose.SITE_SHIFT, 0, client)
        return self._shifted(client, split, classes, self._of(client), draw)

    def tested(self, client: int, split: Split, classes: int, seed: int) -> Split:
        """Return images as the client's own scanner shows them: with the shifts that change images only.

        They are the same for all clients with the same shifts.
        """
        shifts = [each for each in self._of(client) if changes_images(each)]
        return self._shifted(client, split, classes, shifts, generator(seed, Purpose.SITE_SHIFT, 1))

    def scanner(self, client: int) -> str:
        """Return a client's line if one of its shifts changes images, "" otherwise."""
        return self.lines[client] if any(map(changes_images, self._of(client))) else ""

    def changes_counts(self, client: int) -> bool:
        """Return whether one of a client's shifts may change how many images of a class it has."""
        return not all(map(changes_images, self._of(client)))

    def _of(self, client: int) -> Sequence[SiteShift]:
        return self.shifts[self.lines[client]] if client in self.lines else ()

    def _shifted(
        self,
        client: int,
        split: Split,
        classes: int,
        shifts: Sequence[SiteShift],
        draw: np.random.Generator,
    ) -> Split:
        try:
            for shift in shifts:
                split = shift(split, classes, draw)
        except DataError as error:
            raise DataError(f'data.site-shifts, client {client}, "{self.lines[client]}": {error}') from error
        return split


def changes_images(shift: Any) -> bool:
    """Return whether a shift belongs to the site's scanner, and so changes the images of tests, too."""
    return bool(getattr(shift, "CHANGES_IMAGES", False))


def _clients(who: str, clients: int) -> list[int]:
    """Return the client numbers of ``0-2, 5`` or ``all``.

    Raises:
        SpecError: they are no numbers, or there are no such clients.
    """
    if who == "all":
        return list(range(clients))
    found: list[int] = []
    for part in who.split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if not (_number(first) and (not dash or _number(last))):
            raise SpecError(f'clients "{who}": numbers and ranges are allowed, as in "0-2, 5", or "all"')
        ends = int(first), int(last if dash else first)
        if not ends[0] <= ends[1] < clients:
            raise SpecError(f'clients "{who}": the study has clients 0 to {clients - 1}, ranges ascend')
        found.extend(range(ends[0], ends[1] + 1))
    return found


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 7
