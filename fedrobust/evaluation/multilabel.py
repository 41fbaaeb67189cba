"""Metrics of a multi-label classifier's logits: of each finding, and their means."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.data.label_sets import MOST_FINDINGS, unpacked
from fedrobust.evaluation.intervals import Floats, Interval, mean_of_proportions, wilson
from fedrobust.evaluation.metrics import Intervals, LabelMetrics, Metrics, finite
from fedrobust.evaluation.roc import Auc, degrees_of_freedom, logit_interval, mean_area
from fedrobust.evaluation.scores.contract import NONE_FURTHER, Metric

Answers = NDArray[np.bool_]


def measure_multilabel(
    labels: ArrayLike,
    logits: ArrayLike,
    confidence: float = 0.95,
    further: Mapping[str, Metric] = NONE_FURTHER,
    clean: ArrayLike | None = None,
    attacked: int = 0,
) -> Metrics:
    """Return the metrics of `logits` against label sets.

    A finding is present where its logit is positive. Accuracy and AUC are those of MedMNIST's evaluator: the share of
    right answers over images and findings, and the mean over findings of the areas under their ROC curves (Yang et al.,
    2023, arXiv:2110.14795). ``correct`` counts the images whose findings are all answered right (exact match), and
    ``recall`` are sensitivities. Balanced accuracy is the mean over findings of that of each. Answers to one image
    depend on each other: the interval of the accuracy is Wilson's for the number of independent answers that have the
    variance of the images' accuracies (the effective sample size: Korn and Graubard, 1998, Survey Methodology 24), that
    of the balanced accuracy has the variance of the images' influences on it.

    Args:
        labels: label sets (n,), see `fedrobust.data.label_sets`.
        logits: shape (n, findings), finite.
        confidence: of every interval.
        further: further metrics by name, which get the label sets.
        clean: logits of the same images without the attack; None: no attack.
        attacked: label set of the attacked findings; 0: all.

    Raises:
        ValueError: shapes do not fit, or a label is no set of these findings.
        NotFiniteError: logits are not finite.

    Example:
        >>> metrics = measure_multilabel([0, 1, 3], [[-1.0, -1.0], [2.0, -1.0], [1.0, -2.0]])
        >>> metrics.correct, round(metrics.accuracy, 3), [one.auc for one in metrics.labels]
        (2, 0.833, [1.0, 0.0])
    """
    sets, outputs = _checked(labels, logits)
    n, findings = outputs.shape
    truth, said = unpacked(sets, findings), outputs > 0
    right = said == truth
    area = mean_area(truth, outputs, confidence)
    each = tuple(_of_finding(truth[:, k], outputs[:, k], confidence) for k in range(findings))
    shares = _constant_shares(truth)
    rates = [value for one in each for value in (one.sensitivity, one.specificity) if value is not None]
    balanced = [one.balanced_accuracy for one in each if one.balanced_accuracy is not None]
    return Metrics(
        n=n,
        correct=int(right.all(axis=1).sum()),
        accuracy=float(right.mean()),
        balanced_accuracy=float(np.mean(balanced or rates)),
        auc=None if area is None else area.value,
        recall=tuple(one.sensitivity for one in each),
        predicted=(),
        majority_rate=float(np.maximum(shares, 1 - shares).mean()),
        loss=float(np.mean(np.logaddexp(0.0, np.where(truth, -outputs, outputs)))),
        interval=Intervals(
            accuracy=_interval_of_mean(right, confidence),
            balanced_accuracy=_balanced_interval(truth, right, confidence),
            auc=None if area is None else area.interval,
            recall=tuple(one.sensitivity_interval for one in each),
        ),
        auc_degrees=0.0 if area is None else area.degrees,
        further={name: metric(sets, outputs) for name, metric in further.items()},
        labels=each,
        majority_exact=float(((shares > 0.5) == truth).all(axis=1).mean()),
        changed=None if clean is None else _changed(said, np.asarray(clean) > 0, attacked),
    )


def _checked(labels: ArrayLike, logits: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    sets, outputs = np.asarray(labels), np.asarray(logits, np.float64)
    if outputs.ndim != 2 or not 2 <= outputs.shape[1] <= MOST_FINDINGS:
        raise ValueError(
            f"logits have shape {outputs.shape}: give (images, findings), 2 to {MOST_FINDINGS} findings"
        )
    if sets.shape != outputs.shape[:1] or not sets.size or not np.issubdtype(sets.dtype, np.integer):
        raise ValueError(
            f"labels have shape {sets.shape} and dtype {sets.dtype}: give {outputs.shape[:1]} label sets, one per row "
            "of logits"
        )
    if sets.min() < 0 or sets.max() >= 2 ** outputs.shape[1]:
        raise ValueError(
            f"labels run from {sets.min()} to {sets.max()}: sets of {outputs.shape[1]} findings are 0 to "
            f"{2 ** outputs.shape[1] - 1}"
        )
    finite(outputs)
    return sets.astype(np.int64), outputs


def _of_finding(truth: Answers, score: Floats, confidence: float) -> LabelMetrics:
    n, positives = truth.size, int(truth.sum())
    found, spared = int((score[truth] > 0).sum()), int((score[~truth] <= 0).sum())
    area: Auc | None = mean_area(truth[:, None], score[:, None], confidence)
    return LabelMetrics(
        positives=positives,
        auc=None if area is None else area.value,
        auc_interval=None if area is None else area.interval,
        sensitivity=found / positives if positives else None,
        sensitivity_interval=wilson(found, positives, confidence) if positives else None,
        specificity=spared / (n - positives) if positives < n else None,
        specificity_interval=wilson(spared, n - positives, confidence) if positives < n else None,
        accuracy=(found + spared) / n,
        majority_rate=max(positives, n - positives) / n,
    )


def _constant_shares(truth: Answers) -> Floats:
    """Return the share of images with each finding, (findings,)."""
    shares: Floats = truth.mean(axis=0)
    return shares


def _interval_of_mean(right: Answers, confidence: float) -> Interval:
    n, findings = right.shape
    mean, of_images = float(right.mean()), right.mean(axis=1)
    variance = float(of_images.var(ddof=1)) / n if n > 1 else 0.0
    effective = mean * (1 - mean) / variance if variance > 0 else float(n)
    effective = float(np.clip(effective, n, n * findings))
    return wilson(mean * effective, effective, confidence)


def _balanced_interval(truth: Answers, right: Answers, confidence: float) -> Interval:
    """Return the wider of two intervals: of dependent answers to one image, and of independent small numbers."""
    sides, hits = (np.concatenate(two, axis=1) for two in ((truth, ~truth), (right & truth, right & ~truth)))
    images = sides.sum(axis=0)
    both = np.tile((images[: len(images) // 2] > 0) & (images[len(images) // 2 :] > 0), 2)
    kept = both if both.any() else images > 0
    sides, hits, images = sides[:, kept], hits[:, kept], images[kept]
    shares = hits.sum(axis=0) / images
    alone = mean_of_proportions(hits.sum(axis=0), images, confidence)
    influence: Floats = ((hits - shares * sides) / images).mean(axis=1)
    value, variance = float(shares.mean()), float(influence @ influence)
    if not (variance > 0 and 0 < value < 1):
        return alone
    together = logit_interval(value, variance, confidence, degrees_of_freedom(influence))
    return min(alone[0], together[0]), max(alone[1], together[1])


def _changed(said: Answers, before: Answers, attacked: int) -> float:
    findings = said.shape[1]
    watched = unpacked(np.array([attacked or 2**findings - 1]), findings)[0]
    return float((said != before)[:, watched].any(axis=1).mean())
