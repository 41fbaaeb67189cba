"""The page of a sweep: ``sweep.html``, complete in one file, without a script."""

import importlib.resources
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.report.page import STYLE
from fedrobust.sweeps.figures import strongest_epsilon
from fedrobust.sweeps.results import Results, Row
from fedrobust.sweeps.sweep import shown

TEMPLATE = "sweep.html.j2"
SEED = "seed"
POISONING = "poisoning."
ATTACK = "poisoning.attack"
DEFENCE = ("federation.pre-aggregators", "federation.aggregator", "federation.server-optimizer")


@dataclass(frozen=True)
class Spread:
    """A figure over seeds.

    Attributes:
        mean: over them.
        low: lower end of its 95 % interval (Student's t); None with one seed.
        high: upper end.
        seeds: how many.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return the spread of `values`, None of nothing.

        Example:
            >>> spread = Spread.of([0.8, 0.9, 1.0])
            >>> round(spread.mean, 2), round(spread.low, 3), round(spread.high, 3)
            (0.9, 0.652, 1.148)
        """
        if not values:
            return None
        n, mean = len(values), sum(values) / len(values)
        if n == 1:
            return cls(mean, None, None, 1)
        from scipy.stats import t

        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
        reach = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
        return cls(mean, mean - reach, mean + reach, n)


@dataclass(frozen=True)
class Tile:
    """One field of a heatmap: its text, notes below, and how good it is from 0 to 1 (None: no colour)."""

    text: str
    notes: tuple[str, ...] = ()
    good: float | None = None

    @property
    def style(self) -> str:
        """Background from orange (bad) over white to blue (good); the ink is the page's."""
        if self.good is None:
            return ""
        good = min(1.0, max(0.0, self.good))
        colour, strength = ("--blue", 2 * good - 1) if good >= 0.5 else ("--wrong", 1 - 2 * good)
        return f"background: color-mix(in srgb, var({colour}) {55 * strength:.0f}%, var(--paper))"


@dataclass(frozen=True)
class Heatmap:
    """Attacks by defences.

    Attributes:
        title: what is shown.
        note: how to read it.
        columns: names of the defences.
        rows: (name of the attack, tiles).
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Tile, ...]], ...]


@dataclass(frozen=True)
class Facet:
    """The heatmaps of cells that differ in attack, defence and seed alone."""

    name: str
    heatmaps: tuple[Heatmap, ...]


def write(results: Results) -> Path:
    """Write ``sweep.html`` into the folder of a sweep; the file appears whole or not at all."""
    page = render(results.rows(), results.folder.name)
    with atomic(results.page) as draft:
        draft.write_text(page, encoding="utf-8", errors="replace", newline="\n")
    return results.page


def render(rows: Sequence[Row], name: str) -> str:
    """Make the page of a sweep's cells, as text."""
    import jinja2
    from markupsafe import Markup

    here = importlib.resources.files("fedrobust.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(here.joinpath(TEMPLATE).read_text(encoding="utf-8"))
    finished = [row for row in rows if row.status == "finished"]
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    return template.render(
        style=Markup(here.joinpath(STYLE).read_text(encoding="utf-8")),
        name=str(rows[0].experiment.get("name", name)) if rows else name,
        cells=len(rows),
        seeds=len({row.settings.get(SEED) for row in rows}),
        failed=[row for row in rows if row.status != "finished"],
        codes=len({row.code for row in rows}),
        facets=facets(finished),
        keys=keys,
        figures=FIGURES,
        table=[[*(shown(row.settings.get(key, "")) for key in keys)] for row in rows],
        rows=rows,
        values=[[_percent(row.figures.get(figure)) for figure, _ in FIGURES] for row in rows],
        label=label,
    )


FIGURES = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced"),
    ("auc", "AUC"),
    ("attack-success", "attack success"),
    ("true-positive-rate", "true positive"),
    ("false-positive-rate", "false positive"),
)
"""The figures of the table of cells."""


def label(row: Row) -> str:
    """Return a cell's swept values in one line."""
    return ", ".join(f"{key} = {shown(value)}" for key, value in row.settings.items())


def facets(rows: Sequence[Row]) -> list[Facet]:
    """Return the heatmaps, one group for each combination of what is neither attack, defence nor seed."""
    own = {SEED, *DEFENCE}
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        others = tuple(
            (key, shown(value))
            for key, value in row.settings.items()
            if key not in own and not key.startswith(POISONING)
        )
        groups.setdefault(others, []).append(row)
    return [
        Facet(", ".join(f"{key} = {value}" for key, value in others), tuple(heatmaps(group)))
        for others, group in groups.items()
    ]


