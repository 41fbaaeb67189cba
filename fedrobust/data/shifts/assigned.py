"""The site shifts of a study's clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.client_lines import client_lines
from fedrobust.data.dataset import DataError, Split
from fedrobust.data.shifts.contract import SITE_SHIFTS, SiteShift
from fedrobust.randomness import Purpose, generator


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
        example = "0-2, 5: blur(severity=2) + noise"
        return cls(*client_lines(SITE_SHIFTS, lines, clients, example))

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
