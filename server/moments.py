"""Exact aggregation of the clients' BatchNorm statistics: the average of means and second moments."""

import numpy as np

from fedrobust.models.layout import Layout, Weights


def as_moments(weights: Weights, layout: Layout) -> Weights:
    """Return `weights` with second moments E[x^2] instead of variances.

    The mean of the clients' moments is the moment of all images. The mean of variances lacks the variance between the
    clients' means (law of total variance; Wu and Johnson, 2021, arXiv:2105.07576, section 3).

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> names = ("norm/moving_mean", "norm/moving_variance")
        >>> layout = Layout(tuple(Entry(name, (1,), "statistic") for name in names))
        >>> weights = Weights(np.zeros(0, np.float32), np.array([3, 1], np.float32))
        >>> as_moments(weights, layout).statistics.tolist()
        [3.0, 10.0]
        >>> as_statistics(as_moments(weights, layout), layout).statistics.tolist()
        [3.0, 1.0]
    """
    moments = weights.statistics.copy()
    moments[layout.places("variance")] += moments[layout.places("moving_mean")] ** 2
    return Weights(weights.trainable, moments)


def as_statistics(weights: Weights, layout: Layout) -> Weights:
    """Return `weights` with variances instead of second moments, the inverse of `as_moments`.

    Variances that are negative by rounding become 0. Otherwise they are not negative for moments of images, because
    the mean or median of second moments is at least the square of the mean or median of means.
    """
    return Weights(weights.trainable, statistics_of(weights.statistics, layout))


def statistics_of(moments: np.ndarray, layout: Layout) -> np.ndarray:
    """Return statistics (..., s) with variances from `moments` (..., s); see `as_statistics`."""
    statistics = moments.copy()
    variances = (
        statistics[..., layout.places("variance")] - statistics[..., layout.places("moving_mean")] ** 2
    )
    statistics[..., layout.places("variance")] = np.maximum(variances, 0)
    return statistics
