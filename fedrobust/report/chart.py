"""Small line charts, drawn as SVG by the templates: both axes are shares from 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass

LEFT, TOP, SIDE = 54.0, 8.0, 240.0
"""The drawing's place in a picture of 320 by 296."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        name: in the legend.
        kind: "clean" or "attacked", for its colour.
        points: (x, y), shares.
        limits: lower and upper end of an interval at each point; empty: none.
        joined: whether the points are joined; else each has a mark.
    """

    name: str
    kind: str
    points: Sequence[Point]
    limits: Sequence[Point] = ()
    joined: bool = True

    @property
    def path(self) -> str:
        """The points as SVG's ``points``.

        Example:
            >>> Line("clean", "clean", [(0, 0), (0.5, 1)]).path
            '54.0,248.0 174.0,8.0'
        """
        return " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in self.points)

    @property
    def marks(self) -> list[tuple[str, str, str, str]]:
        """The place of each point, and the heights of its interval's ends."""
        limits = self.limits or [(y, y) for _, y in self.points]
        return [
            (f"{across(x):.1f}", f"{up(y):.1f}", f"{up(low):.1f}", f"{up(high):.1f}")
            for (x, y), (low, high) in zip(self.points, limits, strict=True)
        ]


@dataclass(frozen=True)
class Chart:
    """A chart: its title, the names of its axes, what it says in a sentence, and its lines."""

    title: str
    x: str
    y: str
    sentence: str
    lines: Sequence[Line]

    @property
    def ticks(self) -> list[tuple[str, str, str]]:
        """Text of each tick, its place across, and its place up."""
        return [(f"{share:.0%}", f"{across(share):.1f}", f"{up(share):.1f}") for share in (0.0, 0.5, 1.0)]


def across(share: float) -> float:
    """Return the horizontal place of a share."""
    return LEFT + SIDE * share


def up(share: float) -> float:
    """Return the vertical place of a share."""
    return TOP + SIDE * (1 - share)
