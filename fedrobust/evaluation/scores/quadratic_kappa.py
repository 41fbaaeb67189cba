"""Quadratic weighted kappa, the agreement of grades."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrobust.evaluation.confusion import confusion_matrix
from fedrobust.evaluation.intervals import Floats, Integers, Interval, two_sided_quantile, wilson
from fedrobust.evaluation.scores.contract import METRICS


@METRICS.register("quadratic-kappa")
@dataclass(frozen=True, kw_only=True)
class QuadraticKappa:
    """Agreement of predicted and true grades beyond chance, an error of d grades counting d^2 (Cohen, 1968).

    1 is perfect agreement, 0 that of a constant classifier (Psychological Bulletin 70, eq. 11, with quadratic
    weights). It is measured by itself where the data set's classes are grades (``task = "ordinal-regression"``).

    Example:
        >>> QuadraticKappa()(np.array([0, 1, 2, 2]), np.eye(3)[[0, 1, 2, 1]])
        0.8
    """

    constant: ClassVar[float] = 0.0
    """Score of a constant classifier."""

    def __call__(self, labels: Integers, logits: Floats) -> float:
        """Return kappa; 0 where truth and predictions are one grade."""
        return kappa(confusion_of(labels, logits))

    def interval(self, labels: Integers, logits: Floats, confidence: float = 0.95) -> Interval:
        """Return the interval of kappa, see `kappa_interval`."""
        return kappa_interval(confusion_of(labels, logits), confidence)


def confusion_of(labels: Integers, logits: Floats) -> NDArray[np.float64]:
    """Return the confusion matrix (C, C) of the largest logits, rows the truth."""
    return confusion_matrix(labels, logits.argmax(axis=1), logits.shape[1]).astype(np.float64)


def squares(classes: int) -> NDArray[np.float64]:
    """Return the squared distance of every two grades, (C, C)."""
    grades = np.arange(classes, dtype=np.float64)
    return (grades[:, None] - grades) ** 2


def kappa(confusion: NDArray[np.float64]) -> float:
    """Return 1 minus the mean squared error of grades, over that of independent grades with the same frequencies."""
    shares = confusion / confusion.sum()
    weights = squares(len(confusion))
    expected = float(shares.sum(axis=1) @ weights @ shares.sum(axis=0))
    return 1.0 - float((shares * weights).sum()) / expected if expected > 0 else 0.0


def kappa_interval(confusion: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """Return tanh(artanh K +- z sd / (1 - K^2)): the delta method on Fisher's scale, for kappa K.

    With observed and expected disagreement O and E, K = 1 - O / E. An image of grade i predicted as j has the influence
    -(w_ij - O) / E + O (a_i + b_j - 2 E) / E^2: w are squared distances, a_i the mean of w_i over predicted grades, b_j
    that of w_j over true ones. The variance is the mean square of the influences over n (Fleiss, Cohen and Everitt,
    1969, Psychological Bulletin 72). Where they do not vary it is that of independent normal variables, 1 / (n - 3);
    where all grades are right, the lower limit is kappa at Wilson's limit of the accuracy, all errors being as large as
    by chance.

    Args:
        confusion: (C, C) counts, rows the truth.
        confidence: probability that the interval covers the true kappa.
    """
    n, value = float(confusion.sum()), kappa(confusion)
    if value > 1 - 1e-9:
        # Independent grades of these frequencies agree in this share of images, and kappa counts what is beyond it.
        by_chance = float((confusion.diagonal() / n) @ (confusion.diagonal() / n))
        return max(1 - (1 - wilson(n, n, confidence)[0]) / (1 - by_chance), -1.0), 1.0
    shares, weights = confusion / n, squares(len(confusion))
    of_true, of_said = weights @ shares.sum(axis=0), shares.sum(axis=1) @ weights
    observed, expected = float((shares * weights).sum()), float(shares.sum(axis=1) @ of_true)
    z, deviation = two_sided_quantile(confidence), 0.0
    if expected > 0:
        influence = observed * (of_true[:, None] + of_said - 2 * expected) / expected**2
        influence -= (weights - observed) / expected
        deviation = float(np.sqrt((shares * influence**2).sum() / n))
    value = max(value, -1 + 1e-9)
    reach = z * deviation / (1 - value**2) if deviation > 1e-9 else z / np.sqrt(max(n - 3, 1))
    centre = np.arctanh(value)
    return float(np.tanh(centre - reach)), float(np.tanh(centre + reach))
