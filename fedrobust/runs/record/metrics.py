"""What a model scored, as ``result.json`` and ``card.json`` hold it: one shape for one figure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.predictions import PredictionsRecord

if TYPE_CHECKING:
    from fedrobust.evaluation.metrics import Metrics
    from fedrobust.evaluation.robustness import Robustness

Interval = tuple[float, float]

SCORES = ("accuracy", "balanced_accuracy", "auc")
"""The scores that have an interval of their own."""


@record
class IntervalsRecord:
    """The 95 % intervals of METRICS, lower and upper limit."""

    accuracy: Interval | None = entry("Wilson", default=None)
    balanced_accuracy: Interval | None = entry(
        "MOVER: Wilson intervals of the recalls, combined", key="balanced_accuracy", default=None
    )
    auc: Interval | None = entry("DeLong", default=None)
    recall: tuple[Interval | None, ...] = entry("Wilson, of every class", default=())
    further: Mapping[str, Interval] | None = entry(
        "of scores of `evaluation.metrics` that have one, by name", default=None, left_out=True
    )


@record
class LabelRecord:
    """What a model scored on one finding of multi-label images; null: not defined."""

    positives: int = entry("images with the finding", default=0)
    auc: float | None = entry("area under its ROC curve", default=None)
    auc_interval: Interval | None = entry("95 % interval (DeLong)", default=None)
    sensitivity: float | None = entry("share of images with it that are answered right", default=None)
    sensitivity_interval: Interval | None = entry("95 % interval (Wilson)", default=None)
    specificity: float | None = entry("share of images without it that are answered right", default=None)
    specificity_interval: Interval | None = entry("95 % interval (Wilson)", default=None)
    accuracy: float | None = entry("share of right answers", default=None)
    majority_rate: float | None = entry(
        "accuracy of a constant classifier", key="majority_rate", default=None
    )


@record
class MetricsRecord:
    """METRICS: what one model scored on one set of images; null: not computed, or not defined."""

    n: int = entry("images", default=0)
    correct: int = entry(
        "of these, images whose largest logit is the true class's; multi-label: whose findings are all answered right",
        default=0,
    )
    accuracy: float = entry("correct / n; multi-label: share of right answers over images and findings")
    balanced_accuracy: float | None = entry(
        "mean recall over the classes that are there", key="balanced_accuracy", default=None
    )
    auc: float | None = entry("as MedMNIST defines it; null where all images are of one class", default=None)
    recall: tuple[float | None, ...] = entry("recall of every class", default=())
    predicted: tuple[int, ...] = entry("number of predictions of every class", default=())
    majority_rate: float | None = entry(
        "accuracy of a constant classifier", key="majority_rate", default=None
    )
    loss: float | None = entry("mean cross-entropy in nats", default=None)
    further: Mapping[str, float | None] = entry(
        "scores of `evaluation.metrics`, by name; null where one is not defined", default_factory=dict
    )
    interval: IntervalsRecord = entry("95 % intervals", default_factory=IntervalsRecord)
    labels: tuple[LabelRecord, ...] | None = entry("multi-label: every finding", default=None, left_out=True)
    majority_exact: float | None = entry(
        "multi-label: share of images whose findings a constant classifier answers all right",
        default=None,
        left_out=True,
    )
    changed: float | None = entry(
        "multi-label, attacked: share of images with a changed answer to an attacked finding",
        default=None,
        left_out=True,
    )

    @classmethod
    def of(cls, metrics: "Metrics") -> "MetricsRecord":
        """Return what was measured as it is recorded."""
        return cls(
            n=metrics.n,
            correct=metrics.correct,
            accuracy=metrics.accuracy,
            balanced_accuracy=metrics.balanced_accuracy,
            auc=metrics.auc,
            recall=metrics.recall,
            predicted=metrics.predicted,
            majority_rate=metrics.majority_rate,
            loss=metrics.loss,
            further=dict(metrics.further),
            interval=IntervalsRecord(**metrics.interval, further=dict(metrics.further_interval) or None),
            labels=tuple(LabelRecord(**vars(each)) for each in metrics.labels) or None,
            majority_exact=metrics.majority_exact,
            changed=metrics.changed,
        )

    @property
    def multilabel(self) -> bool:
        """Whether images have several findings rather than one class."""
        return bool(self.labels)

    @property
    def right(self) -> str:
        """The number of images that are answered right, as text."""
        counted = f"{self.correct:,} of {self.n:,}"
        return f"all findings right in {counted}" if self.multilabel else counted

    def score(self, name: str) -> float | None:
        """Return one of `SCORES`."""
        value: float | None = getattr(self, name)
        return value

    def limits(self, name: str) -> Interval | None:
        """Return the interval of one of `SCORES`."""
        limits: Interval | None = getattr(self.interval, name)
        return limits

    def recall_limits(self, label: int) -> Interval | None:
        """Return the interval of one class's recall."""
        known = self.interval.recall
        return known[label] if label < len(known) else None

    @property
    def present(self) -> tuple[int, ...]:
        """The classes of which there are images."""
        return tuple(label for label, value in enumerate(self.recall) if value is not None)

    @property
    def chance(self) -> float | None:
        """Balanced accuracy of a constant classifier; None where it is not known which classes there are.

        Example:
            >>> MetricsRecord(accuracy=0.5, recall=(1.0, 0.0, None)).chance
            0.5
        """
        if self.multilabel:
            return 0.5  # of each finding, one of sensitivity and specificity is 1 and the other 0
        return 1 / len(self.present) if self.present else None

    @property
    def one_class(self) -> bool:
        """Whether all images are of one class, so that AUC and balanced accuracy say nothing."""
        return not self.multilabel and len(self.recall) > 1 and len(self.present) == 1


Curve = Mapping[str, MetricsRecord]
"""METRICS by epsilon, as the study writes it: ``"0.005"`` or ``"8/255"``."""


@record
class EvaluationRecord:
    """One model on the test images, as they are and attacked."""

    clean: MetricsRecord | None = entry("on clean test images; null where nothing was measured", default=None)
    robust: Mapping[str, Curve] = entry("attack -> epsilon -> METRICS", default_factory=dict)

    @classmethod
    def of(cls, measured: "Robustness") -> "EvaluationRecord":
        """Return what was measured as it is recorded."""
        return EvaluationRecord(
            clean=MetricsRecord.of(measured.clean),
            robust={
                attack: {epsilon: MetricsRecord.of(metrics) for epsilon, metrics in curve.items()}
                for attack, curve in measured.attacked.items()
            },
        )


@record
class AttackSuccessRecord:
    """The attack success rate of a poisoning attack."""

    n: int = entry("images by which it is judged", default=0)
    successes: int = entry("of these, images that are classified as the attacker wants", default=0)
    rate: float | None = entry("successes / n", default=None)
    interval: Interval | None = entry("95 % interval of the rate (Wilson)", default=None)
    without_trigger: float | None = entry(
        "the rate on the same images without the trigger; null for attacks without a trigger", default=None
    )
    control: str | None = entry("what the rate is to be compared with", default=None)


@record
class ModelEvaluationRecord(EvaluationRecord):
    """The selected global model."""

    attack_success: AttackSuccessRecord | None = entry(
        "success of the poisoning attack; null where it is untargeted, or did not run as asked", default=None
    )
    predictions: PredictionsRecord | None = entry(
        "what it answered on the clean test images; left out where an image may have several findings",
        default=None,
        left_out=True,
    )
