"""One heatmap of a sweep's page: a metric of cells that differ in attack, defence and seed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedrobust.sweeps.controls import is_attacked
from fedrobust.sweeps.notes import count_of, size_of
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import (
    SEED,
    attack_of,
    defence_of,
    lacks,
    measured,
    status_of,
    tolerance_of,
    why,
)
from fedrobust.sweeps.spread import Spread, seeds_apart
from fedrobust.sweeps.tile import Tile

Good = Callable[[float, Sequence[Row]], float | None]
"""Maps a mean and the cells it is of to 0 (bad) to 1 (good), None where it has no colour."""


@dataclass(frozen=True)
class Heatmap:
    """One heatmap: attacks, or other settings, by defences.

    Attributes:
        title: the name of the metric.
        note: its explanation.
        columns: names of the defences.
        rows: (name, tiles).
        tolerance: the f of each defence, a text per column.
        head: what the rows are.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]
    tolerance: tuple[str, ...] = ()
    head: str = "attack"


def grid_of(
    rows: Sequence[Row],
    figure: str,
    title: str,
    note_: str,
    good: Good | None,
    *,
    worst: Callable[..., float] | None = None,
    text: Callable[[float], str] | None = None,
    note: Callable[[Sequence[Row]], str] | None = None,
    images: str = "images",
    attacked: bool = False,
    reasons: Mapping[tuple[str, str], int],
    line_of: Callable[[Row], str] = attack_of,
) -> Iterable[Heatmap]:
    """Yield the heatmap of one metric, if any cell has it.

    An unfinished cell is shown with its status: it is never coloured as good, and the worst attack is then a bound.

    Args:
        rows: cells that differ only in attack, defence and seed, finished or not.
        figure: name of the metric.
        title: of the heatmap.
        note_: explanation below the title.
        good: maps the mean and its cells to 0 (bad) to 1 (good); None: no colours.
        worst: `min` or `max` over the attacks of a seed, for a last row; None: no such row.
        text: formats the mean; None: as a percentage.
        note: makes the note below the mean, from a field's cells.
        images: the metric with the number of images of this share; "" if it is not measured on images.
        attacked: whether only cells with an attack have the metric.
        reasons: reason for missing results -> its number.
        line_of: returns the name of a cell's row.
    """
    present = [row for row in rows if measured(row, figure)]
    if not present:
        return
    open_ = [row for row in rows if lacks(row, figure, attacked)]
    known = {line_of(row) for row in (*present, *open_)}
    names = [name for name in dict.fromkeys(map(line_of, rows)) if name in known]
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
        colour = good(spread.mean, group) if good and not without else None
        return Tile(write_(spread.mean), tuple(filter(None, notes)), colour)

    def among(cells: Sequence[Row], name: str, defence: str) -> list[Row]:
        return [row for row in cells if (line_of(row), defence_of(row)) == (name, defence)]

    lines = []
    for name in names:
        groups = [(among(present, name, defence), among(open_, name, defence)) for defence in defences]
        tiles = (tile(group, [row.figures[figure] for row in group], without) for group, without in groups)
        lines.append((name, tuple(tiles)))
    attacks = line_of is attack_of
    if worst and attacks and len(names) > 1:
        faced = faced_by([*present, *open_])
        tiles_ = []
        for defence in defences:
            # A cell without an attack is no attack, and cannot stand for one that has no result.
            here, unknown = (
                [row for row in cells if defence_of(row) == defence and is_attacked(row)]
                for cells in (present, open_)
            )
            tiles_.append(
                worst_tile(
                    here,
                    unknown,
                    figure,
                    worst,
                    write_,
                    good,
                    images,
                    not_faced(defence, faced),
                )
            )
        lines.append(("worst", tuple(tiles_)))
    heads = tuple(tolerance_of([row for row in rows if defence_of(row) == defence]) for defence in defences)
    yield Heatmap(title, note_, tuple(defences), tuple(lines), heads, "attack" if attacks else "combination")


def faced_by(rows: Iterable[Row]) -> dict[str, set[tuple[str, Any]]]:
    """Return the attacks and seeds of each defence's attacked cells."""
    found: dict[str, set[tuple[str, Any]]] = {}
    for row in rows:
        if is_attacked(row):
            found.setdefault(defence_of(row), set()).add((attack_of(row), row.settings.get(SEED)))
    return found


def not_faced(defence: str, faced: Mapping[str, set[tuple[str, Any]]]) -> list[str]:
    """Return the attacks of other defences that were not run against one, or not with all of the seeds they share.

    Example:
        >>> not_faced("krum", {"krum": {("ipm", 0), ("ipm", 1)}, "median": {("alie", 0), ("ipm", 0), ("ipm", 2)}})
        ['alie']
    """
    own = faced.get(defence, set())
    attacks, seeds = {attack for attack, _ in own}, {seed for _, seed in own}
    missing = set().union(*faced.values()) - own
    return sorted({attack for attack, seed in missing if attack not in attacks or seed in seeds})


def worst_tile(
    present: Sequence[Row],
    without: Sequence[Row],
    figure: str,
    worst: Callable[..., float],
    write_: Callable[[float], str],
    good: Good | None,
    images: str = "images",
    missing: Sequence[str] = (),
) -> Tile:
    """Return the mean over seeds of each seed's worst attack; a bound if cells lack results, "–" if all do.

    It is a bound, too, if attacks were not run that other defences faced.

    A seed without results counts as not affected by any attack, so that the bound holds.

    Args:
        present: the attacked cells of one defence with the metric.
        without: those that should have it, but do not.
        figure: name of the metric, a share.
        worst: `min` or `max`.
        write_: formats the mean.
        good: maps the mean and its cells to 0 (bad) to 1 (good).
        images: the metric with the number of images of this share.
        missing: attacks that other defences faced, and this one did not.
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
    if without or missing:
        bound = "at most" if worst is min else "at least"
        all_ = len(present) + len(without)
        lacking = f"{len(without)} of {all_} cells without result" if without else ""
        names = ", ".join(missing)
        not_run = f"attacks that other defences of this table faced were not run: {names}" if missing else ""
        return Tile(f"{bound} {write_(mean)}", tuple(filter(None, (lacking, not_run, size))))
    spread = Spread.of(values)
    assert spread is not None
    count = f"{len(seeds)} seeds" if len(seeds) > 1 else "1 seed"
    notes = tuple(filter(None, (seeds_apart(spread, values), ", ".join(filter(None, (size, count))))))
    return Tile(write_(mean), notes, good(mean, present) if good else None)
