"""The audited combinations of a sweep beside their control: which defence is worth its cost."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fedrobust.config import Experiment, default
from fedrobust.sweeps.paired import Paired, holm, paired
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import SEED, measured
from fedrobust.sweeps.values import flattened, shown

ROBUST, CLEAN = "audited balanced_accuracy", "balanced_accuracy"

DEGENERATE = "degenerate"
"""The audit's word for what cannot be told from a constant classifier: such a classifier is never fooled."""

ELSEWHERE = ("data.", "poisoning.")
"""Beginnings of keys that say where defences are compared; other swept keys say which defence it is."""


@dataclass(frozen=True)
class Audited:
    """One combination of a sweep's values, with what its audits left over seeds.

    Attributes:
        name: the values in which it differs from the control; the control's own values for itself.
        clean: balanced accuracy on all test images without an attack, of each seed.
        robust: balanced accuracy under the worst attack on each audited image, of each seed.
        limits: the 95 % interval of `robust` over images, with one seed.
        worst_class: recall of the worst class under the same attacks, of each seed.
        control: name of its control: the combination that is equal but for the recipe and the prediction-time
            defence, plain training of equal length, where that was measured; else the table's. "" for the table's
            control itself, or without one.
        gain: `robust` less that of its control with the same seed; None without one.
        cost: `clean` of its control with the same seed, less its own.
        verdicts: word of the audit -> number of seeds.
        seconds: of training, mean over seeds.
        images: that were audited.
        front: no run is degenerate, and no other such combination has both accuracies at least as high, and one of
            them higher.
    """

    name: str
    clean: tuple[float, ...]
    robust: tuple[float, ...]
    limits: tuple[float, float] | None
    worst_class: tuple[float, ...]
    control: str
    gain: Paired | None
    cost: Paired | None
    verdicts: Mapping[str, int]
    seconds: float | None
    images: int
    front: bool

    @property
    def degenerate(self) -> bool:
        """Whether a run was audited as degenerate."""
        return DEGENERATE in self.verdicts


@dataclass(frozen=True)
class AuditedTable:
    """The audited combinations where data and poisoning are the same, the most robust one first, degenerate ones last.

    Attributes:
        where: the swept values of data and poisoning, as text.
        control: name of the combination that those without a control of their own are compared with; "" if there is
            none.
        chance: balanced accuracy of a constant classifier; None if no cell has it.
        combinations: all of them.
    """

    where: str
    control: str
    chance: float | None
    combinations: tuple[Audited, ...]

    @property
    def own_controls(self) -> str:
        """A sentence on combinations with a control of their own, "" without any."""
        others = {one.control for one in self.combinations} - {"", self.control}
        return OWN_CONTROLS_LINE if others else ""

    @property
    def degenerate(self) -> str:
        """A sentence on the place of combinations with a degenerate run, "" without any."""
        return DEGENERATE_LINE if any(one.degenerate for one in self.combinations) else ""


DEFENDING = ("training.recipe", "model.defence")
"""Keys whose default is no defence."""

OWN_CONTROLS_LINE = (
    "Where another control is named, it shares the combination's other values, and has no defence."
)

DEGENERATE_LINE = (
    "Combinations with a degenerate run stand last and are not marked: without an attack such a model cannot be told "
    "from a constant classifier, which no attack changes."
)


def audited_tables(rows: Sequence[Row]) -> list[AuditedTable]:
    """Return a table for each combination of swept values of ``[data]`` and ``[poisoning]``.

    The control is the combination with the most swept values at their defaults: plain training without a
    prediction-time defence where these are swept. Of several, it is the first. There is none where no value is at its
    default, or each combination has a recipe or a prediction-time defence, as where the others were not measured. A
    combination with a defence has a control of its own where the one without it was measured that shares its other
    values: the gain of a recipe with more epochs is not that of the epochs. Gain and cost are paired by seed, with
    Student's t; the p of gains is corrected for their number (Holm).

    Args:
        rows: cells of a sweep; those without an audit are left out.

    Example:
        >>> def row(recipe, clean, robust):
        ...     study = {"training": {"recipe": recipe}}
        ...     figures = {"balanced_accuracy": clean, "audited balanced_accuracy": robust}
        ...     return Row(recipe, "finished", {"training.recipe": recipe}, study, figures, "", "", "", "not robust")
        >>> (table,) = audited_tables([row("plain", 0.9, 0.0), row("pgd", 0.85, 0.6), row("fgsm", 0.8, 0.5)])
        >>> table.control, [(one.name, one.front) for one in table.combinations]
        ('plain', [('pgd', True), ('fgsm', False), ('plain', True)])
        >>> round(table.combinations[0].gain.difference, 2), round(table.combinations[0].cost.difference, 2)
        (0.6, 0.05)
    """
    found = [row for row in rows if measured(row, ROBUST) and measured(row, CLEAN)]
    # Tables of values that vary together need not name the same keys.
    swept = dict.fromkeys(key for row in found for key in row.settings if key != SEED)
    own = [key for key in swept if not key.startswith(ELSEWHERE)]
    places: dict[str, list[Row]] = {}
    for row in found:
        there = _values_of(row, [key for key in swept if key.startswith(ELSEWHERE)])
        where = ", ".join(f"{key} = {shown(value)}" for key, value in there.items())
        places.setdefault(where, []).append(row)
    return [_table(where, group, own) for where, group in places.items()]


