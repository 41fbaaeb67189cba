"""The section on attacked images: every model under every attack."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedrobust.report import constant, findings, wording
from fedrobust.report.epsilon import Epsilon, in_words
from fedrobust.report.evaluation import Evaluation
from fedrobust.report.folder import Run
from fedrobust.report.sections.cells import right, score_cell, versus
from fedrobust.report.tables import Cell, Table
from fedrobust.runs.record import MetricsRecord

HALF_A_GREY_LEVEL = 0.5 / 255


def attacks(run: Run) -> dict[str, Any]:
    """Return the plot and the tables of METRICS under attack."""
    models = {run.global_name: run.global_model[0]} | ({"Student": run.student} if run.student else {})
    models = {name: evaluation for name, evaluation in models.items() if evaluation.attacked}
    if not models:
        text = findings.missing(run, "no model was attacked")
        return {"figure": None, "tables": [], "metrics": {}, "missing": text, "note": ""}
    # Imported here, so that writing a card does not import Plotly.
    from fedrobust.report import plots

    named = list(dict.fromkeys(attack for evaluation in models.values() for attack in evaluation.attacked))
    figure = plots.by_epsilon(models, run.norm)
    return {
        "figure": plots.rounded(figure.to_plotly_json()),
        "tables": [_attack_table(attack, models) for attack in named],
        # Scores that no model has get no button.
        "metrics": {
            metric: name
            for metric, name in plots.NAMES.items()
            if any("epsilon" in trace.meta and trace.meta["metric"] == metric for trace in figure.data)
        },
        "missing": "",
        "note": _attack_note(named, models),
    }


def _attack_note(attacks: Sequence[str], models: Mapping[str, Evaluation]) -> str:
    notes = []
    if set(attacks) == {"fgsm"}:
        notes.append(
            "FGSM is a single-step attack: images that withstand it may not withstand iterated attacks."
        )
    if any(_below_half(size) for size, _ in _all_metrics(models)):
        notes.append("An 8-bit image cannot hold a perturbation below half a grey level (†).")
    if any(constant.versus_majority(one) == "level" for _, one in _all_metrics(models)):
        notes.append("“Level”: the interval of the accuracy contains the majority rate.")
    if any(versus(one).note for _, one in _all_metrics(models)):
        notes.append(
            "“One class”: more than 95\u202f% of the predictions are, and no other is recognised, or the "
            "accuracy is not above the majority rate."
        )
    return " ".join(notes)


def _all_metrics(models: Mapping[str, Evaluation]) -> list[tuple[Epsilon, MetricsRecord]]:
    return [
        pair
        for evaluation in models.values()
        for table in evaluation.attacked.values()
        for pair in table.items()
    ]


def _attack_table(attack: str, models: Mapping[str, Evaluation]) -> Table:
    measures = ("Accuracy", "Right", "Balanced", "AUC", "vs. majority")
    sizes = sorted({size for evaluation in models.values() for size in evaluation.attacked.get(attack, {})})
    norm = sizes[0].norm if sizes else "linf"
    in_grey = norm == "linf"  # other norms than the largest change of a pixel have no grey levels
    head = [Cell("Grey levels")] * in_grey + [Cell(measure) for measure in measures] * len(models)
    clean = _attack_cells([evaluation.clean for evaluation in models.values()])
    rows = [(Cell("0"), [Cell("clean"), *clean]) if in_grey else (Cell("0", "clean"), clean)]
    for size in sizes:
        cells = _attack_cells(
            [evaluation.attacked.get(attack, {}).get(size) for evaluation in models.values()]
        )
        mark = "†" if _below_half(size) else ""
        rows.append((Cell(size.name), [Cell(wording.grey(size) + mark)] * in_grey + cells))
    groups = [("", 1)] * in_grey + [(name, len(measures)) for name in models]
    return Table("ε" if in_grey else in_words(norm), head, rows, wording.attack_name(attack), groups)


def _below_half(size: Epsilon) -> bool:
    return size.norm == "linf" and 0 < size.value < HALF_A_GREY_LEVEL


def _attack_cells(models: Sequence[MetricsRecord | None]) -> list[Cell]:
    cells = []
    for metrics in models:
        cells.append(score_cell(metrics, "accuracy"))
        cells.append(right(metrics))
        cells += [score_cell(metrics, metric, note=False) for metric in ("balanced_accuracy", "auc")]
        cells.append(versus(metrics))
    return cells
