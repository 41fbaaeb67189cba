"""The section on hospitals: the global model on the test images of each."""

from typing import Any

from fedrobust.report import wording
from fedrobust.report.folder import Run
from fedrobust.report.sections.cells import score_cell, versus
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs.hospital_gap import measured_alike, told_apart, worst_and_best
from fedrobust.runs.record import (
    ClinicalRecord,
    FigureRecord,
    HospitalRecord,
    HospitalsRecord,
    MetricsRecord,
)

SENSITIVITY, CALIBRATION = "sensitivity at 90% specificity", "calibration error"

MOST_CLIENTS = 8
"""Clients that are listed beside a hospital's name."""


def hospitals(run: Run) -> dict[str, Any]:
    """Return the table of the hospitals, that of their net benefits, and a sentence on the worst of them.

    It is empty where all clients' test images are the same.
    """
    found = run.record.hospitals
    if found is None:
        return {}
    return {"table": _table(found), "benefit": _benefit(found), "sentence": _worst(found)}


def _worst(found: HospitalsRecord) -> str:
    """Return the hospitals with the lowest and the highest balanced accuracy in a sentence, with their intervals."""
    if not measured_alike(found.hospitals):
        return (
            "The hospitals' test images do not have the same classes: their balanced accuracies are means over "
            "different ones, and are not compared."
        )
    pair = worst_and_best(found)
    if pair is None or found.gap is None:
        return ""
    worst, best = pair
    low, high = _balanced(worst), _balanced(best)
    if not told_apart(worst, best):
        return (
            f"Balanced accuracy is lowest at “{worst.name}”, {low}, and highest at “{best.name}”, {high}: their "
            "intervals overlap, so that these hospitals are not told apart."
        )
    return (
        f"The model is worst at “{worst.name}”: balanced accuracy {low}, {100 * found.gap:.1f} points below the best "
        f"hospital, “{best.name}”, {high}."
    )


def _balanced(one: HospitalRecord) -> str:
    """Return a balanced accuracy with its interval, as text."""
    metrics = one.metrics or MetricsRecord(accuracy=0.0)
    limits = wording.interval("balanced_accuracy", metrics.limits("balanced_accuracy"))
    return percent(metrics.balanced_accuracy) + (f" ({limits})" if limits else "")


def _table(found: HospitalsRecord) -> Table:
    head = [
        Cell("Accuracy"),
        Cell("Against the majority"),
        Cell("Balanced accuracy"),
        Cell("AUC"),
        Cell("Sensitivity", "at 90% specificity"),
        Cell("Calibration error", "root mean square"),
    ]
    attacks = list(
        dict.fromkeys((attack, size) for one in found.hospitals for attack, size in _attacked(one))
    )
    head += [Cell(wording.attack_name(attack), f"accuracy at {size}") for attack, size in attacks]
    rows = [
        (_name(one), [*_cells(one), *(score_cell(_attacked(one).get(key), "accuracy") for key in attacks)])
        for one in found.hospitals
    ]
    return Table("Hospital", head, rows, "The global model on each hospital’s test images")


def _attacked(one: HospitalRecord) -> dict[tuple[str, str], MetricsRecord]:
    """Return the metrics under each attack, by attack and epsilon."""
    return {
        (attack, size): metrics for attack, curve in one.robust.items() for size, metrics in curve.items()
    }


def _name(one: HospitalRecord) -> Cell:
    clients = [str(client) for client in one.clients[:MOST_CLIENTS]]
    clients += ["…"] * (len(one.clients) > MOST_CLIENTS)
    notes = [one.shift] if one.shift and one.shift != one.name else []
    notes += [f"client{'s' * (len(one.clients) > 1)} {', '.join(clients)}"] if clients else []
    notes += [wording.count(one.metrics.n, "image")] if one.metrics else []
    return Cell(one.name, " · ".join(notes))


def _cells(one: HospitalRecord) -> list[Cell]:
    metrics = one.metrics
    figures = metrics.figures if metrics else {}
    return [
        _score(metrics, "accuracy"),
        versus(metrics),
        _score(metrics, "balanced_accuracy"),
        _score(metrics, "auc"),
        _figure(figures.get(SENSITIVITY)),
        _figure(figures.get(CALIBRATION)),
    ]


def _score(metrics: ClinicalRecord | None, name: str) -> Cell:
    """Return a score with its interval, and what there is too little of for it to be trusted."""
    cell = score_cell(metrics, name)
    few = metrics.too_few.get(name) if metrics and cell.text != NONE else None
    return Cell(cell.text, " · ".join(filter(None, (cell.note, f"too few: {few}" if few else ""))))


def _figure(figure: FigureRecord | None) -> Cell:
    if figure is None or figure.value is None:
        return Cell(NONE)
    few = f"too few: {figure.too_few}" if figure.too_few else ""
    limits = "" if figure.interval is None else "–".join(map(percent, figure.interval))
    return Cell(percent(figure.value), " · ".join(filter(None, (limits, few))))


def _benefit(found: HospitalsRecord) -> Table | None:
    """Return the net benefits by threshold; None where no hospital has any."""
    thresholds = list(dict.fromkeys(each for one in found.hospitals for each in one.net_benefit))
    if not thresholds:
        return None
    head = [Cell(f"from {float(each):.0%}", "model · treat all") for each in thresholds]
    rows = [
        (Cell(one.name), [_net(one.net_benefit.get(each)) for each in thresholds]) for one in found.hospitals
    ]
    return Table(
        "Hospital", head, rows, "Net benefit of treating from a probability of disease on; treat none: 0"
    )


def _net(benefit: tuple[float, float] | None) -> Cell:
    if benefit is None:
        return Cell(NONE)
    model, everybody = benefit
    return Cell(*(f"{value:.3f}".replace("-", "−") for value in (model, everybody)))
