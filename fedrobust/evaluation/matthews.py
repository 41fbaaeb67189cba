"""Matthews' correlation coefficient for any number of classes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.evaluation.intervals import Interval, two_sided_quantile, wilson


def matthews(confusion: ArrayLike) -> NDArray[np.float64]:
    """Return Matthews' correlation of confusion matrices (..., C, C), rows the truth; 0 if either is constant.

    Source: Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient.

    Example:
        >>> float(matthews(np.array([[5.0, 0.0], [0.0, 5.0]])))
        1.0
    """
    counts = np.asarray(confusion, np.float64)
    n = counts.sum(axis=(-2, -1))
    right = np.trace(counts, axis1=-2, axis2=-1)
    true, said = counts.sum(axis=-1), counts.sum(axis=-2)
    above = right * n - (true * said).sum(axis=-1)
    below = np.sqrt((n**2 - (true**2).sum(axis=-1)) * (n**2 - (said**2).sum(axis=-1)))
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def matthews_interval(confusion: ArrayLike, confidence: float = 0.95) -> tuple[Interval, str]:
    """Return the interval of one confusion matrix's correlation R, and the name of its method.

    "delta": tanh(artanh R ± z sd / (1 - R^2)), Fisher's scale, with the delta method's variance. An image of class i
    predicted as j has influence (1[i = j] - p_i - t_j) / sqrt(B C) + R (p_j / B + t_i / C), minus its mean: t are the
    shares of true classes, p of predicted ones, B = 1 - |p|^2 and C = 1 - |t|^2. The variance is the mean square of the
    influences over n.

    "Fisher": if truth or predictions are constant, R is 0 without variation (also for two images); the half width on
    Fisher's scale is then z / sqrt(n - 3), that of independent normal variables. "Wilson": at 1 or -1 the limit is the
    correlation at Wilson's limit of the accuracy.

    Args:
        confusion: (C, C) counts, rows the truth.
        confidence: probability that the interval covers the true correlation.

    Example:
        >>> limits, method = matthews_interval(np.array([[40.0, 10.0], [10.0, 40.0]]))
        >>> tuple(round(limit, 2) for limit in limits), method
        ((0.42, 0.73), 'delta')
    """
    counts = np.asarray(confusion, np.float64)
    n, classes = float(counts.sum()), len(counts)
    value = float(matthews(counts))
    if abs(value) > 1 - 1e-9:  # all predictions are correct, or all are wrong
        floor = (wilson(n, n, confidence)[0] - 1 / classes) / (1 - 1 / classes)
        return ((floor, 1.0) if value > 0 else (-1.0, -floor)), "Wilson"
    z, centre = two_sided_quantile(confidence), np.arctanh(value)
    shares = counts / n
    true, said = shares.sum(axis=1), shares.sum(axis=0)
    of_true, of_said = 1 - true @ true, 1 - said @ said
    deviation = 0.0
    if min(of_true, of_said) > 1e-12:
        influence = (np.eye(classes) - said[:, None] - true[None, :]) / np.sqrt(of_true * of_said)
        influence += value * (said[None, :] / of_said + true[:, None] / of_true)
        influence -= (shares * influence).sum()
        deviation = float(np.sqrt((shares * influence**2).sum() / n))
    if deviation > 1e-9:
        reach, method = z * deviation / (1 - value**2), "delta"
    else:
        reach, method = z / np.sqrt(max(n - 3, 1)), "Fisher"
    return (float(np.tanh(centre - reach)), float(np.tanh(centre + reach))), method