def heatmaps(rows: Sequence[Row]) -> Iterable[Heatmap]:
    """Yield the heatmaps of cells that differ in attack, defence and seed alone, those that have figures."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    chance = max((row.figures.get("chance", 0.5) for row in rows), default=0.5)
    majority = max((row.figures.get("majority_rate", 0.0) for row in rows), default=0.0)

    def above(floor: float) -> Callable[[float], float]:
        return lambda value: (value - floor) / (1 - floor)

    yield from grid(
        rows,
        "balanced_accuracy",
        "Balanced accuracy",
        f"Of the final model on clean test images; always giving one answer scores {chance:.1%}. Worst: each seed's "
        "worst over the attacks.",
        above(chance),
        worst=min,
    )
    epsilon = strongest_epsilon(names)
    if epsilon:
        attack, size, _ = epsilon.split(" ")
        yield from grid(
            rows,
            epsilon,
            f"Accuracy under {attack.upper()} at {size}",
            f"Always answering the most frequent class scores {majority:.1%}, attacked or not: a figure near it is no "
            "robustness.",
            lambda value: value,
            worst=min,
        )
    yield from grid(
        rows,
        "attack-success",
        "Attack success",
        "Share of the test images concerned that get the answer that the attacker wants.",
        lambda value: 1 - value,
        worst=max,
        note=lambda group: _told(group, "attack-success without trigger", "without trigger"),
    )
    yield from grid(
        rows,
        "true-positive-rate",
        "Malicious clients left out",
        "Mean over the attacked rounds; below, honest clients left out. Rules that mix coordinate by coordinate leave "
        "nobody out as a whole.",
        lambda value: value,
        note=lambda group: _told(group, "false-positive-rate", "honest"),
    )
    yield from grid(
        rows,
        "distance",
        "Distance to the honest mean",
        "Of the aggregated update, as a multiple of the honest mean's length; mean over rounds.",
        lambda value: 1 / (1 + value),
        text=lambda value: f"{value:.2f}" if value < 100 else f"{value:.3g}",
    )
    yield from grid(
        rows,
        "rule-seconds",
        "Cost of the rule",
        "Seconds a round, beside training.",
        None,
        text=lambda value: f"{value:.3f} s",
        note=lambda group: _told(group, "rule-bytes", "", lambda value: f"{value / 1e6:.0f} MB"),
    )


def grid(
    rows: Sequence[Row],
    figure: str,
    title: str,
    note_: str,
    good: Callable[[float], float] | None,
    *,
    worst: Callable[..., float] | None = None,
    text: Callable[[float], str] | None = None,
    note: Callable[[Sequence[Row]], str] | None = None,
) -> Iterable[Heatmap]:
    """Yield the heatmap of one figure, if any cell has it.

    Args:
        rows: cells that differ in attack, defence and seed alone.
        figure: its name.
        title: of the heatmap.
        note_: below the title.
        good: from the figure's mean to 0 (bad) to 1 (good); None leaves the fields white.
        worst: chooses among the attacks of a seed, for a last row; None for no such row.
        text: writes the mean; a percentage if None.
        note: writes what stands below the mean, from a field's cells.
    """
    told = [row for row in rows if figure in row.figures]
    if not told:
        return
    known = {attack_of(row) for row in told} | {defence_of(row) for row in told}
    attacks = [attack for attack in dict.fromkeys(map(attack_of, rows)) if attack in known]
    defences = [defence for defence in dict.fromkeys(map(defence_of, rows)) if defence in known]
    write_ = text or (lambda value: f"{value:.1%}")

    def tile(group: Sequence[Row], values: Sequence[float]) -> Tile:
        spread = Spread.of(values)
        if spread is None:
            return Tile("–")
        between = ""
        if spread.low is not None and spread.high is not None and text is None:
            between = f"{100 * max(0.0, spread.low):.1f}–{100 * min(1.0, spread.high):.1f}"
        notes = [between, note(group) if note and group else ""]
        return Tile(write_(spread.mean), tuple(filter(None, notes)), good(spread.mean) if good else None)

    lines = []
    for attack in attacks:
        groups = [
            [row for row in told if (attack_of(row), defence_of(row)) == (attack, defence)]
            for defence in defences
        ]
        lines.append((attack, tuple(tile(group, [row.figures[figure] for row in group]) for group in groups)))
    if worst and len(attacks) > 1:
        tiles = []
        for defence in defences:
            seeds: dict[Any, list[float]] = {}
            for row in told:
                if defence_of(row) == defence:
                    seeds.setdefault(row.settings.get(SEED), []).append(row.figures[figure])
            tiles.append(tile((), [worst(values) for values in seeds.values()]))
        lines.append(("worst", tuple(tiles)))
    yield Heatmap(title, note_, tuple(defences), tuple(lines))


def attack_of(row: Row) -> str:
    """Return what a cell's malicious clients do, in one line, with what else of them is swept."""
    attack = str(_section(row, "poisoning").get("attack", "none"))
    others = [
        f"{key.removeprefix(POISONING)} {shown(value)}"
        for key, value in row.settings.items()
        if key.startswith(POISONING) and key != ATTACK
    ]
    return ", ".join([attack, *others])


def defence_of(row: Row) -> str:
    """Return a cell's pre-aggregators, rule and server optimiser in one line."""
    federation = _section(row, "federation")
    parts = [*federation.get("pre-aggregators", []), str(federation.get("aggregator", "mean"))]
    optimizer = str(federation.get("server-optimizer", "none"))
    return " → ".join(parts + ([optimizer] if optimizer != "none" else []))


def _section(row: Row, name: str) -> Mapping[str, Any]:
    section = row.experiment.get(name)
    return section if isinstance(section, dict) else {}


def _told(
    group: Sequence[Row], figure: str, name: str, text: Callable[[float], str] = lambda value: f"{value:.0%}"
) -> str:
    values = [row.figures[figure] for row in group if figure in row.figures]
    return f"{name} {text(sum(values) / len(values))}".strip() if values else ""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
