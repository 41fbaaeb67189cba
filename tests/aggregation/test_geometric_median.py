"""The geometric median: where it is, and that f < n / 2 attackers cannot move it, at any distance."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, Updates, defence
from fedrobust.aggregation.rules.geometric_median import majority_ball, weiszfeld


def attackers(draw, lengths, d):
    """Updates (m, d) in directions of their own, of these `lengths`."""
    units = draw.standard_normal((len(lengths), d))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return (units * np.asarray(lengths)[:, None]).astype(np.float32)


def error(rule, before, honest, bad, context=None):
    """The error in multiples of what Pillutla et al. allow: 2 / (n - 2f) times the honest distances to their mean."""
    sent = np.concatenate([bad, honest])
    mean = honest.astype(np.float64).mean(0)
    allowed = 2 / (len(honest) - len(bad)) * np.linalg.norm(honest - mean, axis=1).sum()
    found = defence(rule, *before, f=len(bad))(sent, context).update
    return np.linalg.norm(found - mean) / allowed


@pytest.mark.parametrize("before", [(), ("nnm",), ("clipping",), ("arc",)])
@pytest.mark.parametrize(
    ("n", "lengths"),
    [
        (10, [1e9, 1e20, 1e30, 3e38]),
        (10, [1e9] * 4),
        (10, [1e20, 1e30]),
        (10, [1e30, 1e30, 1e30]),
        (3, [1e9]),
        (3, [3e38]),
        (4, [1e14]),
        (50, [1e9] * 15),
        (50, list(np.logspace(-2, 38, 24))),
        (59, [1e25] * 29),
    ],
)
def test_distinct_attackers_do_not_move_it_far(n, lengths, before, draw):
    honest = draw.standard_normal((n - len(lengths), 400)).astype(np.float32)
    assert error("geometric-median", before, honest, attackers(draw, lengths, 400)) <= 1


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e20, 1e36])
def test_nor_at_other_scales_of_honest_updates(scale, draw):
    honest = (scale * draw.standard_normal((6, 40))).astype(np.float32)
    for lengths in ([3e38] * 4, [1e-38, 1, 1e10, 1e37], [0, 0, 1e30, 1e31]):
        assert error("geometric-median", (), honest, attackers(draw, lengths, 40)) <= 1


def test_honest_updates_far_from_zero_and_near_to_each_other(draw):
    honest = (1000 + draw.standard_normal((6, 300))).astype(np.float32)
    assert error("geometric-median", (), honest, attackers(draw, [1e9, 1e20, 1e30, 5], 300)) <= 1


def test_it_stays_where_it_is_when_attackers_go_on_in_the_same_direction(draw):
    """A far point pulls by its direction alone: at 1e12 as at 1e30."""
    honest = draw.standard_normal((7, 60)).astype(np.float32)
    units = draw.standard_normal((3, 60))
    near, far = (
        defence("geometric-median")(np.concatenate([honest, (units * s).astype(np.float32)])).update
        for s in (1e12, 1e30)
    )
    np.testing.assert_allclose(near, far, atol=2e-5)


def test_of_one_coordinate_it_is_the_median(draw):
    values = np.array([[0.0], [1], [2], [3e38], [-3e38], [1e25], [1.5]], np.float32)
    assert abs(defence("geometric-median")(values).update[0] - 1.5) < 1e-4


def test_the_corner_of_a_wide_triangle_is_its_own(draw):
    """An angle of 120° or more: the geometric median is that corner, and Weiszfeld's steps have to stop there."""
    corner = np.array([[0, 0], [1, 0.1], [-1, 0.1]], np.float32)
    for rule in ("geometric-median", "geometric-median(smoothing=0.0)"):
        assert np.abs(defence(rule)(corner).update).max() < 1e-5


def test_a_right_triangle_has_fermats_point():
    points = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    # Fermat: all sides are seen at 120°.
    expected = (3 - np.sqrt(3)) / 6
    np.testing.assert_allclose(defence("geometric-median")(points).update, expected, atol=1e-5)


def test_more_than_half_in_one_point_is_that_point(draw):
    same = np.repeat(draw.standard_normal((1, 30)).astype(np.float32), 4, axis=0)
    bad = attackers(draw, [1e-3, 1, 1e38], 30)
    np.testing.assert_array_equal(defence("geometric-median")(np.concatenate([bad, same])).update, same[0])
    influence = defence("geometric-median")(np.concatenate([bad, same])).influence
    np.testing.assert_allclose(influence, [0, 0, 0, 0.25, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("lengths", [[1e9, 1e9], [1e20, 1e30], [1, 3e38]])
def test_weighted_it_holds_against_less_than_half_of_the_images(lengths, draw):
    honest = draw.standard_normal((4, 80)).astype(np.float32)
    claims = np.array([40, 55, 5, 30, 50, 20])  # 95 of 200 are the attackers'
    sent = np.concatenate([attackers(draw, lengths, 80), honest])
    found = defence("geometric-median(weighted=True)")(sent, AggregationContext(np.arange(6), claims)).update
    mean = np.average(honest.astype(np.float64), axis=0, weights=claims[2:])
    allowed = 2 / (105 - 95) * (claims[2:] @ np.linalg.norm(honest - mean, axis=1))
    assert np.linalg.norm(found - mean) <= allowed
    buckets = defence("geometric-median(weighted=True)", "bucketing")(
        honest, AggregationContext(np.arange(4), claims[2:])
    )
    assert np.isfinite(buckets.update).all(), "buckets claim nothing: they count alike"


def test_the_slope_where_it_stops_is_what_was_asked_for(draw):
    points = np.concatenate([draw.standard_normal((30, 12)), 5 + draw.standard_normal((20, 12))])
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    for tolerance in (1e-2, 1e-4, 1e-8):
        found = weiszfeld(squared, np.ones(50), 1e-12, tolerance) @ points
        towards = points - found
        slope = np.linalg.norm((towards / np.linalg.norm(towards, axis=1)[:, None]).mean(0))
        assert slope <= 1.01 * tolerance


def test_attackers_cannot_widen_the_ball(draw):
    points = np.concatenate([draw.standard_normal((6, 5)), 1e9 * draw.standard_normal((5, 5))])
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    centre, radius, members = majority_ball(squared, np.ones(11))
    assert centre < 6
    assert sorted(members) == [0, 1, 2, 3, 4, 5]
    assert radius == np.sqrt(squared[:6, :6].max(1).min())
    heavy = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 11.0])
    assert majority_ball(squared, heavy)[:2] == (10, 0.0)


def test_only_where_it_matters_are_products_computed_again(draw, monkeypatch):
    calls = []
    original = Updates.inner_from

    def counted(self, origin):
        calls.append(origin)
        return original(self, origin)

    monkeypatch.setattr(Updates, "inner_from", counted)
    honest = draw.standard_normal((8, 60)).astype(np.float32)
    defence("geometric-median")(honest)
    assert calls == []
    defence("geometric-median")(np.concatenate([honest, attackers(draw, [1e9], 60)]))
    assert len(calls) == 1
