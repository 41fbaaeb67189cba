"""What pages show of a model's predictions: confusion matrices, ROC curves, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedrobust.report.chart import Chart, Line
from fedrobust.report.wording import percent
from fedrobust.runs.record.predictions import PredictionsRecord, ReliabilityBinRecord

KINDS = {"clean": "Without an attack", "attacked": "Worst case of all attacks"}


@dataclass(frozen=True)
class Share:
    """A field of a confusion matrix: images, their share of the true class, and whether the answer is right."""

    n: int
    share: float
    right: bool

    @property
    def text(self) -> str:
        """The share as text."""
        return percent(self.share)

    @property
    def style(self) -> str:
        """The background: blue for right answers, orange for wrong ones, the stronger the more."""
        colour = "--blue" if self.right else "--wrong"
        return f"background: color-mix(in srgb, var({colour}) {50 * self.share:.0f}%, var(--paper))"


def predictions(labels: Sequence[str], found: Mapping[str, PredictionsRecord]) -> dict[str, Any]:
    """Return the confusion matrices and charts of a model; empty where none were recorded.

    Args:
        labels: the names of the classes.
        found: one of KINDS -> what the model answered.
    """
    known = {kind: found[kind] for kind in KINDS if kind in found}
    if not known:
        return {}
    classes = max(len(one.confusion) for one in known.values())
    names = [labels[label] if label < len(labels) else f"class {label}" for label in range(classes)]
    return {
        "classes": names,
        "matrices": [(KINDS[kind], matrix(names, one)) for kind, one in known.items()],
        "roc": roc(names, known),
        "calibration": calibration(known),
    }


def matrix(names: Sequence[str], found: PredictionsRecord) -> list[tuple[str, list[Share]]]:
    """Return the rows of a confusion matrix that have images, each with its true class."""
    return [
        (names[truth], [Share(n, n / sum(row), truth == answer) for answer, n in enumerate(row)])
        for truth, row in enumerate(found.confusion)
        if sum(row)
    ]


def roc(names: Sequence[str], found: Mapping[str, PredictionsRecord]) -> list[Chart]:
    """Return a chart of each class's ROC curve, without and under attack."""
    charts = []
    for label in dict.fromkeys(curve.label for one in found.values() for curve in one.roc):
        lines = [
            Line(KINDS[kind], kind, curve.points)
            for kind, one in found.items()
            for curve in one.roc
            if curve.label == label
        ]
        cases = " and ".join(one.name.lower() for one in lines)
        charts.append(
            Chart(
                title=f"ROC curve of “{names[label]}”",
                x="False positive rate",
                y="True positive rate",
                sentence=f"ROC curve of “{names[label]}” against all others, {cases}.",
                lines=lines,
            )
        )
    return charts


def calibration(found: Mapping[str, PredictionsRecord]) -> Chart | None:
    """Return the reliability diagram; None without predictions."""
    lines = [
        Line(
            KINDS[kind],
            kind,
            [(one.confidence, one.correct / one.n) for one in each.reliability],
            [_limits(one) for one in each.reliability],
            joined=False,
        )
        for kind, each in found.items()
        if each.reliability
    ]
    if not lines:
        return None
    gaps = "; ".join(f"{line.name.lower()} {_gap(found[line.kind].reliability)}" for line in lines)
    return Chart(
        title="Calibration",
        x="Confidence of the answer",
        y="Right answers",
        sentence=f"Mean confidence beside the share of right answers: {gaps}.",
        lines=lines,
    )


def _gap(bins: Sequence[ReliabilityBinRecord]) -> str:
    n = sum(one.n for one in bins)
    confidence = sum(one.n * one.confidence for one in bins) / n
    return f"{percent(confidence)} beside {percent(sum(one.correct for one in bins) / n)}"


def _limits(one: ReliabilityBinRecord) -> tuple[float, float]:
    # Imported here, so that the command line starts fast.
    from fedrobust.evaluation.intervals import wilson

    return wilson(one.correct, one.n)
