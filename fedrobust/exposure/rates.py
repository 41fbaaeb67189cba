"""How well scores tell members from others: AUC, and true positive rates at low false positive rates."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from fedrobust.evaluation.intervals import Interval
from fedrobust.evaluation.roc import mean_area

FALSE_POSITIVE_RATES = (0.01, 0.001)
"""At which true positive rates are given (Carlini et al., 2022, arXiv:2112.03570)."""

RESAMPLES = 400
"""Of the images, for the interval of figures that are pooled over targets."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """A true positive rate at a false positive rate.

    Attributes:
        asked: the false positive rate that may not be exceeded.
        value: share of members above the threshold; None: the others are too few to resolve the rate.
        interval: of it, at this threshold.
        found: members above the threshold.
        members: all members.
        false: others above the threshold.
        others: all others.
    """

    asked: float
    value: float | None
    interval: Interval | None
    found: int
    members: int
    false: int
    others: int


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the exact interval of a proportion (Clopper and Pearson, 1934).

    Example:
        >>> [round(limit, 4) for limit in clopper_pearson(0, 10)]
        [0.0, 0.3085]
        >>> [round(limit, 4) for limit in clopper_pearson(3, 10)]
        [0.0667, 0.6525]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def rate_at(scores: Floats, members: NDArray[np.bool_], asked: float) -> Rate:
    """Return the share of members that score above all but a share `asked` of the others.

    The threshold is the score of an other image; images above it, not those at it, are taken for members. With fewer
    than 1 / asked others not one false positive is allowed: no rate is given.

    Args:
        scores: (n,).
        members: (n,).
        asked: false positive rate.

    Example:
        >>> rate = rate_at(np.array([9.0, 8, 7, 6, 5, 4]), np.array([1, 0, 1, 1, 0, 0], bool), asked=0.34)
        >>> rate.value, rate.false
        (1.0, 1)
        >>> rate_at(np.arange(6.0), np.array([1, 0, 1, 1, 0, 0], bool), asked=0.3).value is None
        True
    """
    inside, outside = scores[members], np.sort(scores[~members])[::-1]
    allowed = int(asked * len(outside) + 1e-9)
    if allowed < 1:
        return Rate(asked, None, None, 0, len(inside), 0, len(outside))
    threshold = outside[allowed] if allowed < len(outside) else -np.inf
    found, false = int((inside > threshold).sum()), int((outside > threshold).sum())
    interval = clopper_pearson(found, len(inside))
    return Rate(asked, found / len(inside), interval, found, len(inside), false, len(outside))


def area(scores: Floats, members: NDArray[np.bool_]) -> tuple[float, Interval]:
    """Return the AUC and DeLong's interval; there are members and others."""
    found = mean_area(members[:, None], scores[:, None])
    assert found is not None
    return found.value, found.interval


@dataclass(frozen=True)
class Pooled:
    """Figures over several targets, with intervals by resampling images, which all targets share.

    Attributes:
        auc: mean AUC over the targets.
        interval: of it.
        rates: true positive rates at one threshold for all targets.
    """

    auc: float
    interval: Interval
    rates: tuple[Rate, ...]


def pooled(scores: Floats, members: NDArray[np.bool_], seed: int) -> Pooled:
    """Return the figures of an attack on several targets.

    Args:
        scores: of image i at target t, (targets, n).
        members: (targets, n).
        seed: of the resampling.
    """
    draw, images = np.random.default_rng(seed), scores.shape[1]
    drawn = [np.bincount(draw.integers(0, images, images), minlength=images) for _ in range(RESAMPLES)]
    counts = np.array(drawn, np.float64)
    rates = []
    for asked in FALSE_POSITIVE_RATES:
        rate = rate_at(scores.ravel(), members.ravel(), asked)
        if rate.value is not None:
            rate = replace(rate, interval=_limits(weighted_rates(scores, members, asked, counts)))
        rates.append(rate)
    auc = float(mean_aucs(scores, members, np.ones((1, images)))[0])
    return Pooled(auc, _limits(mean_aucs(scores, members, counts)), tuple(rates))


def mean_aucs(scores: Floats, members: NDArray[np.bool_], counts: Floats) -> Floats:
    """Return the mean AUC over targets for each row of `counts` (rows, n), by which images are repeated: (rows,).

    Example:
        >>> members = np.array([[True, False, True, False]])
        >>> mean_aucs(np.array([[2.0, 1.0, 1.0, 0.0]]), members, np.array([[1.0, 1, 1, 1], [1, 1, 0, 1]])).tolist()
        [0.875, 1.0]
    """
    total, targets = np.zeros(len(counts)), np.zeros(len(counts))
    for row, inside in zip(scores, members, strict=True):
        ordered = np.sort(row[~inside])
        order = np.argsort(row[~inside], kind="stable")
        low, high = (np.searchsorted(ordered, row[inside], side) for side in ("left", "right"))
        # Weight of the others below each member, ties counting one half, from running sums.
        sums = np.pad(np.cumsum(counts[:, ~inside][:, order], axis=1), ((0, 0), (1, 0)))
        below = (sums[:, low] + sums[:, high]) / 2
        pairs = counts[:, inside].sum(axis=1) * sums[:, -1]
        right = (counts[:, inside] * below).sum(axis=1)
        total += np.divide(right, pairs, out=np.zeros_like(right), where=pairs > 0)
        targets += pairs > 0
    return total / np.maximum(targets, 1)


def weighted_rates(scores: Floats, members: NDArray[np.bool_], asked: float, counts: Floats) -> Floats:
    """Return the true positive rate at a false positive rate for each row of `counts`, see `mean_aucs`."""
    images = np.broadcast_to(np.arange(scores.shape[1]), scores.shape).ravel()
    values, inside = scores.ravel(), members.ravel()
    order = np.argsort(-values[~inside], kind="stable")
    high_to_low, whose = values[~inside][order], images[~inside][order]
    thresholds = np.append(high_to_low, -np.inf)
    mine = np.sort(values[inside])
    its = images[inside][np.argsort(values[inside], kind="stable")]
    found = np.empty(len(counts))
    for row, weights in enumerate(counts):
        false = np.cumsum(weights[whose])
        place = int(np.searchsorted(false, asked * false[-1] + 1e-9, side="right"))
        above = np.searchsorted(mine, thresholds[place], side="right")
        found[row] = weights[its[above:]].sum() / max(weights[its].sum(), 1)
    return found


def _limits(values: Floats) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
