"""Metrics as text for the terminal; "-": not measured."""

from collections.abc import Sequence

from fedrobust.runs.record import MetricsRecord


def percent(value: float | None) -> str:
    """Return a share in percent."""
    return "-" if value is None else f"{value:.1%}"


def milliseconds(value: float | None) -> str:
    """Return a short duration."""
    return "-" if value is None else f"{value:.2f} ms"


def cells(metrics: MetricsRecord, further: Sequence[str] = ()) -> tuple[str, ...]:
    """Return correct predictions, accuracy, its interval, balanced accuracy, AUC, and the `further` metrics named."""
    limits = metrics.interval.accuracy
    return (
        f"{metrics.correct}/{metrics.n}",
        percent(metrics.accuracy),
        "-" if limits is None else f"{100 * limits[0]:.1f}-{100 * limits[1]:.1f}",
        balanced(metrics),
        auc(metrics),
        *(_number(metrics.further.get(name)) for name in further),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def balanced(metrics: MetricsRecord) -> str:
    """Return the balanced accuracy."""
    # For a single class it equals that class's recall.
    return "-" if metrics.one_class else percent(metrics.balanced_accuracy)


def auc(metrics: MetricsRecord) -> str:
    """Return the area under the ROC curve."""
    return "-" if metrics.auc is None or metrics.one_class else f"{metrics.auc:.3f}"


def constant(metrics: MetricsRecord, classes: int = 0, auc: bool = True) -> str:
    """Return what always answering the most frequent class scores, as text.

    Args:
        metrics: of any model on the same images.
        classes: their number, for records that do not say of which classes there are images.
        auc: whether to name AUC, too.

    Example:
        >>> constant(MetricsRecord(accuracy=0.8, majority_rate=0.73, recall=(0.5, 0.9)))
        'accuracy 73.0%, balanced accuracy 50.0%, AUC 0.500'
        >>> constant(MetricsRecord(accuracy=0.9, majority_rate=1.0, recall=(None, 0.9)))
        'accuracy 100.0%; all images are of one class: balanced accuracy and AUC are not measured'
    """
    right = f"accuracy {percent(metrics.majority_rate)}"
    if metrics.one_class:
        absent = "balanced accuracy and AUC are" if auc else "balanced accuracy is"
        return f"{right}; all images are of one class: {absent} not measured"
    chance = metrics.chance or (1 / classes if classes else None)
    return f"{right}, balanced accuracy {percent(chance)}" + (", AUC 0.500" if auc else "")


def scores(metrics: MetricsRecord) -> str:
    """Return the scores of a model in one line."""
    majority = "" if metrics.majority_rate is None else f" (majority {metrics.majority_rate:.1%})"
    further = "".join(f"  {name} {_number(value)}" for name, value in metrics.further.items())
    return f"accuracy {metrics.accuracy:.1%}{majority}  balanced {balanced(metrics)}  AUC {auc(metrics)}{further}"
