"""The section on the findings of multi-label images: the global model on each, clean and under attack."""

from collections.abc import Mapping
from typing import Any

from fedrobust.report import wording
from fedrobust.report.epsilon import Epsilon
from fedrobust.report.folder import Run
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent, score
from fedrobust.runs.record import MetricsRecord
from fedrobust.runs.record.metrics import Interval, LabelRecord


def labels(run: Run) -> dict[str, Any]:
    """Return the table of the findings and those of whole images under attack; empty where images have one class."""
    evaluation = run.global_model[0]
    clean = evaluation.clean
    if clean is None or not clean.labels:
        return {}
    return {
        "sentence": _sentence(run, clean),
        "table": _table(run, clean, evaluation.attacked),
        "images": [_images(attack, clean, curve) for attack, curve in evaluation.attacked.items()],
    }


def _sentence(run: Run, clean: MetricsRecord) -> str:
    known = [(one.auc, place) for place, one in enumerate(clean.labels or ()) if one.auc is not None]
    if not known:
        return ""
    (low, worst), (high, best) = min(known), max(known)
    attacked = run.record.section("evaluation").get("attacked-finding", "any")
    aim = "any finding" if attacked == "any" else f"“{attacked}”"
    return (
        f"Mean AUC {score('auc', clean.auc)}: from {low:.3f} (“{run.label(worst)}”) to {high:.3f} "
        f"(“{run.label(best)}”). Attacks aim at {aim}."
    )


def _table(run: Run, clean: MetricsRecord, attacked: Mapping[str, Mapping[Epsilon, MetricsRecord]]) -> Table:
    heads = wording.headlines(attacked)
    columns = [
        Cell("AUC"),
        Cell("Sensitivity"),
        Cell("Specificity"),
        Cell("Accuracy", "constant classifier"),
        *(
            Cell(f"AUC under {wording.attack_name(attack)}", f"ε {wording.epsilon(size)}")
            for attack, size, _ in heads
        ),
    ]
    rows = []
    for place, one in enumerate(clean.labels or ()):
        under = [metrics.labels[place] if metrics.labels else LabelRecord() for *_, metrics in heads]
        cells = [
            _auc(one),
            _share(one.sensitivity, one.sensitivity_interval),
            _share(one.specificity, one.specificity_interval),
            Cell(percent(one.accuracy), percent(one.majority_rate)),
            *map(_auc, under),
        ]
        rows.append((Cell(run.label(place), f"in {one.positives:,} of {clean.n:,} images"), cells))
    return Table(
        "Finding", columns, rows, "The global model on each finding; a constant classifier’s AUC is 0.5"
    )


def _images(attack: str, clean: MetricsRecord, curve: Mapping[Epsilon, MetricsRecord]) -> Table:
    head = [
        Cell("All findings right", f"constant classifier: {percent(clean.majority_exact)}"),
        Cell("An answer changed", "constant classifier: 0"),
        Cell("Right answers", f"constant classifier: {percent(clean.majority_rate)}"),
        Cell("Mean AUC", "constant classifier: 0.5"),
    ]
    rows = [
        (Cell(name), _of_images(one))
        for name, one in (("0", clean), *((s.name, m) for s, m in curve.items()))
    ]
    return Table("ε", head, rows, wording.attack_name(attack))


def _of_images(metrics: MetricsRecord) -> list[Cell]:
    return [
        Cell(
            percent(metrics.correct / metrics.n) if metrics.n else NONE,
            f"{metrics.correct:,} / {metrics.n:,}",
        ),
        Cell(NONE if metrics.changed is None else percent(metrics.changed)),
        _share(metrics.accuracy, metrics.interval.accuracy),
        Cell(score("auc", metrics.auc), wording.interval("auc", metrics.interval.auc)),
    ]


def _auc(one: LabelRecord) -> Cell:
    return Cell(NONE if one.auc is None else score("auc", one.auc), wording.interval("auc", one.auc_interval))


def _share(value: float | None, limits: Interval | None) -> Cell:
    return Cell(NONE if value is None else percent(value), wording.interval("accuracy", limits))
