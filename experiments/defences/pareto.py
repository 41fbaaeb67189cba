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
    return [
        {
            "defence": name,
            "clean": clean,
            "robust": robust,
            "passes": passes,
            "front": not any(_beats(other, (clean, robust)) for other in known),
        }
        for name, clean, robust, passes in known
    ]


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
            "axis": {"format": ".0%"},
            "scale": {"zero": False, "nice": True},
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
                "title": "forward and backward passes of a step",
                "scale": {"domain": [1, 8], "range": [40, 240]},
            },
            "color": {**front, "scale": {"domain": [True, False], "range": ["#1F7FC0", "#B0B0B0"]}},
        },
    }
    names = {
        "mark": {"type": "text", "align": "left", "dx": 9, "dy": -5, "fontSize": 10},
        "encoding": {**axes, "text": {"field": "defence"}},
    }
    return Figure(name, title, found, {"width": 520, "height": 340, "layer": [dots, names]})


def draw(tables: Mapping[str, tuple[str, Sequence[Point]]], folder: Path) -> dict[str, str]:
    """Write the picture of each table of two defences or more, and return its file's name by the table's key.

    Args:
        tables: from a file's name without an ending to a title and the points.
        folder: of the pictures.
    """
    drawn = {name: figure(name, *what) for name, what in tables.items() if len(what[1]) > 1}
    write(drawn.values(), folder, ("svg",))
    return {name: f"{folder.name}/{name}.svg" for name in drawn}
