"""The heatmaps of a sweep's page: attacks by defences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fedrobust.runs.durability import LASTING
from fedrobust.sweeps.figures import strongest_epsilon
from fedrobust.sweeps.grid import Heatmap, grid_of
from fedrobust.sweeps.notes import apart, mean_note, outlasted, rejected
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import POISONING, SEED, attack_of, defence_of, measured, numbered
from fedrobust.sweeps.values import shown

DEFENCE = ("federation.pre-aggregators", "federation.aggregator", "federation.server-optimizer")


@dataclass(frozen=True)
class Facet:
    """The heatmaps of cells that differ only in attack, defence and seed."""

    name: str
    heatmaps: tuple[Heatmap, ...]


def facets(rows: Sequence[Row]) -> list[Facet]:
    """Return the heatmaps, one group for each combination of the other swept keys than attack, defence and seed.

    Where neither attack nor defence varies, that would be a group of single tiles for each: these are the rows of one.
    """
    reasons = numbered(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(elsewhere(row), []).append(row)
    if len(groups) > 1 and len({(attack_of(row), defence_of(row)) for row in rows}) == 1:
        return [Facet("", tuple(heatmaps(rows, reasons, elsewhere)))]
    return [Facet(name, tuple(heatmaps(group, reasons))) for name, group in groups.items()]


def elsewhere(row: Row) -> str:
    """Return a cell's other swept values than attack, defence and seed, as text."""
    return ", ".join(
        f"{key} = {shown(value)}"
        for key, value in row.settings.items()
        if key not in (SEED, *DEFENCE) and not key.startswith(POISONING)
    )


def heatmaps(
    rows: Sequence[Row],
    reasons: Mapping[tuple[str, str], int] | None = None,
    line_of: Callable[[Row], str] = attack_of,
) -> Iterable[Heatmap]:
    """Yield the heatmaps of cells that differ only in attack, defence and seed, one for each measured metric.

    Args:
        rows: the cells.
        reasons: reason for missing results -> its number; see `numbered`.
        line_of: returns the name of a cell's row, its attack if nothing else is given.
    """
    grid = partial(grid_of, reasons=reasons or {}, line_of=line_of)
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    yield from grid(
        rows,
        "balanced_accuracy",
        "Balanced accuracy",
        f"Of the final model on clean test images{constant(rows, 'chance', '; a')}. Harm: points lost against the same "
        "study without the attack. Cost: points that the rule loses without an attack, against the mean. Worst: the "
        "worst attack of each seed, a bound where cells have no result or attacks of other defences were not run.",
        above_chance,
        worst=min,
        note=apart,
    )
    epsilon = strongest_epsilon(names)
    if epsilon:
        attack, size, _ = epsilon.rsplit(" ", 2)
        majority = constant(rows, "majority_rate", "A")
        yield from grid(
            rows,
            epsilon,
            f"Accuracy under {attack.upper()} at {size}",
            f"{majority}, attacked or not: a figure near it is no robustness." if majority else "",
            as_it_is,
            worst=min,
        )
    yield from grid(
        rows,
        "attack-success",
        "Attack success",
        "Share of the targeted test images that are classified as the attacker wants.",
        lambda value, _: 1 - value,
        worst=max,
        note=lambda group: mean_note(group, "attack-success without trigger", "without trigger"),
        images="attack-success images",
        attacked=True,
    )
    yield from grid(
        rows,
        "durability",
        "Durability",
        f"Rounds from the end of the attack until its success falls below {LASTING:.0%}; at least, where it outlasted "
        "the run.",
        None,
        text=lambda value: f"{value:.1f}".removesuffix(".0"),
        note=outlasted,
        images="",
        attacked=True,
    )
    yield from grid(
        rows,
        "true-positive-rate",
        "Malicious clients rejected",
        "Mean over the attacked rounds; below, honest clients rejected, and those of unusual class mixes. Rules that "
        "weight clients, or aggregate each coordinate, reject no client as a whole: they have no such figure (–).",
        as_it_is,
        note=rejected,
        attacked=True,
        images="",
    )
    yield from grid(
        rows,
        "distance",
        "Distance to the honest mean",
        "Of the aggregated update, as a multiple of the honest mean's length; mean over rounds.",
        lambda value, _: 1 / (1 + value),
        text=lambda value: f"{value:.2f}" if value < 100 else f"{value:.3g}",
        images="",
    )
    yield from grid(
        rows,
        "rule-seconds",
        "Cost of the rule",
        "Seconds a round, beside training.",
        None,
        text=lambda value: f"{value:.3f} s",
        note=lambda group: mean_note(group, "rule-bytes", "", lambda value: f"{value / 1e6:.0f} MB"),
        images="",
    )


def as_it_is(value: float, _: Sequence[Row]) -> float:
    """Return a share of which more is better, as goodness."""
    return value


def above_chance(value: float, group: Sequence[Row]) -> float | None:
    """Return where a balanced accuracy lies between a constant classifier's (0) and 1, on its own cells' test images.

    None where these say nothing: no cell has the constant classifier's, or that is 1, as on images of one class.
    """
    floors = [row.figures["chance"] for row in group if "chance" in row.figures]
    if not floors or max(floors) >= 1:
        return None
    floor = sum(floors) / len(floors)
    return (value - floor) / (1 - floor)


def constant(rows: Sequence[Row], figure: str, article: str) -> str:
    """Return what a constant classifier scores, as text after `article`, a range over data sets; "" if not known."""
    known = sorted(row.figures[figure] for row in rows if measured(row, figure))
    if not known:
        return ""
    ends = dict.fromkeys(f"{value:.1%}" for value in (known[0], known[-1]))
    return f"{article} constant classifier scores {' to '.join(ends)}"
