"""The heatmaps of a sweep's page: attacks by defences."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fedrobust.runs.durability import LASTING
from fedrobust.sweeps.figures import strongest_epsilon
from fedrobust.sweeps.notes import apart, count_of, mean_note, outlasted, rejected, size_of
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import (
    POISONING,
    SEED,
    attack_of,
    defence_of,
    lacks,
    measured,
    numbered,
    status_of,
    tolerance_of,
    why,
)
from fedrobust.sweeps.spread import Spread, seeds_apart
from fedrobust.sweeps.tile import Tile
from fedrobust.sweeps.values import shown

DEFENCE = ("federation.pre-aggregators", "federation.aggregator", "federation.server-optimizer")


@dataclass(frozen=True)
class Heatmap:
    """One heatmap: attacks by defences.

    Attributes:
        title: the name of the metric.
        note: its explanation.
        columns: names of the defences.
        rows: (name of the attack, tiles).
        tolerance: the f of each defence, a text per column.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    tolerance: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facet:
    """The heatmaps of cells that differ only in attack, defence and seed."""

    name: str
    heatmaps: tuple[Heatmap, ...]


def facets(rows: Sequence[Row]) -> list[Facet]:
    """Return the heatmaps, one group for each combination of the other swept keys than attack, defence and seed."""
    own, reasons = {SEED, *DEFENCE}, numbered(rows)
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        others = tuple(
            (key, shown(value))
            for key, value in row.settings.items()
            if key not in own and not key.startswith(POISONING)
        )
        groups.setdefault(others, []).append(row)
    return [
        Facet(", ".join(f"{key} = {value}" for key, value in others), tuple(heatmaps(group, reasons)))
        for others, group in groups.items()
    ]


def heatmaps(rows: Sequence[Row], reasons: Mapping[tuple[str, str], int] | None = None) -> Iterable[Heatmap]:
    """Yield the heatmaps of cells that differ only in attack, defence and seed, one for each measured metric.

    Args:
        rows: the cells.
        reasons: reason for missing results -> its number; see `numbered`.
    """
    grid = partial(grid_of, reasons=reasons or {})
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


def grid_of(
    rows: Sequence[Row],
    figure: str,
    title: str,
    note_: str,
    good: Callable[[float], float] | None,
    *,
    worst: Callable[..., float] | None = None,
    text: Callable[[float], str] | None = None,
    note: Callable[[Sequence[Row]], str] | None = None,
    images: str = "images",
    attacked: bool = False,
    reasons: Mapping[tuple[str, str], int],
) -> Iterable[Heatmap]:
    """Yield the heatmap of one metric, if any cell has it.

    An unfinished cell is shown with its status: it is never coloured as good, and the worst attack is then a bound.

    Args:
        rows: cells that differ only in attack, defence and seed, finished or not.
        figure: name of the metric.
        title: of the heatmap.
        note_: explanation below the title.
        good: maps the mean to 0 (bad) to 1 (good); None: no colours.
        worst: `min` or `max` over the attacks of a seed, for a last row; None: no such row.
        text: formats the mean; None: as a percentage.
        note: makes the note below the mean, from a field's cells.
        images: the metric with the number of images of this share; "" if it is not measured on images.
        attacked: whether only cells with an attack have the metric.
        reasons: reason for missing results -> its number.
    """
    present = [row for row in rows if measured(row, figure)]
    if not present:
        return
    open_ = [row for row in rows if lacks(row, figure, attacked)]
    known = {attack_of(row) for row in (*present, *open_)}
    attacks = [attack for attack in dict.fromkeys(map(attack_of, rows)) if attack in known]
    known = {defence_of(row) for row in (*present, *open_)}
    defences = [defence for defence in dict.fromkeys(map(defence_of, rows)) if defence in known]
    write_ = text or (lambda value: f"{value:.1%}")

    def tile(group: Sequence[Row], values: Sequence[float], without: Sequence[Row]) -> Tile:
        spread = Spread.of(values)
        states = tuple(f"{count} {state}" for state, count in Counter(map(status_of, without)).items())
        if spread is None:
            numbers = sorted({reasons.get((status_of(row), why(row)), 0) for row in without} - {0})
            see = (f"reason {', '.join(map(str, numbers))}",) if numbers else ()
            text_ = states[0] if len(states) == 1 else "no result" if states else "–"
            return Tile(text_, (*(states if len(states) > 1 else ()), *see))
        between = seeds_apart(spread, values) if text is None else ""
        size = count_of(group, images)
        notes = (between, size, note(group) if note else "", *states)
        # A mean over part of the seeds has no colour.
        colour = good(spread.mean) if good and not without else None
        return Tile(write_(spread.mean), tuple(filter(None, notes)), colour)

    def among(cells: Sequence[Row], attack: str, defence: str) -> list[Row]:
        return [row for row in cells if (attack_of(row), defence_of(row)) == (attack, defence)]

    lines = []
    for attack in attacks:
        groups = [(among(present, attack, defence), among(open_, attack, defence)) for defence in defences]
        tiles = (tile(group, [row.figures[figure] for row in group], without) for group, without in groups)
        lines.append((attack, tuple(tiles)))
    if worst and len(attacks) > 1:
        tiles_ = []
        for defence in defences:
            here = [row for row in present if defence_of(row) == defence]
            tiles_.append(
                worst_tile(
                    here,
                    [row for row in open_ if defence_of(row) == defence],
                    figure,
                    worst,
                    write_,
                    good,
                    images,
                )
            )
        lines.append(("worst", tuple(tiles_)))
    heads = tuple(tolerance_of([row for row in rows if defence_of(row) == defence]) for defence in defences)
    yield Heatmap(title, note_, tuple(defences), tuple(lines), heads)


def worst_tile(
    present: Sequence[Row],
    without: Sequence[Row],
    figure: str,
    worst: Callable[..., float],
    write_: Callable[[float], str],
    good: Callable[[float], float] | None,
    images: str = "images",
) -> Tile:
    """Return the mean over seeds of each seed's worst attack; a bound if cells lack results.

    A seed without results counts as not affected by any attack, so that the bound holds.

    Args:
        present: the cells of one defence with the metric.
        without: those that should have it, but do not.
        figure: name of the metric, a share.
        worst: `min` or `max`.
        write_: formats the mean.
        good: maps the mean to 0 (bad) to 1 (good).
        images: the metric with the number of images of this share.
    """
    seeds: dict[Any, list[float]] = {row.settings.get(SEED): [] for row in (*present, *without)}
    for row in present:
        seeds[row.settings.get(SEED)].append(row.figures[figure])
    if not present:
        return Tile("–")
    best = 1.0 if worst is min else 0.0
    values = [worst(values) if values else best for values in seeds.values()]
    mean = sum(values) / len(values)
    size = size_of(present, images)
    if without:
        bound = "at most" if worst is min else "at least"
        return Tile(
            f"{bound} {write_(mean)}",
            tuple(
                filter(None, (f"{len(without)} of {len(present) + len(without)} cells without result", size))
            ),
        )
    spread = Spread.of(values)
    assert spread is not None
    count = f"{len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
    notes = tuple(filter(None, (seeds_apart(spread, values), ", ".join(filter(None, (size, count))))))
    return Tile(write_(mean), notes, good(mean) if good else None)
