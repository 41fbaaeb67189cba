"""The area under the ROC curve, with DeLong's interval."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from fedrobust.evaluation.intervals import Floats, Integers, Interval, mean_of_proportions, two_sided_quantile


@dataclass(frozen=True)
class Auc:
    """A mean of one-vs-rest areas under the ROC curve.

    Args:
        value: the mean area.
        variance: its sampling variance by DeLong's components; 0 if they do not vary.
        interval: lower and upper limit.
        classes: the classes or findings averaged; one without positives or without negatives is left out.
        degrees: degrees of freedom of the variance, about the number of images that determine it; 0 where it is 0.
        scarcest: smallest number of positives or negatives of a class.
    """

    value: float
    variance: float
    interval: Interval
    classes: tuple[int, ...]
    degrees: float
    scarcest: int


def area_under_roc(labels: Integers, scores: Floats, confidence: float = 0.95) -> Auc | None:
    """Return the AUC as MedMNIST's evaluator defines it, with DeLong's interval for the mean over classes.

    Two classes: the area of the last column's score. More: the mean over classes of one-vs-rest areas. An
    area is the share of (positive, negative) pairs in the right order, ties counting one half.

    Image i has a structural component per class, the share of its pairs that are in the right order: V10 for
    a positive, V01 for a negative. With p positives and q negatives, its influence on the area A of one class
    is (V10 - A) / sqrt(p (p - 1)) or (V01 - A) / sqrt(q (q - 1)); its influence on the mean is the mean of
    these over classes; the variance is the sum of squared influences. For one class that is DeLong's
    variance, term for term. The interval is symmetric on the logit scale, which keeps it inside (0, 1) and
    its coverage near areas of 1. Its quantile is Student's: near 1 the variance V depends on the few images that are
    misordered, and has 2 V^2 / (sum of influences^4 - V^2 / n) degrees of freedom, by Satterthwaite's rule.

    Where that variance is zero (areas of 0 or 1, constant scores) or cannot be estimated (one positive or one
    negative in a class), the interval is that of `mean_of_proportions`, with each area as a proportion of min(p, q)
    images: wider, and never of zero width.

    Args:
        labels: true classes, shape (n,), in 0 .. C - 1.
        scores: one score per class, shape (n, C), finite, larger for more likely.
        confidence: probability that the interval covers the true area.

    Returns:
        None if no class has both positives and negatives.

    Source: DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated
    receiver operating characteristic curves; Satterthwaite (1946), An approximate distribution of estimates of
    variance components; Pepe (2003), The statistical evaluation of medical tests (the logit scale); Yang et al.
    (2023), MedMNIST v2, arXiv:2110.14795 (the mean over classes).

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
        >>> area = area_under_roc(np.array([0, 0, 1, 1]), scores)
        >>> area.value
        0.75
    """
    columns = [1] if scores.shape[1] == 2 else list(range(scores.shape[1]))
    found = mean_area(labels[:, None] == np.array(columns), scores[:, columns], confidence)
    return found and replace(found, classes=tuple(columns[place] for place in found.classes))


def mean_area(positive: NDArray[np.bool_], scores: Floats, confidence: float = 0.95) -> Auc | None:
    """Return the mean area under several ROC curves of the same images, see `area_under_roc`.

    Args:
        positive: which images are positives of each curve, (n, curves).
        scores: (n, curves), finite, larger for more likely.
        confidence: probability that the interval covers the true mean.

    Returns:
        None if no curve has both positives and negatives.
    """
    images, positives = len(positive), positive.sum(axis=0)
    classes = tuple(c for c in range(len(positives)) if 0 < positives[c] < images)
    if not classes:
        return None
    areas = np.empty(len(classes))
    influence = np.zeros(images)
    for k, c in enumerate(classes):
        areas[k], of_class = roc_influence(positive[:, c], scores[:, c])
        influence += of_class / len(classes)
    value = float(areas.mean())
    variance = float(influence @ influence)
    scarce = np.minimum(positives, images - positives)[list(classes)]
    degrees = degrees_of_freedom(influence)
    if scarce.min() > 1 and variance > 0:
        interval = logit_interval(value, variance, confidence, degrees)
    else:
        interval = mean_of_proportions(areas * scarce, scarce, confidence)
    return Auc(value, variance, interval, classes, degrees, int(scarce.min()))


def degrees_of_freedom(influence: Floats) -> float:
    """Return the degrees of freedom of the variance V = sum of squared influences (n,): 2 V^2 / (sum of x^4 - V^2 / n).

    At least 1; 0 without variation. For n normal influences it is about n, for a single dominating one about 2.

    Example:
        >>> round(degrees_of_freedom(np.array([1.0] + [0.01] * 99)), 1)
        2.1
    """
    squares = influence**2
    variance = float(squares.sum())
    spread = float((squares**2).sum()) - variance**2 / influence.size
    if variance <= 0:
        return 0.0
    return (
        max(1.0, min(2 * variance**2 / spread, float(influence.size)))
        if spread > 0
        else float(influence.size)
    )


def roc_influence(positive: NDArray[np.bool_], score: Floats) -> tuple[float, Floats]:
    """Return the area under one ROC curve and the influence of every image on it, shape (n,).

    The sum of squared influences is DeLong's variance S10 / p + S01 / q. A single positive (or negative) has influence
    0, because the variance needs two.

    Args:
        positive: which images are positives, shape (n,); at least one is, and one is not.
        score: shape (n,).
    """
    above = share_below(score[positive], score[~positive])
    below = 1.0 - share_below(score[~positive], score[positive])
    area = float(above.mean())
    influence = np.empty(score.size)
    influence[positive] = (above - area) / np.sqrt(above.size * max(above.size - 1, 1))
    influence[~positive] = (below - area) / np.sqrt(below.size * max(below.size - 1, 1))
    return area, influence


def share_below(values: Floats, others: Floats) -> Floats:
    """Return for each of `values` the share of `others` below it, ties counting one half, in O(n log n).

    Example:
        >>> share_below(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
        array([0.5 , 0.75])
    """
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    shares: Floats = counts / (2 * others.size)
    return shares


def logit_interval(
    value: float, variance: float, confidence: float = 0.95, degrees: float = np.inf
) -> Interval:
    """Return expit(logit(value) ± t sd / (value (1 - value))): the delta method on the logit scale.

    Args:
        value: an estimate strictly between 0 and 1.
        variance: its sampling variance.
        confidence: probability that the interval covers the true value.
        degrees: degrees of freedom of the variance, for Student's t; infinite: the normal's z.

    Example:
        >>> low, high = logit_interval(0.9, 0.03**2)
        >>> round(low, 3), round(high, 3)
        (0.824, 0.945)
    """
    normal = two_sided_quantile(confidence)
    quantile = normal if np.isinf(degrees) else float(stdtrit(degrees, 0.5 + confidence / 2))
    reach = quantile * np.sqrt(variance) / (value * (1 - value))
    return float(expit(logit(value) - reach)), float(expit(logit(value) + reach))
