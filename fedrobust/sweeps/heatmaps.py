"""The heatmaps of a sweep's page: attacks by defences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fedrobust.runs.durability import LASTING
from fedrobust.sweeps.figures import strongest_epsilon
from fedrobust.sweeps.grid import Heatmap, grid_of
from fedrobust.sweeps.notes import apart, mean_note, outlasted, rejected
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import POISONING, SEED, attack_of, defence_of, numbered
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
    chance = max((row.figures.get("chance", 0.5) for row in rows), default=0.5)
    majority = max((row.figures.get("majority_rate", 0.0) for row in rows), default=0.0)

    def above(floor: float) -> Callable[[float], float]:
        return lambda value: (value - floor) / (1 - floor)

    yield from grid(
        rows,
        "balanced_accuracy",
        "Balanced accuracy",
        f"Of the final model on clean test images; a constant classifier scores {chance:.1%}. Harm: points lost "
        "against the same study without the attack. Cost: points that the rule loses without an attack, against the "
        "mean. Worst: the worst attack of each seed, a bound where cells have no result.",
        above(chance),
        worst=min,
        note=apart,
    )
    epsilon = strongest_epsilon(names)
    if epsilon:
        attack, size, _ = epsilon.split(" ")
        yield from grid(
            rows,
            epsilon,
            f"Accuracy under {attack.upper()} at {size}",
            f"A constant classifier scores {majority:.1%}, attacked or not: a figure near it is no robustness.",
            lambda value: value,
            worst=min,
        )
    yield from grid(
        rows,
        "attack-success",
        "Attack success",
        "Share of the targeted test images that are classified as the attacker wants.",
        lambda value: 1 - value,
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
        lambda value: value,
        note=rejected,
        attacked=True,
        images="",
    )
    yield from grid(
        rows,
        "distance",
        "Distance to the honest mean",
        "Of the aggregated update, as a multiple of the honest mean's length; mean over rounds.",
        lambda value: 1 / (1 + value),
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
