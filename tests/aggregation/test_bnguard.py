"""BNGuard against its official code's features and scikit-learn's k-means, by hand, and what it cannot do."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from fedrobust.aggregation import AggregationContext, InfeasibleError, defence
from fedrobust.aggregation.clustering import larger_cluster, two_means
from fedrobust.aggregation.rules.bnguard import first_layer_features
from fedrobust.models.layout import AUXILIARY, Entry, Layout

NAMES = [
    (f"{AUXILIARY}first/moving_mean", 6),
    (f"{AUXILIARY}first/moving_variance", 6),
    ("first/moving_mean", 6),
    ("first/moving_variance", 6),
    ("second/moving_mean", 4),
    ("second/moving_variance", 4),
]
LAYOUT = Layout(
    (Entry("a", (30,), "trainable"), *(Entry(name, (size,), "statistic") for name, size in NAMES))
)


def context(statistics, layout=LAYOUT):
    n = len(statistics)
    return AggregationContext(np.arange(n), np.ones(n, int), layout=layout, statistics=statistics)


def drawn(draw, n, moved):
    """Return statistics of n clients, of which the first `moved` ones have seen other images in the first layer."""
    statistics = (1 + 0.05 * draw.standard_normal((n, 32))).astype(np.float32)
    statistics[:moved, 12:18] += 0.5 * draw.standard_normal(6).astype(np.float32)
    statistics[:moved, 18:24] *= np.linspace(0.5, 3, 6, dtype=np.float32)
    return statistics


def test_it_is_the_papers(draw):
    """The official code: mean and unbiased variance of the first layer's variances and means; k-means; the larger."""
    statistics, x = drawn(draw, 15, 4), draw.standard_normal((15, 30)).astype(np.float32)
    exact = statistics.astype(np.float64)
    mean, variance = exact[:, 12:18], exact[:, 18:24]
    features = np.stack(
        [variance.mean(1), variance.var(1, ddof=1), mean.mean(1), mean.var(1, ddof=1)], axis=1
    )
    np.testing.assert_allclose(first_layer_features(statistics, LAYOUT), features, rtol=1e-12)
    labels = KMeans(n_clusters=2, n_init=20, random_state=0).fit_predict(features)
    kept = np.flatnonzero(labels == np.bincount(labels).argmax())
    result = defence("bnguard")(x, context(statistics))
    assert np.flatnonzero(result.influence).tolist() == kept.tolist() == list(range(4, 15))
    np.testing.assert_allclose(result.update, x[kept].mean(0, dtype=np.float64), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", ["blobs", "line", "one far", "copies"])
def test_two_means_is_as_good_as_many_random_starts(shape, draw):
    for _ in range(3):
        points = draw.standard_normal((20, 4))
        if shape == "blobs":
            points[:7] += 3
        elif shape == "line":
            points[:, 1:] = 0
        elif shape == "one far":
            points[0] *= 1e6
        elif shape == "copies":
            points[5:15] = points[0]
        labels = two_means(points)
        cost = sum(((points[labels == k] - points[labels == k].mean(0)) ** 2).sum() for k in (0, 1))
        best = KMeans(n_clusters=2, n_init=10, random_state=0).fit(points).inertia_
        assert cost <= best * 1.02 + 1e-9
        order = draw.permutation(20)
        np.testing.assert_array_equal(larger_cluster(points[order]), larger_cluster(points)[order])


def test_of_equal_clusters_the_one_nearer_to_the_median_is_kept():
    points = np.array([[0.0], [0.1], [9], [9.1], [4]])
    assert two_means(points).tolist() == [0, 0, 1, 1, 0]
    even = np.array([[0.0], [0.1], [9], [30]])  # the median is 4.55
    assert larger_cluster(even).tolist() == [True, True, True, False]
    pairs = np.array([[0.0], [1], [10], [12]])  # centres at 0.5 and 11, the median at 5.5
    assert larger_cluster(pairs).tolist() == [True, True, False, False]
    assert larger_cluster(np.array([[1.0], [9]])).all()
    assert larger_cluster(np.ones((5, 3))).all()


def test_without_an_attacker_honest_clients_are_rejected(draw):
    influence = defence("bnguard")(
        draw.standard_normal((10, 30)).astype(np.float32), context(drawn(draw, 10, 0))
    ).influence
    assert 0 < (influence == 0).sum() < 5


def test_it_asks_for_statistics_of_a_layer(draw):
    x = draw.standard_normal((4, 30)).astype(np.float32)
    with pytest.raises(InfeasibleError, match="BNGuard needs the clients' BatchNorm statistics"):
        defence("bnguard")(x, AggregationContext(np.arange(4), np.ones(4, int), layout=LAYOUT))
    none = Layout(LAYOUT.entries[:3])
    with pytest.raises(InfeasibleError, match="no BatchNorm layer whose statistics clients send"):
        defence("bnguard")(x, context(np.ones((4, 12), np.float32), none))


@pytest.mark.parametrize("rule", ["bnguard", "deepsight", "flshield"])
def test_clients_with_statistics_of_their_own_are_not_mixed(rule):
    defence(rule, "clipping").check(10)
    with pytest.raises(
        InfeasibleError, match="own BatchNorm statistics, and NearestNeighbourMixing mixes clients"
    ):
        defence(rule, "nnm").check(10)


def test_whoever_is_not_finite_takes_its_statistics_along(draw):
    statistics, x = drawn(draw, 9, 3), draw.standard_normal((9, 30)).astype(np.float32)
    x[5, 0] = np.nan
    result = defence("bnguard")(x, context(statistics))
    assert np.flatnonzero(result.influence).tolist() == [3, 4, 6, 7, 8]
