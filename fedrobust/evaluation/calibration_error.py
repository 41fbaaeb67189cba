"""The calibration error of a classifier, unbiased in small samples, with a confidence interval."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc, ndtr

from fedrobust.evaluation.intervals import Floats, Interval

BINS = 30
FEWEST_IN_A_BIN = 8
STEPS = 24


@dataclass(frozen=True)
class CalibrationError:
    """The root mean square gap between confidence and accuracy.

    Args:
        value: the estimate; 0 where the observed gaps are no larger than expected by chance.
        interval: its limits.
    """

    value: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class Bins:
    """Images binned by confidence.

    Args:
        images: (B,) images of each bin, at least 2.
        confidence: (B,) mean confidence.
        accuracy: (B,) share of correct predictions.
    """

    images: Floats
    confidence: Floats
    accuracy: Floats

    @property
    def shares(self) -> Floats:
        """(B,) share of all images."""
        result: Floats = self.images / self.images.sum()
        return result

    @property
    def squared_error(self) -> float:
        """The unbiased estimate of the mean squared gap; negative where gaps are smaller than expected by chance."""
        chance = self.accuracy * (1 - self.accuracy) / (self.images - 1)
        return float(self.shares @ ((self.accuracy - self.confidence) ** 2 - chance))


def calibration_error(
    right: NDArray[np.bool_], confidence: NDArray[np.floating], level: float = 0.95
) -> CalibrationError | None:
    """Return the calibration error sqrt(E[(P(correct | confidence) - confidence)^2]) of a classifier's predictions.

    The plug-in error of bins (Guo et al., 2017, arXiv:1706.04599, eq. 5) is above 0 also for a calibrated classifier.
    Here the expected contribution of chance, p (1 - p) / (m - 1) for m images of which a share p is correct, is
    subtracted from each bin's squared gap, so that the mean square is unbiased (Kumar et al., 2019, arXiv:1909.10155,
    Definition 5.1). Bins end at the quantiles (k / 30)^2 of confidence and have at least eight images, equal
    confidences together: at low confidence, where the gaps of an accurate classifier differ most, bins are narrow.

    The interval inverts a test: a true error is inside if the estimate is not among the most extreme 2.5 % of its
    distribution on either side. Gaps are assumed to have the observed signs. For a bin with gap g and variance s^2 the
    estimate then has the mean g^2 and the variance 4 g^2 s^2 / m + 2 s^4 / (m (m - 1)); Var(g^2) / n over bins is
    added, because confidences vary between samples. The distribution, which is skewed near an error of 0, is
    approximated by a shifted gamma distribution with its first three moments. An estimate below 0 counts as 0, so that
    true errors near 0 cannot be rejected from below; they are tested one-sided at 5 %. Therefore 0 is inside if and
    only if a calibrated classifier shows at least this error in 5 % of all samples (the consistency band of Broecker
    and Smith, 2007).

    Args:
        right: (n,) whether the prediction is correct.
        confidence: (n,) largest softmax probability.
        level: probability that the interval covers the true error.

    Returns:
        None for a single image.

    Example:
        >>> sure = calibration_error(np.repeat([True, False], 50), np.full(100, 0.99))
        >>> round(sure.value, 2), tuple(round(limit, 2) for limit in sure.interval)
        (0.49, (0.39, 0.59))
    """
    if len(right) < 2:
        return None
    bins = binned(np.asarray(right), np.asarray(confidence, np.float64))
    observed = max(0.0, bins.squared_error)
    value, tail = float(np.sqrt(observed)), (1 - level) / 2
    gaps = bins.accuracy - bins.confidence
    length = float(np.sqrt(bins.shares @ gaps**2))
    seen = gaps / length if length > 0 else -np.ones_like(gaps)

    def error_at(distance: float, direction: Floats) -> float:
        return float(np.sqrt(bins.shares @ (_moved(bins, distance * direction) - bins.confidence) ** 2))

    def not_too_large(distance: float, direction: Floats) -> bool:
        return _tails(observed, bins, _moved(bins, distance * direction))[0] >= tail

    def too_small(distance: float) -> bool:
        accuracy = _moved(bins, distance * seen)
        one_sided = _tails(0.0, bins, accuracy)[0] >= tail
        return _tails(observed, bins, accuracy)[1] < (2 * tail if one_sided else tail)

    low = error_at(_last(too_small, 0.0, value), seen) if too_small(0.0) else 0.0
    # Where nearly all predictions are correct, accuracy can hardly exceed confidence: use the overconfident direction.
    directions = (seen, -np.ones_like(gaps)) if error_at(2.0, seen) < 2 * value + 1e-9 else (seen,)
    high = max(
        error_at(_last(partial(not_too_large, direction=along), 0.0, 2.0), along) for along in directions
    )
    return CalibrationError(value, (min(low, value), max(high, value)))


def binned(right: NDArray[np.bool_], confidence: Floats) -> Bins:
    """Return images binned by confidence; equal confidences are in one bin."""
    places = np.searchsorted(_edges(confidence), confidence, side="right")
    if (
        np.bincount(places) == 1
    ).any():  # the variance needs two images: with few distinct confidences all are joined in one bin
        places = np.zeros(len(right), np.intp)
    images = np.bincount(places).astype(np.float64)
    there = images > 0
    hits, sums = np.bincount(places, right), np.bincount(places, confidence)
    return Bins(images[there], (sums / np.maximum(images, 1))[there], (hits / np.maximum(images, 1))[there])


def _edges(confidence: Floats) -> Floats:
    """Return the ends of bins of at least `FEWEST_IN_A_BIN` images."""
    n = len(confidence)
    ends, last = [], 0
    for end in np.rint((np.arange(1, BINS) / BINS) ** 2 * n).astype(int):
        if min(end - last, n - end) >= FEWEST_IN_A_BIN:
            ends.append(end)
            last = end
    ranked = np.sort(confidence)
    result: Floats = np.unique([(ranked[end - 1] + ranked[end]) / 2 for end in ends])
    return result


def _moved(bins: Bins, gaps: Floats) -> Floats:
    """Return the accuracies with these gaps, clipped to [0, 1]."""
    return np.clip(bins.confidence + gaps, 0.0, 1.0)


def _tails(observed: float, bins: Bins, accuracy: Floats) -> tuple[float, float]:
    """Return P(estimate <= observed) and P(estimate >= observed) if `accuracy` (B,) is the true one."""
    shares, m = bins.shares, bins.images
    squares, spread = (accuracy - bins.confidence) ** 2, accuracy * (1 - accuracy)
    mean = float(shares @ squares)
    variance = float(shares**2 @ (4 * squares * spread / m + 2 * spread**2 / (m * (m - 1))))
    variance += float(shares @ (squares - mean) ** 2) / float(m.sum())
    third = float(8 * shares**3 @ ((spread / m) ** 3 + 3 * (spread / m) ** 2 * squares))
    if variance < 1e-18:
        return float(mean <= observed), float(mean >= observed)
    skewness = third / variance**1.5
    standard = (observed - mean) / np.sqrt(variance)
    if skewness < 1e-3:
        return float(ndtr(standard)), float(ndtr(-standard))
    shape = 4 / skewness**2
    quantile = max(0.0, shape + standard * np.sqrt(shape))
    return float(gammainc(shape, quantile)), float(gammaincc(shape, quantile))


def _last(inside: Callable[[float], bool], start: float, end: float) -> float:
    """Return the largest number of [start, end] up to which `inside` holds, by bisection."""
    if inside(end):
        return end
    for _ in range(STEPS):
        middle = (start + end) / 2
        start, end = (middle, end) if inside(middle) else (start, middle)
    return start
