"""The findings of a run, in sentences."""

from dataclasses import dataclass

from fedrobust.report.evaluation import Evaluation
from fedrobust.report.folder import Run
from fedrobust.report.wording import (
    attack_name,
    count,
    enumerate_words,
    headline,
    interval,
    percent,
    score,
)
from fedrobust.runs.outcome import measured_after
from fedrobust.runs.record import MetricsRecord
from fedrobust.runs.resume_command import resume_command

JOINER = "\u2060"  # keeps a range on one line of running text


def majority(run: Run) -> str | None:
    """Return the name of the largest class of the test set; of multi-label images what is answered in its place."""
    if run.dataset.multilabel:
        return "the more frequent answer to each finding"
    counts = run.dataset.counts.get("test", ())
    return run.label(counts.index(max(counts))) if counts else None


def summary(run: Run) -> str:
    """Return the main results in one sentence; for an unfinished run with its progress."""
    rounds = max((one.number for one in run.rounds), default=0)
    federation = run.record.section("federation")
    clients = run.partition.clients if run.partition else federation.get("clients")
    size = (
        f"{count(int(clients), 'hospital')}, {count(rounds, 'round')}" if clients else count(rounds, "round")
    )
    evaluation, number = run.global_model
    when = f" {measured_after(run.record, number)}" if number is not None else ""
    end = f" before the run {ended(run)}" if run.unfinished else ""
    if evaluation.clean is None:
        return f"{size}{end}: no model was evaluated on the test images."
    return f"{size}{end}: {_findings(run, evaluation, evaluation.clean, when)}."


def ended(run: Run) -> str:
    """Return how an unfinished run ended."""
    return {"failed": "failed", "stopped": "was stopped"}.get(run.record.status, "was recorded")


def unfinished(run: Run) -> str:
    """Return that a run is unfinished, with its progress; "" if it is finished."""
    if not run.unfinished:
        return ""
    state = {"failed": "This run failed", "stopped": "This run was stopped"}
    begun = state.get(run.record.status, "This run is not finished")
    return f"{begun}: {run.progress} are done; its figures are not those of the study"


def go_on(run: Run) -> str:
    """Return how to resume an unfinished run; "" for a finished one."""
    if not run.unfinished:
        return ""
    if run.resumable:
        deployed = run.record.sites is not None
        server = "SERVER: the server's folder; output.dir: " if deployed else ""
        return f"Resume with: {resume_command(run.folder, deployed)} ({server}the folder of this page)"
    return "It has no checkpoint: run the study again."


def not_measured(run: Run, metrics: MetricsRecord, metric: str) -> str:
    """Return why a score cannot be measured; "" if it was.

    AUC and balanced accuracy are not defined for images of one class.
    """
    if not metrics.n:
        return "there are no images"
    if metric != "accuracy" and len(metrics.present) == 1 and not metrics.multilabel:
        return f"all images are “{run.label(metrics.present[0])}”"
    return "" if metrics.score(metric) is not None else "it is undefined for these answers"


def _findings(run: Run, evaluation: Evaluation, clean: MetricsRecord, when: str) -> str:
    bounds = interval("accuracy", clean.interval.accuracy).replace("–", f"–{JOINER}")
    text = f"accuracy {percent(clean.accuracy)} on {clean.n:,} test images{when}" + (
        f" ({bounds})" if bounds else ""
    )
    if clean.auc is not None and not clean.one_class:
        text += f", AUC {score('auc', clean.auc)}"
    name = majority(run)
    if clean.majority_rate is not None and name is not None:
        text += f"; always predicting “{name}”: {percent(clean.majority_rate)}"
    attacked = worst(run)
    if attacked:
        text += f"; under {attacked.name}: {percent(attacked.metrics.accuracy)}"
    return text


@dataclass(frozen=True)
class Worst:
    """The strongest attack on the global model: its name with its epsilon, scores under it, accuracy without it."""

    name: str
    metrics: MetricsRecord
    clean: float | None


