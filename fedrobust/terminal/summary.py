"""The end of a run on the terminal: tables, and warnings about their figures."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from fedrobust.evaluation.scores import GRADED
from fedrobust.runs.hospital_gap import told_apart, worst_and_best
from fedrobust.runs.outcome import invalid_line
from fedrobust.runs.record import (
    DatasetRecord,
    EvaluationRecord,
    ExportRecord,
    MetricsRecord,
    ModelEvaluationRecord,
    ModelRecord,
    RunRecord,
)
from fedrobust.terminal.figures import auc, cells, constant, milliseconds, percent
from fedrobust.terminal.screen import PLAIN, add_columns


def limits(run: RunRecord) -> list[str]:
    """Return warnings about the figures of a finished run: a failed attack, clients made worse, too few test images."""
    invalid = invalid_line(run)
    found = [f"{invalid}: its figures do not measure the defence"] if invalid else []
    if run.clients and run.clients.worse:
        worse, among = len(run.clients.worse), len(run.clients.clients)
        found.append(
            f"the federation makes {worse} of {among} clients worse than training alone: see the report"
        )
    pair = worst_and_best(run.hospitals) if run.hospitals else None
    if pair is not None and run.hospitals and run.hospitals.gap is not None and told_apart(*pair):
        found.append(
            f"worst at {pair[0].name}: balanced accuracy {100 * run.hospitals.gap:.1f} points below the best hospital"
        )
    dataset = run.dataset or DatasetRecord()
    counts = dataset.counts.get("test", ())
    present = [label for label, count in zip(dataset.labels, counts, strict=False) if count]
    if len(present) == 1 and len(counts) > 1 and not dataset.multilabel:
        found.append(f"all test images are {present[0]!r}: balanced accuracy and AUC are not measured")
    total = dataset.samples.get("test")
    if total is not None and total < FEW_IMAGES:
        found.append(f"only {total} test images: their figures have wide intervals")
    return found


FEW_IMAGES = 30
"""Number of test images below which one image is more than three percentage points."""


def summary_tables(run: RunRecord) -> list[Table]:
    """Return the tables that end a run: global, central and student model, and the exported files."""
    dataset, model = run.dataset or DatasetRecord(), run.model or ModelRecord()
    evaluation = run.model_evaluation or ModelEvaluationRecord()
    scores = Table(
        title=escape(
            f"{run.name}: {dataset.name}, {dataset.samples.get('test', 0)} test images, "
            f"seed {run.experiment.get('seed')}"
        ),
        caption=_constant(evaluation.clean, 2 if dataset.multilabel else len(dataset.labels)),
        **PLAIN,
    )
    further = tuple(evaluation.clean.further) if evaluation.clean else ()
    add_columns(scores, "", "right", "acc.", "95 %", "bal.", "AUC", *further)
    _add_model(scores, f"{model.name}, global", evaluation, further)
    if run.central:
        _add_model(scores, f"{model.name}, central", EvaluationRecord(clean=run.central), further)
    for site, metrics in (run.unseen or {}).items():
        _add_model(scores, f"{model.name}, unseen site {site}", EvaluationRecord(clean=metrics), further)
    if run.hospitals:
        scores.add_section()
        for hospital in run.hospitals.hospitals:
            if hospital.metrics:
                scores.add_row(escape(f"at {hospital.name}"), *cells(hospital.metrics, further))
    if run.student:
        _add_model(scores, f"{run.student.name}, student", run.student, further)
        if run.student.control:
            _add_model(scores, f"{run.student.name}, control on labels", run.student.control, further)
    tables = [scores]
    if run.export:
        tables.append(files_table(run.export, "exported student"))
    return tables


def files_table(files: Sequence[ExportRecord], title: str) -> Table:
    """Return the table of exported files, with the alarms and the file to take below it."""
    shown = Table(
        title=escape(title),
        caption=f"Agreement is with Keras; latency at batch 1, threads: {_threads(files)}.{take(files)}",
        **PLAIN,
    )
    add_columns(shown, "file", "size", "acc.", "AUC", "agree.", "p50", "p95")
    for export in files:
        _add_file(shown, export)
    return shown


def _threads(files: Sequence[ExportRecord]) -> str:
    """Return the numbers of threads at which files were timed, each once."""
    known = sorted({file.latency.threads for file in files if file.latency.threads is not None})
    return ", ".join(map(str, known)) or "not recorded"


def take(files: Sequence[ExportRecord]) -> str:
    """Return which file to take, and the alarms, to follow another sentence; empty for older records."""
    taken = [f"Take {file.file}." for file in files if file.taken]
    said = [file.alarm for file in files if file.alarm] + taken
    return "".join(f" {escape(each)}" for each in said)


def _constant(clean: MetricsRecord | None, classes: int) -> str | None:
    """Return the scores of a constant classifier, None where they are unknown.

    Args:
        clean: of the global model.
        classes: that exclude each other: 2 of a finding.
    """
    if clean is None or clean.majority_rate is None or not classes:
        return None
    what = "Always predicting the most frequent class:"
    if clean.majority_exact is not None:
        what = (
            "Right: all findings of an image. Always the more frequent answer to each finding: all right in "
            f"{clean.majority_exact:.1%},"
        )
    further = "" if clean.one_class else "".join(f", {name} 0" for name in clean.further if name in GRADED)
    return f"{what} {constant(clean, classes)}{further}."


def _add_model(table: Table, name: str, evaluation: EvaluationRecord, further: Sequence[str]) -> None:
    if evaluation.clean is None:
        return
    table.add_section()
    table.add_row(escape(name), *cells(evaluation.clean, further))
    for attack, curve in evaluation.robust.items():
        for epsilon, metrics in curve.items():
            table.add_row(escape(f"  {attack} {epsilon}"), *cells(metrics, further))


def _add_file(table: Table, export: ExportRecord) -> None:
    latency, metrics = export.latency, export.metrics
    table.add_row(
        escape(export.file),
        "-" if export.bytes is None else f"{export.bytes / 1000:.0f} kB",
        percent(metrics.accuracy if metrics else export.accuracy),
        "-" if metrics is None else auc(metrics),
        percent(export.agreement),
        milliseconds(latency.p50),
        milliseconds(latency.p95),
    )
