"""Distances, whatever the lengths they lie between: against the differences themselves, in float64."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, Updates, defence, distances
from fedrobust.aggregation.distances import refined, squared_distances


def directly(rows):
    rows = np.vstack([rows, np.zeros(rows.shape[1])]).astype(np.float64)
    return ((rows[:, None] - rows[None]) ** 2).sum(-1)


def far(draw, lengths, d):
    units = draw.standard_normal((len(lengths), d))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return (units * np.asarray(lengths)[:, None]).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30])
def test_three_scales_at_once(scale, draw):
    """A pair within a pair within a pair, and others far away."""
    centre = draw.standard_normal(500)
    rows = [
        centre + apart * draw.standard_normal(500) for apart in (1, 1e-4, 1e-4, 1e-6, 1e-6) for _ in range(2)
    ]
    matrix = np.concatenate([np.array(rows) * scale, far(draw, [1e20 * scale**0.5, 1e37, 1e37], 500)])
    matrix = matrix.astype(np.float32)
    np.testing.assert_allclose(squared_distances(matrix), directly(matrix), rtol=1e-6)


def test_a_coordinate_that_all_share_hides_nothing(draw):
    matrix = draw.standard_normal((8, 200)).astype(np.float32)
    matrix[:, 0] = 3e38
    matrix[3] = matrix[5]
    found = squared_distances(matrix)
    np.testing.assert_allclose(found, directly(matrix), rtol=1e-9)
    assert found[3, 5] == 0


@pytest.mark.parametrize("far_one", range(4))
def test_near_the_origin_of_a_far_one(far_one):
    """An update that is near to two others is no place to measure those from that are nearer to each other still."""
    matrix = np.zeros((4, 3), np.float32)
    matrix[:, 0] = 1e20
    matrix[3, 0] = np.nextafter(np.float32(1e20), np.float32(np.inf))
    matrix[1:3, 1] = 1, 1.5
    matrix = np.roll(matrix, far_one, axis=0)
    np.testing.assert_allclose(squared_distances(matrix), directly(matrix), rtol=1e-9)


def test_what_has_not_lost_its_digits_is_left_alone(draw):
    squared = directly(draw.standard_normal((6, 9)))[:-1, :-1]
    before = squared.copy()

    def never(near, origin):
        raise AssertionError("nothing was lost")

    np.testing.assert_array_equal(refined(squared, squared + 1, never), before)


@pytest.mark.parametrize("length", [1e3, 1e9, 1e17, 1e20, 1e30, 3e38])
@pytest.mark.parametrize("stage", ["clipping", "arc", "clipping(threshold=0.5)"])
def test_clipped_distances_are_those_of_clipped_updates(stage, length, draw):
    matrix = np.concatenate([far(draw, [length, length / 3, length], 300), draw.standard_normal((7, 300))])
    matrix = matrix.astype(np.float32)
    seen = defence("mean", stage, f=3).before[0](Updates(matrix), AggregationContext.of(Updates(matrix)))
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    limit = {"clipping": np.median(lengths), "arc": np.sort(lengths)[10 - 4 - 1]}.get(stage, 0.5)
    expected = matrix * np.minimum(1, limit / lengths)[:, None]
    np.testing.assert_allclose(seen.squared, directly(expected), rtol=1e-9)
    np.testing.assert_allclose(seen.norms, np.minimum(lengths, limit), rtol=1e-12)
    np.testing.assert_allclose(seen.inner, expected @ expected.T, atol=1e-12 * limit**2)


@pytest.mark.parametrize("before", [("clipping",), ("arc",), ("clipping", "nnm"), ("arc", "nnm")])
@pytest.mark.parametrize("rule", ["krum", "multi-krum(m=1)", "mda", "geometric-median"])
def test_rules_behind_clipping_choose_as_if_the_clipped_updates_had_been_sent(rule, before, draw):
    honest = draw.standard_normal((8, 300)) + 3
    matrix = np.concatenate([far(draw, [1e17, 1e30, 3e38], 300), honest]).astype(np.float32)
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    limit = np.median(lengths) if before[0] == "clipping" else np.sort(lengths)[11 - 4 - 1]
    clipped = (matrix * np.minimum(1, limit / lengths)[:, None]).astype(np.float32)
    found = defence(rule, *before, f=3)(matrix)
    expected = defence(rule, *before[1:], f=3)(clipped)
    assert ((found.influence > 0) == (expected.influence > 0)).all()
    np.testing.assert_allclose(found.update, expected.update, atol=1e-4)


def test_mixtures_of_the_same_are_the_same(draw):
    matrix = draw.standard_normal((6, 50)).astype(np.float32)
    mixture = np.array([[1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]]) / 3
    squared = Updates(matrix).mixed(mixture).squared
    assert squared[0, 2] == 0
    np.testing.assert_array_equal(squared, squared.T)
    np.testing.assert_allclose(squared, directly(mixture @ matrix.astype(np.float64)), rtol=1e-9, atol=1e-15)


def test_equal_mixtures_cost_nothing_that_grows_with_the_model(draw, monkeypatch):
    """Behind nearest-neighbour mixing many are equal: no difference of theirs is worth a look at all coordinates."""

    def never(matrix, mixture):
        raise AssertionError("products of mixtures were computed")

    monkeypatch.setattr(distances, "mixed_products", never)
    mixture = np.array([[1, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 1, 1]]) / 3
    for _ in range(20):
        squared = Updates(draw.standard_normal((4, 50)).astype(np.float32)).mixed(mixture).squared
        same = (mixture[:, None] == mixture[None]).all(-1)
        assert ((squared[:-1, :-1] == 0) == same).all()


@pytest.mark.parametrize("length", [1e10, 1e21, 1e30])
def test_two_that_undo_each_other_in_a_mixture_drown_nobody(length, draw):
    """Sums of enormous terms have noise for digits: all that is computed of one is computed of the same noise."""
    matrix = draw.standard_normal((7, 40)).astype(np.float32)
    matrix[5:] = far(draw, [length], 40) * np.array([[1], [-1]], np.float32)
    mixture = np.eye(7)[:6]
    mixture[5] = [0, 0, 0, 0, 0.25, 0.375, 0.375]
    mixed = Updates(matrix).mixed(mixture)
    rows = np.asarray(mixed).astype(np.float64)
    np.testing.assert_allclose(mixed.squared, directly(rows), rtol=1e-9)
    np.testing.assert_allclose(mixed.distances_to(np.zeros(40)), np.linalg.norm(rows, axis=1), rtol=1e-6)
    again = mixed.mixed(np.full((1, 6), 1 / 6))
    np.testing.assert_allclose(np.asarray(again)[0], rows.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(mixed.combined(np.full(6, 1 / 6)), rows.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        mixed.inner_from(2), (rows - rows[2]) @ (rows - rows[2]).T, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(mixed.inner_with(np.ones(40)), rows.sum(1), rtol=1e-6, atol=1e-5)
    shares = again.shares_of(Updates(matrix))
    np.testing.assert_allclose(shares, np.full((1, 6), 1 / 6) @ mixture)


def test_influence_is_told_in_clients_where_a_mixture_was_written_out(draw):
    honest = draw.standard_normal((9, 40)).astype(np.float32)
    bad = far(draw, [1e30], 40) * np.array([[1], [-1]], np.float32)
    for chain in (("bucketing",), ("bucketing", "nnm")):
        result = defence("multi-krum", *chain, f=1)(np.concatenate([honest, bad]))
        assert result.influence.shape == (11,)
        assert np.isclose(result.influence.sum(), 1)


def test_cosines_do_not_depend_on_lengths(draw):
    matrix = draw.standard_normal((6, 80)).astype(np.float32)
    expected = Updates(matrix).cosines
    stretched = (matrix * np.array([[1e-37], [1e-10], [1], [1e12], [1e25], [1e37]])).astype(np.float32)
    np.testing.assert_allclose(Updates(stretched).cosines, expected, atol=1e-6)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("value", [3e38, -3.4e38])
def test_noise_at_the_end_of_the_range_stays_in_it(value):
    matrix = np.full((5, 30), value, np.float32)
    for rule in ("norm-clipping(noise=3.0)", "flame(noise=5.0)"):
        assert np.isfinite(defence(rule)(matrix).update).all()
