"""Weights by the sizes of sites: clients counted as often as their size, the cap on a share, sizes that are given."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, InfeasibleError, defence
from fedrobust.aggregation.rules.trimmed_mean import trimmed_by_weight
from fedrobust.aggregation.weights import capped

SIZES = np.array([3, 1, 2, 4, 2])
"""12 images."""

WEIGHTED = ["mean", "norm-clipping", "trimmed-mean", "rlr", "geometric-median", "centred-clipping"]


def context(sizes, **settings):
    return AggregationContext(np.arange(len(sizes)), np.asarray(sizes), **settings)


def updates(draw, n=5, d=60):
    x = draw.standard_normal((n, d)) + 1
    x[0] *= 20
    return x.astype(np.float32)


@pytest.mark.parametrize(
    ("weighted", "counted"),
    [
        ("geometric-median(weighted=True)", "geometric-median"),
        ("norm-clipping(weighted=True, threshold=9.0)", "norm-clipping(threshold=9.0)"),
        ("centred-clipping(weighted=True, threshold=9.0)", "centred-clipping(threshold=9.0)"),
        ("rlr(weighted=True, threshold=3.0)", "rlr(threshold=7.2)"),  # of 5 clients, of 12 images
        ("mean", "mean"),
        ("mean(weighting='uniform')", "mean"),
    ],
)
def test_a_weight_of_k_is_that_of_k_equal_clients(weighted, counted, draw):
    x = updates(draw)
    found = defence(weighted)(x, context(SIZES)).update
    copies = x if "uniform" in weighted else np.repeat(x, SIZES, axis=0)
    expected = defence(counted)(copies).update
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [[5, 5, 5, 5, 5, 5], [1, 2, 3, 4, 5, 3], [9, 1, 1, 5, 1, 1]])
@pytest.mark.parametrize("f", [1, 2])
def test_trimming_by_weight_is_trimming_of_as_many_equal_clients(sizes, f, draw):
    """Of 18 or 30 images the share f / 6 is left out at each end, a whole number of them."""
    x = updates(draw, 6)
    found = defence("trimmed-mean(weighted=True)", f=f)(x, context(sizes)).update
    copies = np.repeat(x, sizes, axis=0)
    expected = defence("trimmed-mean", f=f * sum(sizes) // 6)(copies).update
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_client_at_the_border_counts_in_part():
    """Shares 0.5, 0.25, 0.25 and a third cut off: of the first 1/6 is left, of the second all, of the third nothing."""
    values = np.array([[0, 6, 60]], np.float32)
    found = trimmed_by_weight(values, np.array([0.5, 0.25, 0.25]), 1 / 3)
    np.testing.assert_allclose(found, [(1 / 6 * 0 + 1 / 6 * 6) / (1 / 3)])
    np.testing.assert_allclose(trimmed_by_weight(values, np.full(3, 1 / 3), 1 / 3), [6])


def by_hand(row, weights, cut):
    """The definition: sort, and count of each value what of its weight lies between the shares `cut` and 1 - `cut`."""
    order = np.argsort(row, kind="stable")
    shares = weights[order] / weights.sum()
    ends = np.cumsum(shares)
    left = np.maximum(0, np.minimum(ends, 1 - cut) - np.maximum(ends - shares, cut))
    return left @ row[order].astype(np.float64) / left.sum()


@pytest.mark.parametrize("weights", ["whole", "shares", "equal", "with zeros"])
def test_trimming_by_weight_is_its_definition_whatever_the_values_are(weights, draw):
    values = draw.standard_normal((1500, 33)).astype(np.float32)
    values[:10] = np.round(values[:10])
    values[10] = [0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, *values[10, 6:]]
    given = {
        "whole": draw.integers(1, 500, 33).astype(np.float64),
        "shares": draw.lognormal(0, 1, 33),
        "equal": np.ones(33),
        "with zeros": draw.integers(0, 3, 33).astype(np.float64),
    }[weights]
    for cut in (0.0, 0.1, 0.33, 0.48):
        expected = [by_hand(row, given, cut) for row in values]
        if cut == 0:
            values, expected = np.delete(values, 10, 0), np.delete(expected, 10)  # 1e38 is not left out
        np.testing.assert_allclose(trimmed_by_weight(values, given, cut), expected, atol=1e-6)


@pytest.mark.parametrize(
    "sizes", [[3.0, 3, 3, 3, 3, 4, 2, 3, 3, 3], [0.3, 0.3, 0.3, 0.3, 0.3, 0.4, 0.2, 0.3, 0.3, 0.3]]
)
def test_an_attacker_whose_share_ends_at_the_border_has_no_weight_whatever_it_sends(sizes, draw):
    """A tenth is left out at each end, the attacker's whole share: rounding must not leave it a part of 1e38."""
    values = draw.standard_normal((40, 10)).astype(np.float32)
    values[:20, 0], values[20:, 0] = 3e38, -3e38
    found = trimmed_by_weight(values, np.array(sizes), 0.1)
    assert (found >= values[:, 1:].min(1)).all()
    assert (found <= values[:, 1:].max(1)).all()


