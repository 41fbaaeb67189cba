"""The section that compares the models: global, central, student, exported files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedrobust.evaluation.scores import GRADED
from fedrobust.report import findings, wording
from fedrobust.report.evaluation import Evaluation
from fedrobust.report.folder import Run
from fedrobust.report.predictions import predictions
from fedrobust.report.sections.cells import milliseconds, right, score_cell, versus
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs.record import DistillationRecord, ExportRecord, MetricsRecord


@dataclass(frozen=True)
class Column:
    """One model of the comparison; `file` is an empty record unless the model is an exported file."""

    name: Cell
    evaluation: Evaluation
    parameters: int | None = None
    file: ExportRecord = field(default_factory=ExportRecord)


def models(run: Run) -> dict[str, Any]:
    """Return the table of the models, and the settings of the distillation."""
    columns = _columns(run)
    absent = []
    if run.student is None:
        absent.append(findings.missing(run, "no student was distilled"))
    if not run.record.export:
        absent.append(findings.missing(run, "no file was exported for the edge"))
    return {
        "table": _comparison(run, columns) if columns else None,
        "unseen": _unseen(run.record.unseen or {}),
        "answers": _answers(run),
        "distillation": _distillation(run),
        "missing": " ".join(dict.fromkeys(absent)),
        "nothing": findings.missing(run, "no model was evaluated"),
    }


def _answers(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """Return the answers of the models on the clean test images, by model; audits show those of audited ones."""
    record = run.record
    models = (
        ("global model", record.model_evaluation, record.audit),
        ("student", record.student, record.student.audit if record.student else None),
    )
    return [
        (name, predictions(run.dataset.labels, {"clean": model.predictions}))
        for name, model, card in models
        if model and model.predictions and not (card and card.predictions)
    ]


def _unseen(sites: Mapping[str, MetricsRecord]) -> Table | None:
    """Return the table of the global model on sites that were held out; None if none was."""
    rows = [
        (
            Cell(site, wording.count(metrics.n, "image")),
            [
                score_cell(metrics, "accuracy"),
                versus(metrics),
                score_cell(metrics, "balanced_accuracy"),
                score_cell(metrics, "auc"),
            ],
        )
        for site, metrics in sites.items()
    ]
    head = [Cell("Accuracy"), Cell("Against the majority"), Cell("Balanced accuracy"), Cell("AUC")]
    return (
        Table("Unseen site", head, rows, "The global model on all images of sites it was not trained on")
        if rows
        else None
    )


def _columns(run: Run) -> list[Column]:
    columns = []
    if run.global_model[0].clean:
        columns.append(
            Column(Cell(run.global_name, run.model.name), run.global_model[0], run.model.parameters)
        )
    if run.record.central:
        name = Cell("Central", "all training images in one place")
        columns.append(Column(name, Evaluation(run.record.central, {}), run.model.parameters))
    if run.record.student and run.student:
        student = run.record.student
        columns.append(Column(Cell("Student", student.name), run.student, student.parameters))
        if student.control:
            name = Cell("Control", f"{student.name} trained on labels, same images and steps")
            columns.append(Column(name, Evaluation.of(student.control, run.norm), student.parameters))
    for file in run.record.export:
        name = Cell(file.format or "file", file.file)
        columns.append(Column(name, Evaluation(file.metrics, {}), file=file))
    return columns


def _comparison(run: Run, columns: Sequence[Column]) -> Table:
    rows: list[tuple[Cell, Sequence[Cell]]] = []

    def row(name: Cell, cell: Callable[[Column], Cell]) -> None:
        cells = [cell(column) for column in columns]
        if any(one.text != NONE for one in cells):
            rows.append((name, cells))

    row(Cell("Accuracy"), _accuracy_cell)
    row(Cell("Right"), lambda one: right(one.evaluation.clean))
    row(_against(run, columns), lambda one: versus(one.evaluation.clean))
    row(Cell("Balanced accuracy"), lambda one: score_cell(one.evaluation.clean, "balanced_accuracy"))
    row(Cell("AUC"), lambda one: score_cell(one.evaluation.clean, "auc"))
    for index in range(
        max((len(one.evaluation.clean.recall) for one in columns if one.evaluation.clean), default=0)
    ):
        name = Cell(f"Recall of “{run.label(index)}”", "disease" if index in run.dataset.disease else "")
        row(name, lambda one, index=index: _recall_cell(one.evaluation.clean, index))  # type: ignore[misc]
    attacked = dict.fromkeys(
        (attack, size) for one in columns for attack, size, _ in wording.headlines(one.evaluation.attacked)
    )
    for attack, size in attacked:
        name = Cell(f"Accuracy under {wording.attack_name(attack)}", f"ε {wording.epsilon(size)}")
        row(
            name,
            lambda one, attack=attack, size=size: score_cell(  # type: ignore[misc]
                one.evaluation.attacked.get(attack, {}).get(size), "accuracy"
            ),
        )
    for attack, size in attacked if run.record.student and run.record.student.control else ():
        name = Cell(f"Balanced accuracy under {wording.attack_name(attack)}", f"ε {wording.epsilon(size)}")
        row(
            name,
            lambda one, attack=attack, size=size: score_cell(  # type: ignore[misc]
                one.evaluation.attacked.get(attack, {}).get(size), "balanced_accuracy"
            ),
        )
    for metric in dict.fromkeys(
        name for one in columns if one.evaluation.clean for name in one.evaluation.clean.further
    ):
        name = Cell(metric, "constant classifier: 0" if metric in GRADED else "")
        row(name, lambda one, metric=metric: _further_cell(one.evaluation.clean, metric))  # type: ignore[misc]
    for metric in GRADED:
        for attack, size in attacked:
            name = Cell(f"{metric} under {wording.attack_name(attack)}", f"ε {wording.epsilon(size)}")
            row(
                name,
                lambda one, attack=attack, size=size, metric=metric: _further_cell(  # type: ignore[misc]
                    one.evaluation.attacked.get(attack, {}).get(size), metric
                ),
            )
    row(Cell("Parameters"), lambda one: _number(one.parameters))
    row(Cell("File size"), lambda one: Cell(wording.size_in_bytes(one.file.bytes)))
    row(Cell("Latency of one image", "median"), _latency_cell)
    row(Cell("Peak memory", "added while one image is classified"), lambda one: _memory(one.file))
    row(Cell("Agreement", "same answer as the model exported"), lambda one: _agreement(one.file))
    row(Cell("File to take", "first that changes at most 2 % of the answers"), lambda one: _taken(one.file))
    return Table("On the test images", [column.name for column in columns], rows)


def _against(run: Run, columns: Sequence[Column]) -> Cell:
    rates = (one.evaluation.clean.majority_rate for one in columns if one.evaluation.clean)
    rate = next((rate for rate in rates if rate is not None), None)
    return Cell(
        "Against the majority",
        f"always “{findings.majority(run)}”: {percent(rate)}" if rate is not None else "",
    )


def _accuracy_cell(model: Column) -> Cell:
    if model.evaluation.clean:
        return score_cell(model.evaluation.clean, "accuracy")
    return Cell(percent(model.file.accuracy), wording.interval("accuracy", model.file.interval))


def _recall_cell(metrics: MetricsRecord | None, index: int) -> Cell:
    if metrics is None or index >= len(metrics.recall):
        return Cell(NONE)
    return Cell(percent(metrics.recall[index]), wording.interval("recall", metrics.recall_limits(index)))


def _further_cell(metrics: MetricsRecord | None, name: str) -> Cell:
    value = metrics.further.get(name) if metrics else None
    limits = (metrics.interval.further or {}).get(name) if metrics else None
    return Cell(NONE if value is None else f"{value:.3f}", wording.interval("auc", limits))


def _latency_cell(model: Column) -> Cell:
    latency = model.file.latency
    if latency.p50 is None:
        return Cell(NONE)
    notes = [f"p95 {milliseconds(latency.p95)}"] if latency.p95 is not None else []
    notes += [wording.count(latency.threads, "thread")] if latency.threads else []
    return Cell(milliseconds(latency.p50), ", ".join(notes))


def _memory(file: ExportRecord) -> Cell:
    return Cell(wording.size_in_bytes(file.peak_bytes))


def _agreement(file: ExportRecord) -> Cell:
    changed = "" if file.changed is None else f"{file.changed:,} changed"
    return Cell(percent(file.agreement), changed)


def _taken(file: ExportRecord) -> Cell:
    return Cell("take this" if file.taken else NONE)


def _number(value: int | None) -> Cell:
    return Cell(NONE if value is None else f"{value:,}")


def _distillation(run: Run) -> str:
    facts = run.record.student.distillation if run.record.student else DistillationRecord()
    if facts == DistillationRecord():
        return ""
    parts = [f"{facts.images:,} images"] if facts.images is not None else []
    parts += [f"the {facts.source}"] if facts.source else []
    text = f"The student learnt from {' of '.join(parts)}" if parts else "The student was distilled"
    text += (
        f" and {facts.copies:,} augmented {'copy' if facts.copies == 1 else 'copies'} of each"
        if facts.copies
        else ""
    )
    text += (
        f", as taught by the mean logits of {facts.models:,} models ({facts.teacher})"
        if facts.models > 1
        else ""
    )
    settings = [] if facts.method == "soft-labels" else [f"method {facts.method}"]
    settings += [f"{facts.epochs:,} epochs"] if facts.epochs is not None else []
    settings += [f"temperature {facts.temperature:g}"] if facts.temperature is not None else []
    settings += [wording.duration(facts.seconds)] if facts.seconds is not None else []
    text += f": {', '.join(settings)}." if settings else "."
    return text + _against_control(run)


def _against_control(run: Run) -> str:
    """Return the robustness of the student beside that of its control, in sentences; empty without a control."""
    student = run.record.student
    if student is None or student.control is None:
        return ""
    control, found = Evaluation.of(student.control, run.norm), ""
    for attack, size, metrics in wording.headlines(Evaluation.of(student, run.norm).attacked):
        other = control.attacked.get(attack, {}).get(size)
        if other is not None:
            found += (
                f" Under {wording.attack_name(attack)} at ε {wording.epsilon(size)} its balanced accuracy is "
                f"{percent(metrics.balanced_accuracy)}; that of its control, the same network trained on labels, is "
                f"{percent(other.balanced_accuracy)}."
            )
    return found