def worst(run: Run) -> Worst | None:
    """Return the strongest attack: all attacks of the audit together, else the one with the lowest accuracy."""
    card = run.record.audit
    if card is not None and card.standing is not None:
        clean = card.clean.score("accuracy") if card.clean else None
        return Worst(f"all audit attacks, {card.threat.norm} {card.threat.epsilon}", card.standing, clean)
    evaluation = run.global_model[0]
    attacked = headline(evaluation.attacked)
    if attacked is None:
        return None
    attack, size, metrics = attacked
    clean = evaluation.clean.accuracy if evaluation.clean else None
    return Worst(f"{attack_name(attack)} at {size.name}", metrics, clean)


def alarms(run: Run) -> list[str]:
    """Return which exported files answer differently than the model that they are made from."""
    return [one.alarm for one in run.record.export if one.alarm]


FEW = 30
"""Number of test images below which the interval of a share is wider than a quarter of the scale."""


def cautions(run: Run) -> list[str]:
    """Return where there are too few test images, or classes, for reliable metrics."""
    counts = run.dataset.counts.get("test", ())
    if not counts:
        return []
    if run.dataset.multilabel:
        rare = [
            f"{number:,} with “{run.label(index)}”" for index, number in enumerate(counts) if number < FEW
        ]
        if not rare:
            return []
        return [f"The test images include only {enumerate_words(rare)}: the interval of its AUC is wide."]
    found = []
    present = [index for index, number in enumerate(counts) if number]
    if len(present) == 1:
        found.append(
            f"All {counts[present[0]]:,} test images are “{run.label(present[0])}”: accuracy is that class's recall, "
            "and balanced accuracy and AUC cannot be measured."
        )
    elif len(present) < len(counts):
        absent = [f"“{run.label(index)}”" for index, number in enumerate(counts) if not number]
        found.append(f"No test image is {enumerate_words(absent)}: the model is not measured there.")
    few = [index for index in present if counts[index] < FEW]
    if few and len(present) > 1:
        named = enumerate_words([f"{counts[index]:,} “{run.label(index)}”" for index in few])
        found.append(f"The test images include only {named}: the interval of such a recall is wide.")
    return found


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, as text.

    Example:
        >>> points(0.052), points(-0.2)
        ('+5.2', '−20.0')
    """
    return f"{100 * difference:+.1f}".replace("-", "−")


def between(limits: tuple[float, float]) -> str:
    """Return the interval of a difference in percentage points, as text."""
    return f"{points(limits[0])} to {points(limits[1])}"


MOST_NAMED = 5


def joining(run: Run) -> str:
    """Return for which clients the global model is worse than local training; "" if that was not measured."""
    compared = run.record.clients
    if compared is None:
        return ""
    told = [one for one in compared.clients if one.gain is not None and one.interval is not None]
    shown = count(len(compared.clients), "client")
    measured = f"{shown} of {compared.population:,}" if len(compared.clients) < compared.population else shown
    if not told:
        return f"Models of {measured}, none of them trained alone (evaluation.baselines)."
    better = f"{len(compared.better)} of {len(told)} get more of their patients right than training alone"
    rest = len(told) - len(compared.better) - len(compared.worse)
    level = f"{rest} cannot be told apart on these test images"
    if not compared.worse:
        # An interval that contains 0 shows neither harm nor its absence.
        end = f"{level}: harm to these is neither shown nor ruled out" if rest else "none is made worse"
        return f"{measured} measured: {better}; {end}."
    worst = sorted((one for one in told if one.client in compared.worse), key=lambda one: one.gain or 0.0)
    named = enumerate_words(
        [
            f"client {one.client} by {points(-(one.gain or 0.0))[1:]} points ({between(one.interval)})"
            for one in worst[:MOST_NAMED]
            if one.interval
        ]
    )
    more = f", and {len(worst) - MOST_NAMED} more" if len(worst) > MOST_NAMED else ""
    return (
        f"{measured} measured: the federation makes {len(worst)} worse than training alone: {named}{more}. "
        f"{better}, {level}."
    )


def missing(run: Run, statement: str) -> str:
    """Return why a part of the page is empty: `statement`, with the end of an unfinished run."""
    if run.unfinished:
        return f"The run {ended(run)}: {statement}."
    return f"{statement[0].upper()}{statement[1:]}."
