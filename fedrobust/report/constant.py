"""Models that are close to a constant classifier, or cannot be told from one."""

from collections.abc import Iterator, Mapping, Sequence

from fedrobust.report.epsilon import Epsilon
from fedrobust.report.evaluation import Evaluation
from fedrobust.report.folder import Run
from fedrobust.report.wording import NONE, THIN, attack_name, enumerate_words, interval, percent
from fedrobust.runs.record import MetricsRecord

COLLAPSED = 0.95
"""Share of the most frequent prediction from which a model may be constant."""

UNSEEN = 1 - COLLAPSED
"""Recall up to which a class counts as not recognised."""


def warnings(run: Run) -> list[str]:
    """Return warnings of models that cannot be told from a constant classifier, clean and under attack.

    They are close to one, see `constant_answer`, or the 95 % interval of the accuracy contains the majority rate. Test
    images of one class cannot tell: there a constant classifier makes no mistake.
    """
    found: list[str] = []
    for subject, evaluation in _subjects(run):
        if evaluation.clean:
            found += _clean_warning(run, subject, evaluation.clean)
        for attack, table in evaluation.attacked.items():
            found += _attacked_warnings(run, f"{subject} under {attack_name(attack)}", table)
    return found


def versus_majority(metrics: MetricsRecord) -> str:
    """Return whether an accuracy's interval is "above" or "below" the majority rate, or contains it: "level"."""
    bounds = metrics.interval.accuracy
    if bounds is None or metrics.majority_rate is None:
        return NONE
    if bounds[0] > metrics.majority_rate:
        return "above"
    return "below" if bounds[1] < metrics.majority_rate else "level"


def constant_answer(metrics: MetricsRecord) -> int | None:
    """Return the class that a model gives nearly always without reason; None if there is none.

    It is more than 95 % of the predictions, and the accuracy is not above the majority rate, or no other class that is
    there is recognised. Where a disease is rare, nearly all predictions of a good model are one class, too.

    Example:
        >>> rare = {"n": 600, "accuracy": 1.0, "majority_rate": 0.98, "recall": (1.0, 1.0), "predicted": (12, 588)}
        >>> constant_answer(MetricsRecord(**rare)) is None
        True
        >>> constant_answer(MetricsRecord(**{**rare, "accuracy": 0.98, "recall": (0.0, 1.0), "predicted": (0, 600)}))
        1
    """
    total = sum(metrics.predicted)
    if not total or max(metrics.predicted) / total <= COLLAPSED:
        return None
    index = metrics.predicted.index(max(metrics.predicted))
    if metrics.one_class:
        return index if index not in metrics.present else None
    others = [value for label, value in enumerate(metrics.recall) if label != index and value is not None]
    no_better = versus_majority(metrics) in ("level", "below")
    return index if no_better or all(value <= UNSEEN for value in others) else None


def _is_level(metrics: MetricsRecord) -> bool:
    return versus_majority(metrics) == "level" and not metrics.one_class


def _subjects(run: Run) -> Iterator[tuple[str, Evaluation]]:
    yield f"The {run.global_name[0].lower()}{run.global_name[1:]}", run.global_model[0]
    if run.student:
        yield "The student", run.student
    for file in run.record.export:
        yield f"The {file.format} file", Evaluation(file.metrics, {})


def _clean_warning(run: Run, subject: str, metrics: MetricsRecord) -> list[str]:
    index = constant_answer(metrics)
    if index is not None:
        times, total = metrics.predicted[index], sum(metrics.predicted)
        return [
            f"{subject} predicts “{run.label(index)}” for {times:,} of {total:,} test images "
            f"({percent(times / total)}): it is close to a constant classifier."
        ]
    if not _is_level(metrics):
        return []
    bounds = interval("accuracy", metrics.interval.accuracy)
    return [
        f"The accuracy of {subject[0].lower()}{subject[1:]}, {percent(metrics.accuracy)} ({bounds}), does not differ "
        f"significantly from the {percent(metrics.majority_rate)} of a constant classifier."
    ]


def _attacked_warnings(run: Run, subject: str, table: Mapping[Epsilon, MetricsRecord]) -> list[str]:
    constant: dict[int, list[str]] = {}
    level: list[str] = []
    for size, metrics in table.items():
        index = constant_answer(metrics)
        if index is not None:
            constant.setdefault(index, []).append(size.name)
        elif _is_level(metrics):
            level.append(size.name)
    found = [
        f"{subject} {_at(sizes, table)} predicts “{run.label(index)}” for more than 95{THIN}% of the images."
        for index, sizes in constant.items()
    ]
    if level:
        rate = next(iter(table.values())).majority_rate
        found.append(
            f"{subject} {_at(level, table)} does not differ significantly from the {percent(rate)} of a "
            f"constant classifier."
        )
    return found


def _at(sizes: Sequence[str], table: Mapping[Epsilon, MetricsRecord]) -> str:
    return "at every ε" if 1 < len(sizes) == len(table) else f"at ε = {enumerate_words(sizes)}"