def test_trimming_by_weight_holds_against_less_than_its_share(draw):
    x = updates(draw, 8)
    x[:2] = [[1e9], [-1e9]]
    sizes = [
        9,
        9,
        10,
        10,
        10,
        8,
        9,
        7,
    ]  # each attacker has an eighth, and f = 1 of 8 are left out at each end
    found = defence("trimmed-mean(weighted=True)", f=1)(x, context(sizes)).update
    assert (found >= x[2:].min(0) - 1e-5).all()
    assert (found <= x[2:].max(0) + 1e-5).all()


@pytest.mark.parametrize("max_share", [0.15, 0.2, 0.35, 0.9])
def test_a_cap_keeps_every_share_below_it_and_the_order_of_sizes(max_share, draw):
    for _ in range(50):
        weights = draw.lognormal(0, 2, 12)
        found = capped(weights, max_share)
        shares = found / found.sum()
        assert shares.max() <= max_share * (1 + 1e-12)
        assert (np.diff(found[np.argsort(weights)]) >= 0).all()
        below = found < found.max()
        np.testing.assert_array_equal(found[below], weights[below])
        if (weights / weights.sum()).max() <= max_share:
            np.testing.assert_array_equal(found, weights)
        else:
            assert np.isclose(shares.max(), max_share), "no more is cut off than has to be"


def test_a_cap_by_hand():
    shares = capped(np.array([70.0, 20, 10]), 0.5)
    np.testing.assert_allclose(shares / shares.sum(), [0.5, 1 / 3, 1 / 6])
    shares = capped(np.array([70.0, 20, 10]), 0.4)  # both large ones
    np.testing.assert_allclose(shares / shares.sum(), [0.4, 0.4, 0.2])
    assert capped(np.array([5.0, 1, 1]), 0.1).tolist() == [1, 1, 1], "after clients are lost: equal shares"


@pytest.mark.parametrize(
    "rule",
    [
        "mean(max_share=0.3)",
        "norm-clipping(weighted=True, max_share=0.3)",
        "geometric-median(weighted=True, max_share=0.3)",
        "centred-clipping(weighted=True, max_share=0.3)",
    ],
)
def test_a_lie_about_images_gains_no_more_than_the_cap(rule, draw):
    x = (1 + 0.01 * draw.standard_normal((5, 40))).astype(np.float32)
    x[0] = 1.02
    lie, more = (defence(rule)(x, context([claim, 10, 10, 10, 10])) for claim in (10**4, 10**8))
    np.testing.assert_array_equal(lie.update, more.update)
    if rule.startswith("mean"):
        np.testing.assert_allclose(lie.influence, [0.3, *[0.7 / 4] * 4])


@pytest.mark.parametrize("rule", WEIGHTED)
def test_given_sizes_count_in_place_of_claims(rule, draw):
    x = updates(draw)
    weighted = "" if rule == "mean" else "weighted=True"
    claimed = defence(f"{rule}({weighted})", f=1)(x, context(SIZES))
    given = defence(f"{rule}(sizes={SIZES.tolist()})", f=1)(x, context([10**6, 1, 1, 1, 1]))
    np.testing.assert_array_equal(given.update, claimed.update)
    few = AggregationContext(np.array([1, 3]), np.ones(2, int))
    some = defence(f"{rule}(sizes={SIZES.tolist()})")(x[:2], few).update
    same = defence(f"{rule}({weighted})")(x[:2], AggregationContext(np.array([1, 3]), SIZES[[1, 3]])).update
    np.testing.assert_array_equal(some, same)
    with pytest.raises(InfeasibleError, match="sizes of 4 clients, and client 4 takes part"):
        defence(f"{rule}(sizes=[1, 2, 3, 4])", f=1)(x, context(SIZES))


@pytest.mark.parametrize("rule", WEIGHTED)
def test_equal_sizes_change_nothing(rule, draw):
    x = updates(draw)
    plain = defence(rule, f=1)(x, context(np.ones(5, int)))
    weighted = defence(f"{rule}(sizes=[7, 7, 7, 7, 7])", f=1)(x, context(SIZES))
    np.testing.assert_allclose(weighted.update, plain.update, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rule", WEIGHTED)
def test_a_cap_that_clients_cannot_keep_to_is_refused(rule):
    asked = defence(f"{rule}(max_share=0.3)")
    asked.check(4)
    with pytest.raises(InfeasibleError, match=r"max_share = 0.3 of 3 clients.*choose 0.334 or more"):
        asked.check(3)
