"""The same numbers as independent libraries, or as the paper's formula written down literally."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, RunningMean, Updates, defence
from fedrobust.aggregation.rules.fldetector import hessian_product, trusted
from fedrobust.aggregation.rules.foolsgold import foolsgold_weights
from fedrobust.aggregation.rules.geometric_median import weiszfeld
from fedrobust.aggregation.rules.mda import smallest_group
from fedrobust.aggregation.sketch import sketch

SCALES = [1e-6, 1e-3, 1.0, 1e3]


@pytest.fixture(params=SCALES)
def matrix(request, draw):
    centre = draw.standard_normal(2000)
    rows = centre + draw.standard_normal((17, 2000)) * draw.uniform(0.2, 2, (17, 1))
    return (rows * request.param).astype(np.float32)


@pytest.mark.parametrize("f", [0, 1, 4])
def test_byzfl(byzfl, matrix, f):
    exact = matrix.astype(np.float64)
    pairs = [
        (defence("mean", f=f), byzfl.Average()),
        (defence("median", f=f), byzfl.Median()),
        (defence("trimmed-mean", f=f), byzfl.TrMean(f)),
        (defence("meamed", f=f), byzfl.Meamed(f)),
        # ByzFL takes n - f - 1 neighbours, the paper n - f - 2.
        (defence("krum", f=f), byzfl.Krum(f + 1)),
        (defence(f"multi-krum(m={17 - f - 1})", f=f), byzfl.MultiKrum(f + 1)),
        (defence("centred-clipping(threshold=100.0, steps=1)"), byzfl.CenteredClipping()),
        (defence("mean", "nnm", f=f), lambda x: byzfl.NNM(f)(x).mean(0)),
        (defence("trimmed-mean", "nnm", f=f), lambda x: byzfl.TrMean(f)(byzfl.NNM(f)(x))),
        (defence("mean", "arc", f=f), lambda x: byzfl.ARC(f)(x.copy()).mean(0)),
        (
            defence("median", "clipping(threshold=2.0)"),
            lambda x: byzfl.Median()(byzfl.Clipping(2.0)(x.copy())),
        ),
    ]
    tolerance = 3e-6 * np.abs(matrix).max()
    for ours, theirs in pairs:
        np.testing.assert_allclose(
            ours(matrix).update, theirs(exact), rtol=3e-6, atol=tolerance, err_msg=str(ours)
        )


def test_byzfl_minimum_diameter(byzfl, matrix):
    few = matrix[:9]
    np.testing.assert_allclose(
        defence("mda", f=3)(few).update, byzfl.MDA(3)(few.astype(np.float64)), rtol=1e-5, atol=1e-12
    )


def test_minimum_diameter_is_exact_and_quick_where_trying_all_groups_is_not(draw):
    points = np.concatenate([draw.standard_normal((26, 5)), 3 + draw.standard_normal((24, 5))])
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    kept = smallest_group(distances, 24)
    diameter = distances[np.ix_(kept, kept)].max()
    assert len(kept) == 26
    assert diameter <= distances[:26, :26].max()
    few = points[20:31]
    apart = distances[20:31, 20:31]
    best = min(apart[np.ix_(g, g)].max() for g in itertools.combinations(range(11), 7))
    kept = smallest_group(apart, 4)
    assert len(kept) == 7
    assert len(few) == 11
    assert apart[np.ix_(kept, kept)].max() == best


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("median", "flower:FedMedian"),
        ("trimmed-mean", "flower:FedTrimmedAvg(beta=0.2)"),
        ("krum", "flower:Krum"),
        ("multi-krum(m=4)", "flower:MultiKrum(num_nodes_to_select=4)"),
        ("mean", "flower:FedAvg"),
    ],
)
def test_flower(ours, theirs, draw):
    from fedrobust.flower.identity import server_identity
    from fedrobust.flower.rule import flower_rule

    matrix = draw.standard_normal((10, 500)).astype(np.float32)
    context = AggregationContext(np.arange(10), np.full(10, 7))
    with server_identity():
        expected = flower_rule(theirs, 2)(Updates.of(matrix), context).update
    np.testing.assert_allclose(defence(ours, f=2)(matrix, context).update, expected, rtol=1e-5, atol=1e-6)


def test_krum_picks_what_float64_picks_where_updates_are_small_and_weights_are_not(draw):
    """Clients that move weights of about 1 by 1e-5 are compared by what they moved."""
    from fedrobust.flower.identity import server_identity
    from fedrobust.flower.rule import flower_rule

    flower_wrong = 0
    for seed in range(8):
        draw = np.random.default_rng(seed)
        current = draw.standard_normal(4000).astype(np.float32)
        updates = (1e-5 * draw.standard_normal((10, 4000)) * draw.uniform(0.9, 1.1, (10, 1))).astype(
            np.float32
        )
        exact = updates.astype(np.float64)
        squared = ((exact[:, None] - exact[None]) ** 2).sum(-1)
        scores = np.sort(squared, axis=1)[:, 1 : 10 - 2 - 2 + 1].sum(1)
        context = AggregationContext(np.arange(10), np.ones(10, int), current=current)
        krum = defence("krum", f=2)(updates, context).influence
        multi = defence("multi-krum(m=5)", f=2)(updates, context).influence
        assert np.flatnonzero(krum).tolist() == [np.argmin(scores)]
        assert np.flatnonzero(multi).tolist() == sorted(np.argsort(scores)[:5])
        with server_identity():
            theirs = flower_rule("flower:Krum", 2)(Updates.of(updates), context).update
        flower_wrong += int(np.argmin(np.abs(exact - theirs).sum(1)) != np.argmin(scores))
    assert flower_wrong > 0, "Flower compares the weights themselves, in float32"


def test_geometric_median_is_where_the_gradient_vanishes(matrix):
    update = defence("geometric-median", f=0)(matrix).update.astype(np.float64)
    towards = matrix.astype(np.float64) - update
    lengths = np.linalg.norm(towards, axis=1)
    assert np.linalg.norm((towards / lengths[:, None]).sum(0)) < 1e-4 * len(matrix)
    for other in (matrix.mean(0), np.median(matrix, axis=0)):
        assert lengths.sum() < np.linalg.norm(matrix.astype(np.float64) - other, axis=1).sum()


def test_geometric_median_counts_images_where_asked_to(draw):
    points = np.array([[0.0, 0], [4, 0]], np.float32)
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    assert np.round(weiszfeld(squared, np.array([3.0, 1.0]), 1e-9, 1e-9) @ points, 3).tolist() == [0, 0]
    context = AggregationContext(np.arange(2), np.array([3, 1]))
    assert np.abs(defence("geometric-median(weighted=True)")(points, context).update).max() < 1e-3


def literal_bulyan(x, f):
    """El Mhamdi et al.: theta = n - 2f times Krum, then the mean of the theta - 2f values nearest to the median."""
    left, chosen = list(range(len(x))), []
    while len(chosen) < len(x) - 2 * f:
        scores = []
        for i in left:
            apart = sorted(float(((x[i] - x[j]) ** 2).sum()) for j in left if j != i)
            scores.append(sum(apart[: max(1, len(left) - f - 2)]))
        chosen.append(left.pop(int(np.argmin(scores))))
    selected = x[chosen]
    median = np.median(selected, axis=0)
    order = np.argsort(np.abs(selected - median), axis=0)[: len(chosen) - 2 * f]
    return np.take_along_axis(selected, order, axis=0).mean(0)


@pytest.mark.parametrize("f", [0, 1, 3])
def test_bulyan_literally(matrix, f):
    expected = literal_bulyan(matrix.astype(np.float64), f)
    np.testing.assert_allclose(
        defence("bulyan", f=f)(matrix).update, expected, rtol=1e-5, atol=1e-6 * np.abs(matrix).max()
    )


def test_fltrust_literally(matrix, draw):
    root = matrix[:3].mean(0) + 0.1 * matrix.std() * draw.standard_normal(2000)
    root = root.astype(np.float32)
    g, g0 = matrix.astype(np.float64), root.astype(np.float64)
    trust = [max(0.0, float(g0 @ gi / (np.linalg.norm(g0) * np.linalg.norm(gi)))) for gi in g]
    same_length = [np.linalg.norm(g0) / np.linalg.norm(gi) * gi for gi in g]
    expected = sum(t * gi for t, gi in zip(trust, same_length, strict=True)) / sum(trust)
    context = AggregationContext(np.arange(17), np.ones(17, int), root=lambda images: root)
    np.testing.assert_allclose(
        defence("fltrust")(matrix, context).update, expected, rtol=1e-5, atol=1e-6 * np.abs(matrix).max()
    )
    against = AggregationContext(np.arange(2), np.ones(2, int), root=lambda images: -root)
    nobody = defence("fltrust")(np.stack([root, root]), against)
    assert not nobody.update.any(), "nobody is trusted: the model stays"


def test_rlr_literally(matrix):
    x = matrix.astype(np.float64)
    agree = np.abs(np.sign(x).sum(0)) >= 5
    expected = np.where(agree, 1, -1) * x.mean(0)
    np.testing.assert_allclose(
        defence("rlr(threshold=5)")(matrix).update, expected, rtol=1e-5, atol=1e-7 * np.abs(matrix).max()
    )


def test_dnc_literally(matrix):
    x = matrix.astype(np.float64)
    centred = x - x.mean(0)
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    outliers = (centred @ right[0]) ** 2
    kept = np.argsort(outliers)[: 17 - 3]
    result = defence("dnc(coordinates=2000)", f=3)(matrix)
    assert sorted(np.flatnonzero(result.influence)) == sorted(kept)


def literal_foolsgold(history):
    """Fung et al., Algorithm 1, with kappa = 1."""
    n = len(history)
    cs = np.array(
        [[h @ g / (np.linalg.norm(h) * np.linalg.norm(g)) for g in history] for h in history]
    ) - np.eye(n)
    v = np.array([max(cs[i, j] for j in range(n) if j != i) for i in range(n)])
    for i, j in itertools.product(range(n), range(n)):
        if i != j and v[j] > v[i]:
            cs[i, j] *= v[i] / v[j]
    alpha = np.array([1 - max(cs[i, j] for j in range(n) if j != i) for i in range(n)])
    alpha = np.clip(alpha, 0, 1)
    alpha = alpha / alpha.max()
    alpha[alpha == 1] = 0.99
    return np.clip(np.log(alpha / (1 - alpha)) + 0.5, 0, 1)


def test_foolsgold_literally(draw):
    honest = draw.standard_normal((5, 60))
    sybil = draw.standard_normal(60)
    history = np.concatenate([honest, sybil + 0.01 * draw.standard_normal((3, 60))])
    scaled = history / np.linalg.norm(history, axis=1, keepdims=True)
    weights = foolsgold_weights(scaled @ scaled.T)
    np.testing.assert_allclose(weights, literal_foolsgold(history), atol=0.02)
    assert weights[5:].max() == 0
    assert weights[:5].min() > 0.9


def test_signguard_and_flame_find_an_attacker_of_another_direction(honest):
    matrix = np.concatenate([honest[:10], -honest[10:]])
    for rule in ("signguard(coordinates=1.0)", "flame(noise=0)"):
        influence = defence(rule, f=2)(matrix).influence
        assert not influence[10:].any(), rule
        assert (influence[:10] > 0).sum() >= 5, rule


def literal_bfgs(steps, changes):
    """The dense BFGS matrix, update by update, from the scaled identity."""
    b = (steps[-1] @ changes[-1]) / (steps[-1] @ steps[-1]) * np.eye(len(steps[0]))
    for s, y in zip(steps, changes, strict=True):
        b = b + np.outer(y, y) / (y @ s) - np.outer(b @ s, b @ s) / (s @ b @ s)
    return b


def test_the_hessian_of_fldetector_is_that_of_bfgs(draw):
    root = draw.standard_normal((8, 8))
    hessian = root @ root.T + np.eye(8)
    steps = draw.standard_normal((5, 8))
    changes = steps[:4] @ hessian
    found = hessian_product(steps, changes, steps[-1])
    np.testing.assert_allclose(found, literal_bfgs(steps[:4], changes) @ steps[-1], rtol=1e-8)


def test_fldetector_sees_who_does_not_follow_the_loss(draw):
    """Honest clients follow quadratic losses, so that their updates can be foretold; attackers send noise."""
    hessian = np.diag(draw.uniform(0.5, 1.5, 40))
    goals = 3 + 0.1 * draw.standard_normal((10, 40))
    weights, memory = np.zeros(40), {}
    for round in range(1, 9):
        updates = -0.1 * (weights - goals) @ hessian
        updates[7:] = draw.standard_normal((3, 40))
        result = defence("fldetector")(
            updates.astype(np.float32),
            AggregationContext(np.arange(10), np.ones(10, int), round, memory=memory),
        )
        memory, weights = result.memory, weights + result.update
    assert np.flatnonzero(result.influence == 0).tolist() == [7, 8, 9]
    assert trusted(np.array([0.1, 0.1, 0.1, 0.1])).all()
    assert trusted(np.array([np.nan, np.nan])).all(), "nobody is suspected in a first round"


def test_sketches_keep_lengths_and_angles(draw):
    matrix = draw.standard_normal((4, 50_000)).astype(np.float32)
    matrix[1] = matrix[0] + 0.5 * matrix[1]
    kept = sketch(matrix, seed=3, size=4096)
    exact = matrix.astype(np.float64)
    assert kept.shape == (4, 4096)
    np.testing.assert_allclose(np.linalg.norm(kept, axis=1), np.linalg.norm(exact, axis=1), rtol=0.06)
    cosine = kept[0] @ kept[1] / np.linalg.norm(kept[0]) / np.linalg.norm(kept[1])
    assert abs(cosine - exact[0] @ exact[1] / np.linalg.norm(exact[0]) / np.linalg.norm(exact[1])) < 0.05
    combined = sketch((matrix[0] + matrix[2])[None], seed=3, size=4096)
    np.testing.assert_allclose(combined[0], kept[0] + kept[2], atol=1e-3)
    np.testing.assert_array_equal(sketch(matrix[:, :10], seed=1), exact[:, :10])


def test_capped_and_uniform_means_take_weight_from_claims():
    matrix = np.array([[0.0], [0.0], [9.0]], np.float32)
    context = AggregationContext(np.arange(3), np.array([10, 10, 10**6]))
    assert defence("mean")(matrix, context).update[0] > 8.9
    assert defence('mean(weighting="uniform")')(matrix, context).update[0] == 3
    capped = defence('mean(weighting="capped", cap=2)')
    assert np.isclose(capped(matrix, context).update[0], 9 * 20 / 40)
    few = replace(context, typical=100.0)
    claims = np.minimum(context.examples, 200)
    assert np.isclose(capped(matrix, few).update[0], (matrix[:, 0] * claims).sum() / claims.sum())
    running = RunningMean(1)
    for row, claim in zip(matrix, context.examples, strict=True):
        running.add(row, capped.rule.weight(int(claim), 10.0))
    assert np.isclose(running.result()[0], 9 * 20 / 40)
