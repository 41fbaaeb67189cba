"""The audited combinations on a sweep's page: a table, and a picture of what each costs and keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from statistics import fmean

from fedrobust.runs.forecast import duration
from fedrobust.sweeps.audited import Audited, AuditedTable, audited_tables, verdicts_of
from fedrobust.sweeps.paired import Paired, text_of_p
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.spread import Spread, share_limits

HEADS = (
    "combination",
    "clean",
    "robust",
    "worst class",
    "gain",
    "cost",
    "verdict",
    "training",
    "seeds",
)

LEFT, TOP, WIDTH, HEIGHT = 52, 12, 460, 300
"""Of the picture, in pixels: room for the scale, and the size of the field."""

STEPS = 4
WIDTHS = (1, 2, 3, 5, 10, 15, 20, 25)
"""Of each scale: its number of steps, and their widths in percent."""

LEAST_SEEDS = 3
"""For the interval of a difference; that of two seeds is wider than the scale."""


@dataclass(frozen=True)
class Dot:
    """A combination in the picture: its number in the table, its place in pixels, whether it is on the front."""

    number: int
    x: float
    y: float
    front: bool


@dataclass(frozen=True)
class AuditedSection:
    """A table of audited combinations as texts, and where their dots are drawn.

    Attributes:
        table: the combinations.
        lines: a line a combination, in the order of `HEADS`.
        dots: of the picture; empty with one combination.
        x_marks: (place in pixels, text) of the scale of clean accuracy.
        y_marks: the same of robust accuracy.
        tested: whether gains have a p.
    """

    table: AuditedTable
    lines: tuple[tuple[str, ...], ...]
    dots: tuple[Dot, ...]
    x_marks: tuple[tuple[float, str], ...]
    y_marks: tuple[tuple[float, str], ...]
    tested: bool


def audited_sections(rows: Sequence[Row]) -> list[AuditedSection]:
    """Return the section of each place of a sweep where cells were audited; see `audited_tables`."""
    return [_section(table) for table in audited_tables(rows)]


def _section(table: AuditedTable) -> AuditedSection:
    found = table.combinations
    low, high = limits([fmean(one.clean) for one in found])
    bottom, top = limits([fmean(one.robust) for one in found])

    def across(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * WIDTH, 1)

    def down(value: float) -> float:
        return round(TOP + (top - value) / (top - bottom) * HEIGHT, 1)

    dots = tuple(
        Dot(number, across(fmean(one.clean)), down(fmean(one.robust)), one.front)
        for number, one in enumerate(found, start=1)
    )
    return AuditedSection(
        table,
        tuple(line(one, table.control) for one in found),
        dots if len(found) > 1 else (),
        tuple((across(value), f"{value:.0%}") for value in _marks(low, high)),
        tuple((down(value), f"{value:.0%}") for value in _marks(bottom, top)),
        any(one.gain and one.gain.adjusted is not None for one in found),
    )


def line(one: Audited, control: str = "") -> tuple[str, ...]:
    """Return the figures of a combination as texts, in the order of `HEADS`; accuracies and differences in percent.

    A control of its own, other than the table's `control`, is named.
    """
    beside = f" beside {one.control}" if control and one.control not in ("", control) else ""
    return (
        one.name,
        _score(one.clean),
        _score(one.robust, one.limits),
        _score(one.worst_class),
        _difference(one.gain) + beside,
        _difference(one.cost) + beside,
        verdicts_of(one) or "–",
        "–" if one.seconds is None else duration(one.seconds),
        str(len(one.robust)),
    )


def _score(values: Sequence[float], limits: tuple[float, float] | None = None) -> str:
    """Return the mean of shares as text, in percent, with its interval; with the smallest and largest as its fallback.

    Example:
        >>> _score([0.8], (0.7, 0.9)), _score([0.8, 0.9]), _score([0.79, 0.8, 0.81])
        ('80.0 (70.0 to 90.0)', '85.0 (80.0, 90.0)', '80.0 (77.5 to 82.5)')
        >>> _score([0.0, 0.01, 0.14])
        '5.0 (seeds 0.0 to 14.0)'
    """
    spread = Spread.of(values)
    if spread is None:
        return "–"
    found = limits or share_limits(values)
    if found is None:
        return f"{100 * spread.mean:.1f}"
    low, high = found
    word = "" if limits or found == (spread.low, spread.high) else "seeds "
    within = (
        ", ".join(f"{100 * value:.1f}" for value in values)
        if spread.seeds == 2
        else f"{word}{100 * low:.1f} to {100 * high:.1f}"
    )
    return f"{100 * spread.mean:.1f} ({within})"


def _difference(pair: Paired | None) -> str:
    """Return a paired difference as text, in points, with its interval from three seeds on."""
    if pair is None or not pair.seeds:
        return "–"
    if pair.low is None or pair.high is None or pair.seeds < LEAST_SEEDS:
        return f"{100 * pair.difference:+.1f}"
    chance = "" if pair.adjusted is None else f", p {text_of_p(pair.adjusted)}"
    return f"{100 * pair.difference:+.1f} ({100 * pair.low:+.1f} to {100 * pair.high:+.1f}{chance})"


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a scale around shares: `STEPS` equal steps of whole percents, within 0 to 100 %.

    Example:
        >>> limits([0.81, 0.87]), limits([0.0, 0.72]), limits([0.995, 1.0])
        ((0.8, 0.88), (0.0, 0.8), (0.96, 1.0))
    """
    low, high = floor(100 * min(values)), ceil(100 * max(values))
    found = (
        (start, start + STEPS * step)
        for step in WIDTHS
        for start in (min(place, 100 - STEPS * step) for place in (low // step * step, low))
    )
    start, end = next(each for each in found if each[1] >= high)
    return start / 100, end / 100


def _marks(low: float, high: float) -> list[float]:
    return [low + step * (high - low) / STEPS for step in range(STEPS + 1)]
