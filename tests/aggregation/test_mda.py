"""The closest group of clients: exact against all groups, and the same one whatever the order of the clients."""

import itertools

import numpy as np
import pytest

from fedrobust.aggregation import defence
from fedrobust.aggregation.rules.mda import smallest_group


def symmetric(upper):
    return np.maximum(upper, upper.T)


def test_the_diameter_is_that_of_the_best_of_all_groups(draw):
    for _ in range(100):
        n = int(draw.integers(3, 9))
        f = int(draw.integers(0, (n - 1) // 2 + 1))
        # Few different distances: many pairs are exactly as far apart as each other.
        distances = symmetric(np.triu(draw.integers(1, 4, (n, n)), 1)).astype(float)
        best = min(distances[np.ix_(g, g)].max() for g in itertools.combinations(range(n), n - f))
        kept = smallest_group(distances, f)
        assert len(kept) == n - f
        assert distances[np.ix_(kept, kept)].max() == best


def test_all_that_are_far_from_one_go_where_they_are_as_many_as_may():
    """0 is far from 1 and 2, 1 from 3, and 2 from 4: without 1 and 2 nobody is far from anybody."""
    distances = np.ones((5, 5)) - np.eye(5)
    for one, other in ((0, 1), (0, 2), (1, 3), (2, 4)):
        distances[one, other] = distances[other, one] = 2
    assert smallest_group(distances, 2).tolist() == [0, 3, 4]


def test_where_fewer_have_to_go_the_farthest_from_those_that_stay_goes_with_them():
    """4 goes. 0 to 3 are two pairs as far apart as each other; 0 is farthest from the three, 1 from all four."""
    upper = np.zeros((5, 5))
    upper[0, 1:] = 2, 1.9, 1.9, 10
    upper[1, 2:] = 1, 1, 20
    upper[2, 3:] = 2, 10
    upper[3, 4] = 10
    assert smallest_group(symmetric(upper), 2).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("points", "mean"),
    [
        # 0, 1, 2 and 1, 2, 3 are as wide as each other. The sums of distances to all are 16, 13, 13 and 13.
        ([0, 1, 2, 3, 10], 1.0),
        # 0, 1, 2, 4 and 1, 2, 4, 5 are. All are 3e38 from the last one; the sums over the nearest differ.
        ([0, 1, 2, 4, 5, 3e38], 3.0),
    ],
)
def test_of_equal_groups_the_same_one_is_found_in_any_order(points, mean, draw):
    points = np.array(points, np.float32)[:, None]
    found = {float(defence("mda", f=2)(draw.permutation(points)).update[0]) for _ in range(20)}
    assert found == {mean}
