"""How a model's predictions are distributed, as ``card.json`` holds it."""

from fedrobust.runs.codec import entry, record


@record
class RocRecord:
    """The ROC curve of one class against all others."""

    label: int = entry("the class")
    points: tuple[tuple[float, float], ...] = entry(
        "false and true positive rate, from (0, 0) to (1, 1); long curves are thinned", default=()
    )


@record
class ReliabilityBinRecord:
    """Predictions of similar confidence."""

    n: int = entry("predictions", default=0)
    correct: int = entry("of these, right ones", default=0)
    confidence: float = entry("their mean confidence, the largest softmax probability", default=0.0)


@record
class PredictionsRecord:
    """What a model answered on all images."""

    confusion: tuple[tuple[int, ...], ...] = entry(
        "images by true class (row) and answer (column)", default=()
    )
    roc: tuple[RocRecord, ...] = entry(
        "of every class; of two classes, of the one that means disease, or the last", default=()
    )
    reliability: tuple[ReliabilityBinRecord, ...] = entry(
        "at most ten groups of equal size by confidence", default=()
    )
