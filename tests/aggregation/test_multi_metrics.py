"""Multi-Metrics against a literal transcription, and where clients are equal in a metric."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, InfeasibleError, Updates, defence
from fedrobust.aggregation.rules.multi_metrics import metrics, summed_distances, whitened_lengths


def literal(x, w0, share):
    """Huang et al., 2023, equations 1 to 4."""
    features = np.array(
        [
            [np.abs(u).sum(), np.linalg.norm(u), w0 @ (w0 + u) / np.linalg.norm(w0) / np.linalg.norm(w0 + u)]
            for u in x
        ]
    )
    apart = np.array([[sum(abs(a - b) for b in column) for a in column] for column in features.T]).T
    inverse = np.linalg.inv(np.cov(apart.T))
    scores = [np.sqrt(row @ inverse @ row) for row in apart]
    return np.argsort(scores)[: max(1, int(share * len(x) + 0.5))]


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_it_is_the_papers(share, scale, draw):
    x = draw.standard_normal(500) + draw.standard_normal((13, 500)) * draw.uniform(0.5, 2, (13, 1))
    x[0], x[1] = -3 * x[0], 100 * x[1]
    x[2] = np.sign(x[2]) * np.linalg.norm(x[3]) / np.sqrt(500)
    x = (x * scale).astype(np.float32)
    w0 = (scale * draw.standard_normal(500)).astype(np.float32)
    context = AggregationContext(np.arange(13), np.ones(13, int), current=w0)
    result = defence(f"multi-metrics(share={share})")(Updates(x), context)
    expected = literal(x.astype(np.float64), w0.astype(np.float64), share)
    assert np.flatnonzero(result.influence).tolist() == sorted(expected.tolist())
    np.testing.assert_allclose(
        result.update, x[expected].mean(0, dtype=np.float64), rtol=1e-5, atol=1e-6 * scale
    )
    if share < 0.5:
        assert not result.influence[:2].any()


def test_a_metric_in_which_all_are_equal_does_not_count():
    """Euclidean norms are 5, and all are at a right angle to the model; Manhattan norms are 7, 7, 5, 7 and 9."""
    x = np.array(
        [[0, 3, 4, 0, 0], [0, 4, 3, 0, 0], [0, 0, 5, 0, 0], [0, 0, 3, 4, 0], [0, 1, 2, 2, 4]], np.float32
    )
    w0 = np.array([1, 0, 0, 0, 0], np.float32)
    found = metrics(Updates.of(x), w0)
    assert found[:, 0].tolist() == [7, 7, 5, 7, 9]
    assert np.ptp(found[:, 1:], axis=0).tolist() == [0, 0]
    context = AggregationContext(np.arange(5), np.ones(5, int), current=w0)
    result = defence("multi-metrics(share=0.6)")(x, context)
    assert np.flatnonzero(result.influence).tolist() == [0, 1, 3]
    same = defence("multi-metrics")(np.repeat(x[:1], 5, axis=0), context)
    np.testing.assert_array_equal(same.update, x[0])


def test_whitening_is_blind_to_scale_and_to_copies_of_a_feature(draw):
    x = draw.standard_normal((9, 3)) + 4
    one = whitened_lengths(x)
    np.testing.assert_allclose(whitened_lengths(x * [1e9, 1, 1e-9]), one, rtol=1e-6)
    np.testing.assert_allclose(whitened_lengths(np.c_[x, x[:, :1], np.full(9, 7.0)]), one, rtol=1e-6)
    assert whitened_lengths(np.ones((4, 3))).tolist() == [0.0] * 4
    assert whitened_lengths(summed_distances(np.ones((1, 3)))).tolist() == [0.0]


def test_it_asks_for_the_global_weights(draw):
    with pytest.raises(InfeasibleError, match="MultiMetrics needs the global weights"):
        defence("multi-metrics")(draw.standard_normal((4, 5)).astype(np.float32))
