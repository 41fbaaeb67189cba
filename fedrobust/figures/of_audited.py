"""The figure of audited defences: clean against robust balanced accuracy, those that no other dominates marked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from fedrobust.figures.figure import COLOURS, Figure
from fedrobust.sweeps.audited import AuditedTable, dominates
from fedrobust.sweeps.audited_section import STEPS, limits

Point = dict[str, Any]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def figures_of_audits(tables: Sequence[AuditedTable]) -> list[Figure]:
    """Return the figure of each table of at least two combinations; larger dots took longer to train."""
    found = []
    for place, table in enumerate(tables):
        means = [
            (one.name, fmean(one.clean), fmean(one.robust), one.seconds or 0.0) for one in table.combinations
        ]
        degenerate = [one.name for one in table.combinations if one.degenerate]
        if len(means) > 1:
            name = "audited" if len(tables) == 1 else f"audited-{place}"
            title = f"Under the audit: {table.where}" if table.where else "Under the audit"
            found.append(figure_of(name, title, points(means, degenerate), "seconds of training"))
    return found


def points(means: Iterable[tuple[str, float, float, float]], degenerate: Collection[str] = ()) -> list[Point]:
    """Return the points of combinations, those of the front marked: no other dominates them.

    Degenerate ones are not on the front and dominate no other: a constant classifier is never fooled.

    A name that finds no room beside its dot is left out, unless it is on the front; the data have it.

    Args:
        means: name, clean and robust balanced accuracy, and what the size of the dot stands for.
        degenerate: names of combinations with a degenerate run.

    Example:
        >>> found = points([("plain", 0.9, 0.1, 1), ("PGD", 0.8, 0.5, 6), ("worse", 0.8, 0.4, 7)])
        >>> [one["combination"] for one in found if one["front"]]
        ['plain', 'PGD']
    """
    known = list(means)
    if not known:
        return []
    scales = [limits([one[1] for one in known]), limits([one[2] for one in known])]

    def pixels(one: tuple[str, float, float, float]) -> tuple[float, float]:
        (low, high), (bottom, top) = scales
        return WIDTH * (one[1] - low) / (high - low), HEIGHT * (top - one[2]) / (top - bottom)

    sound = [one for one in known if one[0] not in degenerate]
    front = {
        one[0]: one in sound and not any(dominates(other[1:3], one[1:3]) for other in sound) for one in known
    }
    dots = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in map(pixels, known)]
    names: list[Box] = []
    placed: list[Point] = []
    # The front has its names in any case; then from the right, where nothing stands beside a name.
    for one in sorted(known, key=lambda one: (not front[one[0]], -one[1])):
        name, clean, robust, size = one
        boxes = {side: _box(name, side, *pixels(one)) for side in SIDES}
        lost = {
            side: _outside(box) + sum(_shared(box, other) for other in names) for side, box in boxes.items()
        }
        side = min(SIDES, key=lambda side: lost[side] + sum(_shared(boxes[side], dot) for dot in dots))
        shown = front[name] or lost[side] == 0
        names += [boxes[side]] * shown
        placed.append(
            {
                "combination": name,
                "clean": clean,
                "robust": robust,
                "size": size,
                "front": front[name],
                "side": side,
                "label": name if shown else "",
            }
        )
    order = [one[0] for one in known]
    return sorted(placed, key=lambda one: order.index(one["combination"]))


WIDTH, HEIGHT = 560, 400
"""Of the picture, in pixels."""

DOT, LETTER, LINE = 7, 5.2, 11
"""Half a dot, and the mean width and the height of a letter of `FONT`, in pixels."""

FONT = 10

SIDES: Mapping[str, Mapping[str, Any]] = {
    "right": {"align": "left", "dx": 10, "dy": 0},
    "left": {"align": "right", "dx": -10, "dy": 0},
    "above": {"align": "center", "dx": 0, "dy": -14},
    "below": {"align": "center", "dx": 0, "dy": 14},
    "above right": {"align": "left", "dx": 6, "dy": -12},
    "below right": {"align": "left", "dx": 6, "dy": 12},
    "above left": {"align": "right", "dx": -6, "dy": -12},
    "below left": {"align": "right", "dx": -6, "dy": 12},
}
"""Where a name stands beside its dot, the preferred place first."""


def _box(name: str, side: str, x: float, y: float) -> Box:
    """Return the corners of a name beside the dot at x, y."""
    place, width = SIDES[side], LETTER * len(name)
    left = x + place["dx"] - {"left": 0.0, "center": 0.5, "right": 1.0}[place["align"]] * width
    middle = y + place["dy"]
    return left, middle - LINE / 2, left + width, middle + LINE / 2


def _outside(box: Box) -> float:
    """Return the area of a box that lies left or right of the field or below it.

    The scales are at the left and below; at the right the picture ends where a name does in one font, and cuts off its
    last letter in a wider one.
    """
    beside = max(0.0, -box[0]) + max(0.0, box[2] - WIDTH)
    return (box[2] - box[0]) * max(0.0, box[3] - HEIGHT) + beside * (box[3] - box[1])


def _shared(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    return max(0.0, across) * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))


def figure_of(name: str, title: str, found: Sequence[Point], size: str) -> Figure:
    """Return the figure of points: a dot a combination, blue on the front, with its name where there is room.

    Args:
        name: of its files.
        title: what it shows.
        found: the points.
        size: what the size of a dot stands for.
    """
    axes = {
        axis: {
            "field": field,
            "type": "quantitative",
            "title": words,
            "axis": {"format": ".0%", "tickCount": STEPS},
            "scale": {"domain": list(limits([one[field] for one in found]))},
        }
        for axis, field, words in (
            ("x", "clean", "Clean balanced accuracy"),
            ("y", "robust", "Balanced accuracy under every attack"),
        )
    }
    front = {"field": "front", "type": "nominal", "legend": None}
    sizes = [one["size"] for one in found]
    ends = sorted({min(sizes), max(sizes)})
    dots = {
        "mark": {"type": "point", "filled": True, "strokeWidth": 1.5},
        "encoding": {
            **axes,
            "size": {
                "field": "size",
                "type": "quantitative",
                "title": size,
                "scale": {"range": [40, 240], "zero": True},
                "legend": {"values": ends, "format": ".3~g"},
            },
            "color": {**front, "scale": {"domain": [True, False], "range": [COLOURS[0], "#B0B0B0"]}},
        },
    }
    names: list[dict[str, Any]] = [
        {
            "transform": [{"filter": {"field": "side", "equal": side}}],
            "mark": dict(place, type="text", fontSize=FONT, baseline="middle"),
            "encoding": {**axes, "text": {"field": "label"}},
        }
        for side, place in SIDES.items()
    ]
    return Figure(name, title, found, {"width": WIDTH, "height": HEIGHT, "layer": [dots, *names]})
