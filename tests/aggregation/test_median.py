import numpy as np

from fedrobust.aggregation import RULES, CoordinateMedian, coordinate_median, defence
from fedrobust.aggregation.kernels import mean_around_median


def test_is_numpys_median_in_float64(draw):
    for clients in (1, 4, 7):
        matrix = draw.normal(size=(clients, 100_001)).astype(np.float32)
        expected = np.median(matrix.astype(np.float64), axis=0).astype(np.float32)
        np.testing.assert_array_equal(coordinate_median(matrix), expected)


def test_stays_within_the_honest_clients_with_fewer_than_half_attackers(draw):
    honest = draw.normal(size=(6, 50)).astype(np.float32)
    attackers = np.full((5, 50), 1e9, np.float32)
    update = defence("median")(np.concatenate([attackers, honest])).update
    assert (update <= honest.max(0)).all()
    assert (update >= honest.min(0)).all()


def test_of_values_as_near_to_the_median_as_each_other_the_lower_are_averaged():
    values = np.array([[2, 0, 1], [1, 5, 9], [7, 3, 4]], np.float32)
    np.testing.assert_array_equal(mean_around_median(values, 2), [0.5, 3, 3.5])


def test_is_registered():
    assert isinstance(RULES["median"](), CoordinateMedian)
