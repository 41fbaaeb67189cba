"""How sure a figure is: intervals for proportions, their mean, and the area under the ROC curve.

Test sets of medical images are small (BreastMNIST: 156 images), and attacked models are often constant. So no
interval here is ever of zero width: a model that is right on all of 20 images is not known to be right
always.
"""

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaincinv, logit, ndtri, stdtrit

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]
Interval = tuple[float, float]

FEWEST_IMAGES = 20
"""Images from which on the interval of a share is held to cover as it says."""

FEWEST_EVENTS = 2
"""Successes, and failures, from which on it is."""


def two_sided_quantile(confidence: float) -> float:
    """Return the z of a standard normal with probability `confidence` between -z and z.

    Raises:
        ValueError: `confidence` is not strictly between 0 and 1.

    Example:
        >>> round(two_sided_quantile(0.95), 4)
        1.96
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence = {confidence}: choose a number between 0 and 1, such as 0.95")
    return float(ndtri(0.5 + confidence / 2.0))


@overload
def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval: ...
@overload
def wilson(successes: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]: ...
def wilson(successes: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Interval | tuple[Floats, Floats]:
    """Return the score interval of a proportion: all p for which |p_hat - p| <= z sqrt(p (1 - p) / n).

    With p_hat = successes / n the two limits are
    (p_hat + z^2 / 2n ± z sqrt(p_hat (1 - p_hat) / n + z^2 / 4n^2)) / (1 + z^2 / n).

    One to three successes (two where n <= 50) have the lower limit of a Poisson count instead, half the quantile
    `1 - confidence` of chi-square with 2 x successes degrees of freedom, over n; as many failures, the upper limit
    alike. Without that, the interval covers a proportion of 0.18 / n in 84 % of all samples, however large n is.

    Args:
        successes: number of successes, one or an array; need not be whole.
        n: number of trials, one or an array that broadcasts with `successes`.
        confidence: probability that the interval covers the true proportion.

    Returns:
        The lower and the upper limit: floats for numbers, arrays for arrays.

    Raises:
        ValueError: some n is not positive, or some successes are outside of [0, n].

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference; Brown, Cai and
    DasGupta (2001), Interval estimation for a binomial proportion, Section 4.1.1 (few successes).

    Example:
        >>> low, high = wilson(156, 156)
        >>> round(low, 3), high
        (0.976, 1.0)
    """
    hits, trials = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(n, np.float64))
    if not np.all(trials > 0):
        raise ValueError(f"n = {n!r}: a proportion needs at least one trial")
    if not np.all((hits >= 0) & (hits <= trials)):
        raise ValueError(f"successes = {successes!r} of n = {n!r}: successes must lie between 0 and n")
    z = two_sided_quantile(confidence)
    rate = hits / trials
    centre = rate + z**2 / (2 * trials)
    reach = z * np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    # At the ends the limit is exactly 0 or 1; rounding would leave 1e-18 or a negative number.
    low = np.where(hits == 0, 0.0, (centre - reach) / (1 + z**2 / trials))
    high = np.where(hits == trials, 1.0, (centre + reach) / (1 + z**2 / trials))
    most, misses = np.where(trials > 50, 3, 2), trials - hits
    low = np.where(
        (hits > 0) & (hits <= most) & (hits < misses),
        np.minimum(low, _fewest(hits, confidence) / trials),
        low,
    )
    high = np.where(
        (misses > 0) & (misses <= most) & (misses < hits),
        np.maximum(high, 1 - _fewest(misses, confidence) / trials),
        high,
    )
    if low.ndim == 0:
        return float(low), float(high)
    return low, high


def _fewest(count: Floats, confidence: float) -> Floats:
    """Return the Poisson mean that exceeds `count` - 1 with probability 1 - `confidence`."""
    result: Floats = gammaincinv(np.maximum(count, 1e-9), 1 - confidence)
    return result


def too_few(successes: float, n: float) -> str | None:
    """Return what there is too little of for the interval of a proportion to cover it in 92 to 98 % of all samples.

    By exact summation over the binomial law, `wilson` does so where n >= 20 and samples mostly hold two successes and
    two failures or more. Nearer to 0 and 1 it covers in more, up to all of them.

    Example:
        >>> too_few(155, 156), too_few(18, 19), too_few(150, 156)
        ('1 of 156', '19 in all', None)
    """
    if n < FEWEST_IMAGES:
        return f"{n:.0f} in all"
    rarer = min(successes, n - successes)
    return f"{rarer:.0f} of {n:.0f}" if rarer < FEWEST_EVENTS else None


def mean_of_proportions(successes: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the interval of the mean of C independent proportions, from the Wilson limits of each (MOVER).

    With rates r_c and their limits (l_c, u_c), the limits are
    mean(r) - sqrt(sum of (r_c - l_c)^2) / C and mean(r) + sqrt(sum of (u_c - r_c)^2) / C.
    Balanced accuracy is such a mean: its rates are the recalls of the classes.

    Args:
        successes: successes of each proportion, shape (C,).
        n: trials of each proportion, shape (C,).
        confidence: probability that the interval covers the true mean.

    Raises:
        ValueError: there is no proportion, or `wilson` refuses one.

    Source: Zou and Donner (2008), Construction of confidence limits about effect measures: a general
    approach.

    Example:
        A classifier that always says "benign" has recalls 1 of 114 images and 0 of 42, and still an interval:

        >>> low, high = mean_of_proportions([114, 0], [114, 42])
        >>> round(low, 3), round(high, 3)
        (0.484, 0.542)
    """
    hits, trials = np.atleast_1d(np.asarray(successes, np.float64), np.asarray(n, np.float64))
    if hits.size == 0:
        raise ValueError("no proportion to average: give at least one")
    low, high = wilson(hits, trials, confidence)
    rates = hits / trials
    mean = float(rates.mean())
    below = float(np.linalg.norm(rates - low)) / rates.size
    above = float(np.linalg.norm(high - rates)) / rates.size
    return max(0.0, mean - below), min(1.0, mean + above)