def verdicts_of(one: Audited) -> str:
    """Return the verdicts of a combination's audits as text, with their numbers where they differ."""
    several = len(one.verdicts) > 1
    return ", ".join(f"{count} {word}" if several else word for word, count in one.verdicts.items())


def _table(where: str, rows: Sequence[Row], keys: Sequence[str]) -> AuditedTable:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(_values_of(row, keys), sort_keys=True, default=str), []).append(row)
    own = {key: _values_of(group[0], keys) for key, group in groups.items()}
    control = _control(own)
    names = {key: _name(values, own.get(control, {})) for key, values in own.items()}
    robust, clean = (_by_seed(groups, figure) for figure in (ROBUST, CLEAN))
    controls = {key: _undefended(key, own) or control for key in groups if control and key != control}
    pairs = [paired(key, other, {"": robust}).within(1.0) for key, other in controls.items()]
    gains = dict(zip(controls, holm(pairs), strict=True))
    costs = {key: paired(other, key, {"": clean}).within(1.0) for key, other in controls.items()}
    points = {
        key: (fmean(_values(group, CLEAN)), fmean(_values(group, ROBUST)))
        for key, group in groups.items()
        if all(row.verdict != DEGENERATE for row in group)
    }
    combinations = [
        _audited(
            names[key],
            group,
            names.get(controls.get(key, ""), ""),
            gains.get(key),
            costs.get(key),
            key in points and not any(dominates(other, points[key]) for other in points.values()),
        )
        for key, group in groups.items()
    ]
    combinations.sort(key=lambda one: (one.degenerate, -fmean(one.robust), -fmean(one.clean)))
    chance = next((row.figures["chance"] for row in rows if "chance" in row.figures), None)
    return AuditedTable(where, names.get(control, ""), chance, tuple(combinations))


def dominates(other: tuple[float, float], one: tuple[float, float]) -> bool:
    """Return whether the first pair of accuracies is at least as high as the second in both, and higher in one.

    Example:
        >>> dominates((0.9, 0.5), (0.9, 0.4)), dominates((0.9, 0.4), (0.9, 0.4)), dominates((0.8, 0.5), (0.9, 0.4))
        (True, False, False)
    """
    return other != one and other[0] >= one[0] and other[1] >= one[1]


def _audited(
    name: str, rows: Sequence[Row], control: str, gain: Paired | None, cost: Paired | None, front: bool
) -> Audited:
    words = [row.verdict for row in rows if row.verdict]
    first = rows[0].figures
    limits = (first["audited low"], first["audited high"]) if "audited low" in first else None
    return Audited(
        name,
        _values(rows, CLEAN),
        _values(rows, ROBUST),
        limits if len(rows) == 1 else None,
        _values(rows, "audited worst-class recall"),
        control,
        gain,
        cost,
        {word: words.count(word) for word in dict.fromkeys(words)},
        fmean(seconds) if (seconds := _values(rows, "training-seconds")) else None,
        int(first.get("audited images", 0)),
        front,
    )


def _control(own: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the combination with the most swept values at their defaults, the first of several; "" if none has any.

    A combination with a swept recipe or prediction-time defence is no control.
    """
    found, most = "", 0
    for combination, values in own.items():
        usual = {key: value == default(Experiment, key) for key, value in values.items()}
        count = sum(usual.values())
        if count > most and all(usual.get(key, True) for key in DEFENDING):
            found, most = combination, count
    return found


def _undefended(combination: str, own: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the combination without a recipe or prediction-time defence, otherwise equal; "" if there is no other."""
    usual = {key: default(Experiment, key) for key in DEFENDING if key in own[combination]}
    twin = {**own[combination], **usual}
    return next((key for key, values in own.items() if key != combination and values == twin), "")


def _values_of(row: Row, keys: Iterable[str]) -> dict[str, Any]:
    """Return a cell's values of swept keys, also of those that stand at their defaults."""
    study = flattened(row.experiment)
    return {key: study.get(key, row.settings.get(key)) for key in keys}


def _name(own: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return the values in which a combination differs from the control, those of the control for itself."""
    parts = {key: value for key, value in own.items() if key not in usual or usual[key] != value}
    known = parts or {key: value for key, value in own.items() if value not in ("none", [], "")}
    return ", ".join(_value(key, value) for key, value in known.items()) or "as set"


def _value(key: str, value: Any) -> str:
    """Return a value as text, after its key where it does not speak for itself."""
    text = shown(value)
    return (
        text
        if isinstance(value, str | list) and text not in ("none", "-")
        else f"{key.rpartition('.')[2]} {text}"
    )


def _by_seed(groups: Mapping[str, Sequence[Row]], figure: str) -> dict[str, dict[Any, float]]:
    return {
        key: {row.experiment.get(SEED, 0): row.figures[figure] for row in rows}
        for key, rows in groups.items()
    }


def _values(rows: Sequence[Row], figure: str) -> tuple[float, ...]:
    return tuple(row.figures[figure] for row in rows if figure in row.figures)
