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


def test_nothing_has_no_mean():
    with pytest.raises(ZeroDivisionError):
        RunningMean(3).result()


def test_is_registered():
    assert isinstance(RULES["mean"](), Mean)
