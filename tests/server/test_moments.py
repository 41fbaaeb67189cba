"""BatchNorm statistics of several clients put together."""

import numpy as np
import pytest

from fedrobust.models.layout import Entry, Layout, Weights
from server.moments import as_moments, as_statistics

LAYOUT = Layout(
    (
        Entry("kernel", (2,), "trainable"),
        Entry("norm/moving_mean", (3,), "statistic"),
        Entry("norm/moving_variance", (3,), "statistic"),
        Entry("dropout/seed_state", (1,), "statistic"),
    )
)


def statistics_of(values):
    """Return what BatchNorm measures of `values` (n, 3), and a counter."""
    return Weights(np.zeros(2, np.float32), np.array([*values.mean(0), *values.var(0), 7], np.float32))


@pytest.fixture
def shards():
    """Values of three clients whose means differ far."""
    draw = np.random.default_rng(0)
    return [draw.normal(mean, 1 + mean / 5, (size, 3)) for mean, size in ((0, 40), (5, 10), (-3, 30))]


def test_the_mean_of_moments_is_that_of_all_images_together(shards):
    moments = np.stack([as_moments(statistics_of(shard), LAYOUT).statistics for shard in shards])
    shares = np.array([len(shard) for shard in shards]) / 80
    pooled = as_statistics(Weights(np.zeros(2, np.float32), (shares @ moments).astype(np.float32)), LAYOUT)
    np.testing.assert_allclose(pooled.statistics, statistics_of(np.concatenate(shards)).statistics, rtol=1e-5)
    averaged = shares @ np.stack([statistics_of(shard).statistics for shard in shards])
    assert (averaged[3:6] < pooled.statistics[3:6] / 2).all(), (
        "a mean of variances lacks what the means differ by"
    )


def test_what_is_given_stays_as_it_is(shards):
    weights = statistics_of(shards[0])
    before = weights.statistics.copy()
    assert as_moments(weights, LAYOUT).trainable is weights.trainable
    as_statistics(weights, LAYOUT)
    np.testing.assert_array_equal(weights.statistics, before)


@pytest.mark.parametrize("clients", [1, 2, 3, 4, 7, 10])
def test_medians_of_moments_make_no_negative_variance(clients):
    """Closed form: |median of means| is at most the median of |means|, whose square is below that of E[x^2]."""
    draw = np.random.default_rng(clients)
    means = draw.normal(0, 3, (clients, 10_000))
    seconds = means**2 + draw.exponential(0.1, means.shape)
    assert (np.median(seconds, 0) >= np.median(means, 0) ** 2).all()


def test_rounding_makes_no_negative_variance():
    moments = np.array([1000, 0, 0, 1e6 - 1, 0, 0, 0], np.float32)
    assert as_statistics(Weights(np.zeros(2, np.float32), moments), LAYOUT).statistics[3] == 0
