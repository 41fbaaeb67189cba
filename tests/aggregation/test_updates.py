"""Distances, mixtures and blocks, against the plain formulas in float64."""

import numpy as np
import pytest

from fedrobust.aggregation import blocks
from fedrobust.aggregation.distances import squared_distances
from fedrobust.aggregation.updates import Updates


def plain_squared(rows):
    rows = np.vstack([rows.astype(np.float64), np.zeros(rows.shape[1])])
    return ((rows[:, None] - rows[None]) ** 2).sum(-1)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_distances_are_those_of_float64(draw, scale):
    matrix = (draw.standard_normal((9, 5000)) * scale).astype(np.float32)
    np.testing.assert_allclose(squared_distances(matrix), plain_squared(matrix), rtol=1e-10)


def test_distances_between_near_neighbours_far_from_zero_keep_their_digits(draw):
    # As weights are: numbers of about one whose differences are about 1e-5. The products alone would leave 3 digits.
    near = (1 + 1e-5 * draw.standard_normal((6, 3000))).astype(np.float32)
    far = np.full((1, 3000), 1e9, np.float32)
    matrix = np.concatenate([near[:3], far, near[3:], near[:1]])
    found, expected = squared_distances(matrix), plain_squared(matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert found[0, 7] == 0, "the same update twice"


def test_mixtures_are_what_they_say(draw):
    matrix = draw.standard_normal((7, 1000)).astype(np.float32)
    mixture = draw.random((5, 7))
    written = (mixture @ matrix.astype(np.float64)).astype(np.float32)
    mixed = Updates.of(matrix).mixed(mixture)
    np.testing.assert_allclose(np.asarray(mixed), written, rtol=1e-6)
    np.testing.assert_allclose(mixed.squared, plain_squared(written), rtol=1e-5)
    twice = mixed.mixed(np.full((1, 5), 0.2))
    np.testing.assert_allclose(np.asarray(twice)[0], written.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(twice.norms, [np.linalg.norm(written.mean(0))], rtol=1e-5)
    np.testing.assert_allclose(mixed.combined(np.arange(5)), np.arange(5) @ written, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mixed.rows(np.array([2])).norms, [np.linalg.norm(written[2])], rtol=1e-6)
    point = draw.standard_normal(1000)
    np.testing.assert_allclose(mixed.inner_with(point), written @ point, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mixed.distances_to(point), np.linalg.norm(written - point, axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        mixed.by_coordinate(lambda values: values.max(1)), written.max(0), rtol=1e-6, atol=1e-7
    )
    assert np.asarray(mixed, dtype=np.float64).dtype == np.float64


def test_cosines_of_a_zero_update_are_zero():
    updates = Updates.of(np.array([[1, 0], [0, 0], [2, 2], [-3, 0]], np.float32))
    np.testing.assert_allclose(updates.cosines[0], [1, 0, np.sqrt(0.5), -1], atol=1e-12)


def test_bits_do_not_depend_on_the_number_of_threads(draw, monkeypatch):
    matrix = draw.standard_normal((20, 200_000)).astype(np.float32)

    def everything():
        updates = Updates.of(matrix)
        sorted_middle = updates.by_coordinate(lambda values: np.sort(values, axis=1)[:, 7])
        return [updates.squared, updates.combined(np.arange(20)), sorted_middle]

    parallel = everything()
    monkeypatch.setattr(blocks, "_pool", lambda: SameThread())
    for one, other in zip(parallel, everything(), strict=True):
        np.testing.assert_array_equal(one, other)


class SameThread:
    def map(self, function, items):
        return map(function, items)


def test_blocks_hold_so_many_numbers_in_whole_cache_lines_and_are_never_narrow():
    assert [blocks.block_width(rows) for rows in (0, 1, 2, 4)] == [2**18, 2**18, 2**17, 2**16]
    assert blocks.block_width(3) == 2**18 // 3 // 64 * 64
    assert blocks.block_width(10**6) == 256


@pytest.mark.parametrize("shares", [[0, 0, 0], [0.5, 0, 0.25], [0.5, 0.25, 0.25]])
def test_a_sum_of_updates_is_float32_once_it_has_been_summed(shares, draw):
    matrix = draw.standard_normal((3, 500)).astype(np.float32)
    for updates in (Updates(matrix), Updates(matrix).mixed(np.eye(3)[[1, 2, 0]])):
        found = updates.combined(np.array(shares))
        assert found.dtype == np.float32
        rows = np.asarray(updates).astype(np.float64)
        np.testing.assert_array_equal(found, (np.array(shares) @ rows).astype(np.float32))


def test_only_matrices_are_updates():
    with pytest.raises(ValueError, match=r"updates of shape \(3,\)"):
        Updates.of(np.zeros(3))
    with pytest.raises(ValueError, match="one row a client"):
        Updates.of(np.zeros((0, 3)))