@dataclass(frozen=True)
class Auc:
    """A mean of one-vs-rest areas under the ROC curve.

    Args:
        value: the mean area.
        variance: its sampling variance by DeLong's components; 0 where they do not vary.
        interval: lower and upper limit.
        classes: the classes averaged; a class without positives or without negatives is left out.
        degrees: degrees of freedom of the variance: so many images, about, decide it; 0 where it is 0.
        scarcest: positives or negatives of the class that has fewest of them.
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
    its coverage near areas of 1. Its quantile is Student's: near 1 the variance V rests on the few images that are out
    of order, and has 2 V^2 / (sum of influences^4 - V^2 / n) degrees of freedom, by Satterthwaite's rule.

    Where that variance is zero (areas of 0 or 1, constant scores) or cannot be estimated (one positive or one
    negative in a class), the interval is `mean_of_proportions` instead, taking each area for a proportion
    among min(p, q) images: wider, never of zero width.

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
    columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    positives = np.bincount(labels, minlength=scores.shape[1])
    classes = tuple(c for c in columns if 0 < positives[c] < labels.size)
    if not classes:
        return None
    areas = np.empty(len(classes))
    influence = np.zeros(labels.size)
    for k, c in enumerate(classes):
        areas[k], of_class = roc_influence(labels == c, scores[:, c])
        influence += of_class / len(classes)
    value = float(areas.mean())
    variance = float(influence @ influence)
    scarce = np.minimum(positives, labels.size - positives)[list(classes)]
    degrees = degrees_of_freedom(influence)
    if scarce.min() > 1 and variance > 0:
        interval = logit_interval(value, variance, confidence, degrees)
    else:
        interval = mean_of_proportions(areas * scarce, scarce, confidence)
    return Auc(value, variance, interval, classes, degrees, int(scarce.min()))


def degrees_of_freedom(influence: Floats) -> float:
    """Return the degrees of freedom of the variance V = sum of squared influences (n,): 2 V^2 / (sum of x^4 - V^2 / n).

    At least 1; 0 where nothing varies. Of n normal influences it is about n; of one that outweighs the others, about 2.

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

    The sum of squared influences is DeLong's variance S10 / p + S01 / q. A single positive (or negative) has
    influence 0: one value shows no spread.

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
        degrees: of freedom of the variance, for Student's t; without them t is the normal's z.

    Example:
        >>> low, high = logit_interval(0.9, 0.03**2)
        >>> round(low, 3), round(high, 3)
        (0.824, 0.945)
    """
    normal = two_sided_quantile(confidence)
    quantile = normal if np.isinf(degrees) else float(stdtrit(degrees, 0.5 + confidence / 2))
    reach = quantile * np.sqrt(variance) / (value * (1 - value))
    return float(expit(logit(value) - reach)), float(expit(logit(value) + reach))
