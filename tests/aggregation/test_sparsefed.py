"""SparseFed against a literal transcription over rounds, and what its error feedback keeps."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, defence


@pytest.mark.parametrize("threshold", [0.0, 5.0])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_it_is_the_papers_over_rounds(share, threshold, draw):
    """Panda et al., 2022, Algorithm 1, without momentum."""
    rule, memory = defence(f"sparsefed(share={share}, threshold={threshold})"), {}
    error, sent, applied = np.zeros(200), np.zeros(200), np.zeros(200)
    for round in range(1, 5):
        x = (draw.standard_normal((8, 200)) * draw.uniform(0.1, 10, (8, 1))).astype(np.float32)
        norms = np.linalg.norm(x.astype(np.float64), axis=1)
        limit = threshold or np.median(norms)
        mean = (x * np.minimum(1, limit / norms)[:, None]).mean(0)
        error, sent = error + mean, sent + mean
        expected = np.zeros(200)
        largest = np.argsort(-np.abs(error), kind="stable")[: int(share * 200)]
        expected[largest] = error[largest]
        error -= expected
        result = rule(x, AggregationContext(np.arange(8), np.ones(8, int), round, memory=memory))
        memory, applied = result.memory, applied + result.update
        np.testing.assert_allclose(result.update, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(memory["error"], error, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            result.influence, np.minimum(1, limit / norms) / np.minimum(1, limit / norms).sum()
        )
    np.testing.assert_allclose(applied + memory["error"], sent, rtol=1e-4, atol=1e-5)


def test_a_coordinate_of_one_client_waits_until_it_has_grown():
    """Nine clients move the first coordinate by 1, one the second by 2: 0.9 against 0.2 a round."""
    x = np.zeros((10, 2), np.float32)
    x[:9, 0], x[9, 1] = 1, 2
    rule, memory, seen = defence("sparsefed(share=0.5, threshold=3.0)"), {}, []
    for _ in range(5):
        result = rule(x, AggregationContext(np.arange(10), np.ones(10, int), memory=memory))
        memory = result.memory
        seen.append(np.flatnonzero(result.update).tolist())
    assert seen == [[0], [0], [0], [0], [1]]
    np.testing.assert_allclose(result.update, [0, 1.0], rtol=1e-6)


def test_all_values_applied_is_norm_clipping(draw):
    x = draw.standard_normal((6, 30)).astype(np.float32)
    result = defence("sparsefed(share=1.0)")(x)
    np.testing.assert_array_equal(result.update, defence("norm-clipping")(x).update)
    assert not result.memory["error"].any()
