"""Sensitivity at a fixed specificity: the true positive rate at a given true negative rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, logsumexp

from fedrobust.evaluation.intervals import Floats, Interval, wilson
from fedrobust.shares import part_of


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivity at a threshold that is estimated from healthy images.

    Args:
        value: share of the diseased images above the threshold.
        interval: its limits, which include the uncertainty of the threshold.
        found: number of diseased images above the threshold.
    """

    value: float
    interval: Interval
    found: int


def disease_score(logits: Floats, disease: Sequence[int]) -> Floats:
    """Return the log-odds (n,) of disease, log(P(disease) / P(healthy)), from logits (n, C).

    P(disease) is the sum of the softmax probabilities of the labels `disease`. It is computed by logsumexp, which keeps
    the order of the probabilities also where they round to 0 or 1.

    Example:
        >>> disease_score(np.log([[0.3, 0.3, 0.4]]), (0, 1)).round(4)  # log(0.6 / 0.4)
        array([0.4055])
    """
    ill = np.isin(np.arange(logits.shape[1]), list(disease))
    result: Floats = logsumexp(logits[:, ill], axis=1) - logsumexp(logits[:, ~ill], axis=1)
    return result


def sensitivity_at(
    scores: NDArray[np.floating], diseased: NDArray[np.bool_], specificity: float, confidence: float = 0.95
) -> Sensitivity:
    """Return the sensitivity at the lowest threshold with at least the given specificity.

    The threshold is the k-th smallest score of the h healthy images, k = specificity x h rounded up; an image above it
    is classified as diseased. In a bootstrap sample of the healthy images the k-th smallest score is the j-th original
    one with probability I_{j/h}(k, h + 1 - k) - I_{(j-1)/h}(k, h + 1 - k), I the regularised incomplete beta function.
    With s_j the sensitivity there, the bootstrap variance is exactly E[s_j (1 - s_j)] / d + Var(s_j) for d diseased
    images, without random draws. The interval is Wilson's for the number of images at which a proportion has that
    variance.

    Args:
        scores: (n,) larger for more likely diseased.
        diseased: (n,) bool, with both values.
        specificity: share of the healthy images that are classified as healthy.
        confidence: probability that the interval covers the true sensitivity.

    Source: Platt, Hanley and Yang (2000), Bootstrap confidence intervals for the sensitivity of a quantitative
    diagnostic test (the variance); Wilson (1927).

    Example:
        >>> sensitivity_at(np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, False, True, True]), 0.9).value
        1.0
    """
    healthy, ill = np.sort(scores[~diseased]), np.sort(scores[diseased])
    h, d = len(healthy), len(ill)
    k = max(1, part_of(specificity, h))
    above = d - np.searchsorted(ill, healthy, side="right")
    found = int(above[k - 1])
    places = np.diff(betainc(k, h + 1 - k, np.arange(h + 1) / h))
    shares = above / d
    threshold_variance = float(places @ (shares - places @ shares) ** 2)
    # Half an image is added on each side, so that the variance is positive also if all diseased images are found.
    share = (found + 0.5) / (d + 1)
    spread = share * (1 - share)
    images = spread / (spread / d + threshold_variance)
    value = found / d
    return Sensitivity(value, wilson(value * images, images, confidence), found)
