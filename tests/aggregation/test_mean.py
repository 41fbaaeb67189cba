from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from fedrobust.aggregation import RULES, Mean, RunningMean


def mean_of(vectors, weights):
    mean = RunningMean(vectors.shape[1])
    for vector, weight in zip(vectors, weights, strict=True):
        mean.add(vector, weight)
    return mean.result()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_is_numpys_weighted_average_in_float64(draw, scale):
    vectors = (draw.normal(size=(7, 1000)) * scale).astype(np.float32)
    weights = draw.integers(1, 500, 7)
    expected = np.average(vectors.astype(np.float64), axis=0, weights=weights).astype(np.float32)
    np.testing.assert_array_equal(mean_of(vectors, weights), expected)


def test_the_mean_of_one_client_is_that_client_to_the_bit(draw):
    vector = (draw.normal(size=(1, 100_000)) * 10.0 ** draw.integers(-20, 10, (1, 100_000))).astype(
        np.float32
    )
    for examples in (1, 3, 4708, 109_309):
        assert mean_of(vector, [examples]).tobytes() == vector.tobytes()


def test_equal_clients_give_their_weights_back(draw):
    vector = draw.normal(size=1000).astype(np.float32)
    np.testing.assert_array_equal(mean_of(np.tile(vector, (10, 1)), np.arange(1, 11)), vector)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_the_order_of_clients_does_not_matter_in_any_bit(draw, scale):
    vectors = (draw.normal(size=(50, 40_000)) * scale).astype(np.float32)
    vectors[:, :20_000] *= 10.0 ** draw.integers(-6, 6, (50, 20_000))
    weights = draw.integers(1, 5000, 50)
    expected = mean_of(vectors, weights)
    plain = sum(vector.astype(np.float64) * weight for vector, weight in zip(vectors, weights, strict=True))
    other = sum(
        vector.astype(np.float64) * weight
        for vector, weight in zip(vectors[::-1], weights[::-1], strict=True)
    )
    assert (plain != other).any(), "plain float64 sums do depend on the order"
    for _ in range(5):
        order = draw.permutation(50)
        assert mean_of(vectors[order], weights[order]).tobytes() == expected.tobytes()


def test_is_the_exact_mean_rounded(draw):
    vectors = (draw.normal(size=(9, 200)) * 10.0 ** draw.integers(-4, 5, (9, 200))).astype(np.float32)
    weights = draw.integers(1, 5000, 9)
    for column, found in zip(vectors.T, mean_of(vectors, weights), strict=True):
        exact = sum(Fraction(float(x)) * int(w) for x, w in zip(column, weights, strict=True))
        assert found == np.float32(float(exact / int(weights.sum())))


def test_what_is_small_beside_the_sum_is_not_lost():
    """float64 has no 2**80 + 1: what rounding takes is kept until the large numbers have gone again."""
    vectors = np.array([[2.0**80], [1.0], [-(2.0**80)], [3.0]], np.float32)
    for order in permutations(range(4)):
        assert mean_of(vectors[list(order)], [1, 1, 1, 1]).tolist() == [1.0]


def test_nothing_has_no_mean():
    with pytest.raises(ZeroDivisionError):
        RunningMean(3).result()


def test_is_registered():
    assert isinstance(RULES["mean"](), Mean)
