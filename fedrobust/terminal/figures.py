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


def scores(metrics: MetricsRecord) -> str:
    """Return the scores of a model in one line."""
    majority = "" if metrics.majority_rate is None else f" (majority {metrics.majority_rate:.1%})"
    further = "".join(f"  {name} {_number(value)}" for name, value in metrics.further.items())
    return f"accuracy {metrics.accuracy:.1%}{majority}  balanced {balanced(metrics)}  AUC {auc(metrics)}{further}"
