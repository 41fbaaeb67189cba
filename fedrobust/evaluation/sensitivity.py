"""Sensitivity at a fixed specificity: how many of the diseased are found if so many of the healthy are left alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, logsumexp

from fedrobust.evaluation.intervals import Floats, Interval, wilson
from fedrobust.shares import part_of


@dataclass(frozen=True)
class Sensitivity:
    """A sensitivity at a threshold that healthy images set.

    Args:
        value: the share of the diseased above the threshold.
        interval: its limits; that the threshold is an estimate, too, is in them.
        found: how many of the diseased are above the threshold.
    """

    value: float
    interval: Interval
    found: int


def disease_score(logits: Floats, disease: Sequence[int]) -> Floats:
    """Return the log-odds (n,) of having disease: log of P(any label that means it) / P(any other), from logits (n, C).

    P(disease) is the sum of the softmax probabilities of these labels. Sums of exponentials are taken on the log scale:
    the order is that of the probabilities also where they round to 0 or 1.

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
    """Return the share of the diseased found at the lowest threshold that leaves `specificity` of the healthy alone.

    The threshold is the k-th smallest score of the h healthy, k = specificity x h rounded up; an image is called ill
    above it. Drawn again with replacement, the healthy have their k-th smallest score at place j with probability
    I_{j/h}(k, h + 1 - k) - I_{(j-1)/h}(k, h + 1 - k), I the regularised incomplete beta function. With s_j the
    sensitivity at that place, the variance of the bootstrap is exactly E[s_j (1 - s_j)] / d + Var(s_j) for d diseased,
    without any random draw. The interval is Wilson's for as many images as would give a share that variance.

    Args:
        scores: (n,) larger for more likely ill.
        diseased: (n,) some are, and some are not.
        specificity: share of the healthy.
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
    # Half an image on each side: where all are found, the variance is not that of certainty.
    share = (found + 0.5) / (d + 1)
    spread = share * (1 - share)
    images = spread / (spread / d + threshold_variance)
    value = found / d
    return Sensitivity(value, wilson(value * images, images, confidence), found)
