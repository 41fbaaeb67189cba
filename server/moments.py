"""BatchNorm statistics of several clients put together exactly: means and second moments are averaged."""

import numpy as np

from fedrobust.models.layout import Layout, Weights


def as_moments(weights: Weights, layout: Layout) -> Weights:
    """Return `weights` with second moments E[x^2] in the place of variances.

    A mean of moments is a moment of all images together, which a mean of variances is not: it lacks what the clients'
    means differ by (law of total variance; Wu and Johnson, 2021, arXiv:2105.07576, section 3).

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
    """Return `weights` with variances again; see `as_moments`.

    A variance is negative by rounding alone, and 0 then: of clients whose moments are those of images, neither the
    mean nor the median of second moments is less than the square of the means' mean or median.
    """
    statistics = weights.statistics.copy()
    variances = statistics[layout.places("variance")] - statistics[layout.places("moving_mean")] ** 2
    statistics[layout.places("variance")] = np.maximum(variances, 0)
    return Weights(weights.trainable, statistics)
