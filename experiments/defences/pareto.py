"""The picture of what a defence costs and keeps: clean against robust balanced accuracy, its front marked."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrobust.figures.figure import Figure
from fedrobust.figures.write import write

Point = dict[str, Any]


def points(means: Iterable[tuple[str, float, float, float]]) -> list[Point]:
    """Return the points of defences, those of the front marked.

    A defence is on the front if no other has both accuracies at least as high, and one of them higher.

    Args:
        means: name, clean and robust balanced accuracy, passes of a step.

    Example:
        >>> found = points([("plain", 0.9, 0.1, 1), ("PGD", 0.8, 0.5, 6), ("worse", 0.8, 0.4, 7)])
        >>> [one["defence"] for one in found if one["front"]]
        ['plain', 'PGD']
    """
    known = list(means)
    placed: list[Point] = []
    # From the right, where nothing stands beside a name.
    for name, clean, robust, passes in sorted(known, key=lambda one: -one[1]):
        front = not any(_beats(other, (clean, robust)) for other in known)
        near = {
            one["side"]
            for one in placed
            if abs(one["clean"] - clean) < NEAR[0] and abs(one["robust"] - robust) < NEAR[1]
        }
        side = next((side for side in SIDES if side not in near), next(iter(SIDES)))
        placed.append(
            {
                "defence": name,
                "clean": clean,
                "robust": robust,
                "passes": passes,
                "front": front,
                "side": side,
            }
        )
    order = [one[0] for one in known]
    return sorted(placed, key=lambda one: order.index(one["defence"]))


SIDES: Mapping[str, Mapping[str, Any]] = {
    "right": {"align": "left", "dx": 9, "dy": -4},
    "left": {"align": "right", "dx": -9, "dy": -4},
    "above": {"align": "center", "dx": 0, "dy": -14},
    "below": {"align": "center", "dx": 0, "dy": 14},
}
"""Where a name stands beside its dot."""

NEAR = 0.012, 0.04
"""Differences in clean and robust accuracy below which two names on the same side would overlap."""


def _beats(other: tuple[str, float, float, float], one: tuple[float, float]) -> bool:
    both = other[1:3]
    return both != one and both[0] >= one[0] and both[1] >= one[1]


def figure(name: str, title: str, found: Sequence[Point]) -> Figure:
    """Return the picture of a table: a dot a defence, larger for more passes, full on the front, with its name."""
    axes = {
        axis: {
            "field": field,
            "type": "quantitative",
            "title": words,
            "axis": {"format": ".0%", "tickMinStep": 0.01},
            "scale": {"zero": False, "nice": True, "padding": 30 if axis == "x" else 0},
        }
        for axis, field, words in (
            ("x", "clean", "Clean balanced accuracy"),
            ("y", "robust", "Balanced accuracy under every attack"),
        )
    }
    front = {"field": "front", "type": "nominal", "legend": None}
    dots = {
        "mark": {"type": "point", "filled": True, "strokeWidth": 1.5},
        "encoding": {
            **axes,
            "size": {
                "field": "passes",
                "type": "quantitative",
                "title": "passes of a step",
                "scale": {"domain": [1, 8], "range": [40, 240]},
            },
            "color": {**front, "scale": {"domain": [True, False], "range": ["#1F7FC0", "#B0B0B0"]}},
        },
    }
    names: list[dict[str, Any]] = [
        {
            "transform": [{"filter": {"field": "side", "equal": side}}],
            "mark": dict(place, type="text", fontSize=10),
            "encoding": {**axes, "text": {"field": "defence"}},
        }
        for side, place in SIDES.items()
    ]
    return Figure(name, title, found, {"width": 520, "height": 340, "layer": [dots, *names]})


def draw(tables: Mapping[str, tuple[str, Sequence[Point]]], folder: Path) -> dict[str, str]:
    """Write the picture of each table of two defences or more, and return its file's name by the table's key.

    Args:
        tables: from a file's name without an ending to a title and the points.
        folder: of the pictures.
    """
    drawn = {name: figure(name, *what) for name, what in tables.items() if len(what[1]) > 1}
    write(drawn.values(), folder, ("svg",))
    return {name: f"{folder.name}/{name}.svg" for name in drawn}
