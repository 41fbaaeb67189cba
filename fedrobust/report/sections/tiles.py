"""The key figures at the top of the page."""

from dataclasses import dataclass

from fedrobust.report import findings, wording
from fedrobust.report.folder import Run
from fedrobust.report.sections.cells import milliseconds
from fedrobust.report.wording import percent, score
from fedrobust.runs.outcome import invalid_line, measured_after
from fedrobust.runs.record import AttackSuccessRecord, MetricsRecord
from fedrobust.runs.tolerance import is_oracle

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Tile:
    """A key figure."""

    name: str
    text: str
    note: str


def tiles(run: Run) -> list[Tile]:
    """Return the key figures of a run."""
    evaluation = run.global_model[0]
    clean = evaluation.clean
    found = _clean_tiles(run, clean) if clean else []
    attacked = findings.worst(run)
    if attacked:
        found.append(_tile(run, f"Under {attacked.name}", attacked.metrics, "accuracy"))
    return found + _attack_tiles(run) + _student_tiles(run)


def _student_tiles(run: Run) -> list[Tile]:
    """Return the student's accuracy, and its smallest file."""
    found = []
    if run.record.student and run.record.student.clean:
        parameters = run.record.student.parameters
        note = f"{parameters:,} parameters" if parameters else ""
        found.append(Tile("Student’s accuracy", percent(run.record.student.clean.accuracy), note))
    sizes = [(file.bytes, file) for file in run.record.export if file.bytes]
    if sizes:
        size, file = min(sizes, key=lambda pair: pair[0])
        latency = file.latency.p50
        note = file.format + (f", {milliseconds(latency)} an image" if latency is not None else "")
        found.append(Tile("Smallest file", wording.size_in_bytes(size), note))
    return found


def _clean_tiles(run: Run, clean: MetricsRecord) -> list[Tile]:
    found = [_tile(run, "Accuracy", clean, "accuracy")]
    if clean.majority_rate is not None:
        found.append(
            Tile("Constant classifier", percent(clean.majority_rate), f"always “{findings.majority(run)}”")
        )
    found.append(_tile(run, "Balanced accuracy", clean, "balanced_accuracy"))
    found.append(_tile(run, "AUC", clean, "auc"))
    diseases = [i for i in run.dataset.disease if i < len(clean.recall)]
    known = [(clean.recall[i], i) for i in diseases]
    worst = min(((value, i) for value, i in known if value is not None), default=None)
    if worst:
        value, index = worst
        name = "Sensitivity" if len(diseases) == 1 else "Lowest sensitivity"
        found.append(Tile(name, percent(value), f"recall of “{run.label(index)}”"))
    return found


def _attack_tiles(run: Run) -> list[Tile]:
    """Return the poisoning attack's success rate, or why it was not measured."""
    defended = [one for one in run.record.rounds if one.defence]
    success = run.record.model_evaluation.attack_success if run.record.model_evaluation else None
    if not success and run.global_model[1] is not None:
        success = next((one.attack_success for one in defended if one.round == run.global_model[1]), None)
    invalid = invalid_line(run.record)
    name = "Poisoning’s success"
    if invalid:
        return [Tile(name, NOT_MEASURED, invalid)]
    if success and success.rate is not None:
        return [Tile(name, percent(success.rate), _of_success(run, success))]
    aimed = any(one.attack_success for one in defended)
    return [Tile(name, NOT_MEASURED, "not on this model")] if aimed else []


def _of_success(run: Run, success: AttackSuccessRecord) -> str:
    bounds = wording.interval("accuracy", success.interval)
    many = f"{success.successes:,} of {success.n:,}" if success.n else ""
    oracle = "f is the true number (an oracle)" if is_oracle(run.record) else ""
    return ", ".join(filter(None, (bounds, many, oracle)))


def _tile(run: Run, name: str, metrics: MetricsRecord, metric: str) -> Tile:
    number = run.global_model[1]
    name = f"{name} {measured_after(run.record, number)}" if number is not None else name
    why = findings.not_measured(run, metrics, metric)
    if why:
        return Tile(name, NOT_MEASURED, why)
    bounds = wording.interval(metric, metrics.limits(metric))
    note = metrics.right if metric == "accuracy" else ""
    return Tile(
        name, score(metric, metrics.score(metric)), ", ".join(part for part in (bounds, note) if part)
    )
