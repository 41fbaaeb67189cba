"""What every rule keeps to: order, translation, breakdown, scale."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from linear_answers import LinearAnswers

from fedrobust.aggregation import (
    PRE_AGGREGATORS,
    RULES,
    Aggregation,
    AggregationContext,
    AggregationPipeline,
    InfeasibleError,
    Updates,
    defence,
)
from fedrobust.models.layout import Entry, Layout

F = 2
N = 12
WITH_MEMORY = {"foolsgold", "fldetector"}
TOLERANT = [
    "median",
    "trimmed-mean",
    "meamed",
    "geometric-median",
    "krum",
    "multi-krum",
    "bulyan",
    "mda",
    "dnc(coordinates=300)",
    "flame(noise=0)",
    "signguard(coordinates=1.0)",
]
CLIPPED = ["centred-clipping", "norm-clipping"]
LAYOUT = Layout(
    tuple(
        Entry(path, shape, "trainable")
        for path, shape in [
            ("conv/kernel", (5, 5, 2, 3)),
            ("conv/bias", (3,)),
            ("norm/gamma", (13,)),
            ("dense/kernel", (6, 10)),
            ("dense/bias", (4,)),
            ("logits/kernel", (6, 10)),
            ("logits/bias", (10,)),
        ]
    )
    + tuple(Entry(f"norm/{name}", (13,), "statistic") for name in ("moving_mean", "moving_variance"))
)
EQUIVARIANT = ["mean", *TOLERANT[:8], "dnc(coordinates=300)"]
DEFENCES = [(rule, ()) for rule in RULES] + [
    (rule, (before,))
    for before in PRE_AGGREGATORS
    if before != "bucketing"
    for rule in ("trimmed-mean", "multi-krum")
]


def context(n=N, root=None, **settings):
    own = np.ones(300, np.float32) if root is None else root
    current = own * np.cos(np.arange(300, dtype=np.float32))
    given = {
        "losses": np.ones(n),
        "current": current,
        "layout": LAYOUT,
        "statistics": np.ones((n, 26), np.float32),
        "current_statistics": np.ones(26, np.float32),
        "model": LinearAnswers(10, own, float(np.abs(own).max())),
    } | settings
    return AggregationContext(np.arange(n), np.full(n, 10), root=lambda images: own, **given)


def run(rule, matrix, *before, **settings):
    return defence(rule, *before, f=F)(matrix, context(len(matrix), **settings))


@pytest.mark.parametrize(("rule", "before"), DEFENCES)
def test_the_order_of_clients_does_not_matter(rule, before, honest, draw):
    order = draw.permutation(N)
    one = run(rule, honest, *before)
    other = run(rule, honest[order], *before)
    np.testing.assert_allclose(other.update, one.update, rtol=1e-5, atol=1e-6)
    if one.influence is not None:
        np.testing.assert_allclose(other.influence, one.influence[order], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("before", [(), ("nnm",)])
@pytest.mark.parametrize("rule", EQUIVARIANT)
def test_translation(rule, before, honest, draw):
    if (rule, before) == ("bulyan", ("nnm",)):
        pytest.skip("mixing makes some updates equal: Krum's choice among them is rounding's")
    shift = draw.standard_normal(300).astype(np.float32)
    one, other = run(rule, honest, *before), run(rule, honest + shift, *before)
    np.testing.assert_allclose(other.update, one.update + shift, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e-5, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("rule", "before"), DEFENCES)
def test_scale(rule, before, scale, honest):
    # The server's own update is of the clients' scale, too; powers of two would be exact, these are not.
    one = run(rule, honest, *before)
    other = run(rule, honest * np.float32(scale), *before, root=np.full(300, scale, np.float32))
    np.testing.assert_allclose(other.update / scale, one.update, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("attack", [1e9, -1e9, "both"])
@pytest.mark.parametrize("rule", TOLERANT)
def test_breakdown(rule, attack, honest):
    bad = np.full((F, 300), 1e9 if attack == "both" else attack, np.float32)
    if attack == "both":
        bad[1] = -1e9
    result = run(rule, np.concatenate([bad, honest[F:]])).update
    low, high = honest[F:].min(0), honest[F:].max(0)
    assert np.all((result >= low - 1e-5) & (result <= high + 1e-5))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", [*TOLERANT, *CLIPPED, "mean", "fltrust"])
def test_updates_that_are_not_finite_are_left_out(rule, value, honest):
    bad = honest[:F].copy()
    bad[:, 7] = value
    result = run(rule, np.concatenate([honest[F:7], bad, honest[7:]]))
    assert np.isfinite(result.update).all()
    if rule not in ("fltrust", *CLIPPED):
        low, high = honest[F:].min(0), honest[F:].max(0)
        assert np.all((result.update >= low - 1e-5) & (result.update <= high + 1e-5))
    if result.influence is not None:
        assert not result.influence[5:7].any()
    with pytest.raises(InfeasibleError, match="none of 2 updates is finite"):
        run(rule, bad)


@pytest.mark.parametrize("rule", CLIPPED)
def test_clipping_bounds_what_attackers_move(rule, honest):
    bad = np.full((F, 300), 1e9, np.float32)
    result = run(rule, np.concatenate([bad, honest[F:]])).update
    assert np.linalg.norm(result) <= np.linalg.norm(honest, axis=1).max()
    assert np.linalg.norm(result - honest[F:].mean(0)) < 0.5 * np.linalg.norm(honest[F:].mean(0))


@pytest.mark.parametrize("before", ["nnm", "clipping", "arc", "bucketing"])
def test_breakdown_behind_a_pre_aggregator(before, honest):
    bad = np.full((F, 300), -1e9, np.float32)
    result = run("median", np.concatenate([bad, honest[F:]]), before).update
    assert np.linalg.norm(result - honest[F:].mean(0)) < 0.5 * np.linalg.norm(honest[F:].mean(0))


def test_the_mean_breaks_down(honest):
    bad = np.full((1, 300), 1e9, np.float32)
    assert np.abs(run("mean", np.concatenate([bad, honest])).update).min() > 1e7


@pytest.mark.parametrize(("rule", "before"), DEFENCES)
def test_equal_updates_give_that_update(rule, before, honest):
    if rule in ("foolsgold", "fltrust", "flame", "lasa", "sparsefed"):
        pytest.skip(
            "alike is suspicious, another's direction counts, noise is added, or small values are dropped"
        )
    same = np.repeat(honest[:1], N, axis=0)
    np.testing.assert_allclose(run(rule, same, *before).update, honest[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "fewest"),
    [("trimmed-mean", 5), ("meamed", 5), ("mda", 5), ("krum", 7), ("multi-krum", 7), ("bulyan", 11)],
)
def test_too_few_clients_are_refused_with_the_numbers(rule, fewest, honest):
    asked = defence(rule, f=2)
    asked.check(fewest)
    asked(honest[:fewest])
    with pytest.raises(InfeasibleError, match=rf"f = 2 of {fewest - 1} clients.*at least {fewest}"):
        asked.check(fewest - 1)
    with pytest.raises(InfeasibleError, match=r"it tolerates 1"):
        asked(honest[: fewest - 1])
    assert asked.among(fewest - 1).tolerated == 1, "a round that lost clients goes on with what is possible"
    assert asked.among(fewest).tolerated == 2


def test_buckets_leave_fewer_updates_to_the_rule(honest):
    asked = defence("krum", "bucketing(size=3)", f=1)
    with pytest.raises(InfeasibleError, match="f = 1 of 4 clients"):
        asked.check(12)
    assert asked.among(12).tolerated == 0
    assert len(np.unique(defence("mean", "bucketing(size=12)")(honest).update - honest.mean(0) < 1e-6)) == 1


def test_influence_is_told_in_clients_behind_a_mixture(honest):
    bad = np.full((F, 300), 1e3, np.float32)
    result = defence("multi-krum", "nnm", f=F)(np.concatenate([honest[F:], bad]))
    assert np.all(result.influence[-F:] == 0), "nobody mixes with attackers that far away"
    assert np.isclose(result.influence.sum(), 1)
    assert np.all(result.influence[:-F] > 0)


@pytest.mark.parametrize(("rule", "before"), DEFENCES)
def test_influences_are_shares_of_a_whole(rule, before, honest):
    bad = np.repeat(-20 * honest[:1], F, axis=0)
    influence = run(rule, np.concatenate([honest[F:], bad]), *before).influence
    if influence is not None:
        assert (influence >= 0).all()
        assert np.isclose(influence.sum(), 1)


@pytest.mark.parametrize("before", ["nnm", "arc"])
@pytest.mark.parametrize("f", [0, 1, 3])
def test_whoever_sends_what_is_not_finite_is_caught_for_every_stage(before, f, honest):
    bad = honest.copy()
    bad[3, 0] = np.nan
    rest = np.delete(honest, 3, axis=0)
    found = defence("multi-krum", before, f=f)(bad)
    expected = defence("multi-krum", before, f=max(0, f - 1))(rest)
    np.testing.assert_array_equal(found.update, expected.update)
    np.testing.assert_array_equal(np.delete(found.influence, 3), expected.influence)
    assert found.influence[3] == 0


def test_a_round_that_lost_clients_keeps_its_pre_aggregators():
    asked = defence("krum", "clipping", "nnm", "bucketing(size=3)", f=5)
    assert asked.among(9) == AggregationPipeline(
        defence("krum", f=0).rule,
        (*defence("mean", "clipping").before, *defence("mean", "nnm", "bucketing(size=3)", f=4).before),
    )


@pytest.mark.parametrize(("size", "n", "fits"), [(2, 1, True), (4, 5, True), (5, 5, False), (6, 5, False)])
def test_buckets_leave_more_than_one_update(size, n, fits):
    asked = defence("mean", f"bucketing(size={size})")
    with nullcontext() if fits else pytest.raises(InfeasibleError, match=f"choose a size below {n}"):
        asked.check(n)


@pytest.mark.parametrize(("f", "n"), [(0, 2), (-1, 2)])
def test_the_fewest_clients_are_told_for_nobody_malicious_too(f, n):
    asked = replace(defence("krum").rule, f=f)
    with pytest.raises(
        InfeasibleError, match=rf"f = {f} of {n} clients.*at least 3 clients; with 2 it tolerates 0"
    ):
        asked.require(n)


def test_a_cohort_without_a_server_has_no_root(honest):
    with pytest.raises(InfeasibleError, match="no server with 100 images of its own"):
        AggregationContext.of(Updates(honest)).root(100)


def test_behind_updates_of_other_origin_no_client_has_a_known_influence(honest):
    class Own:
        def __call__(self, updates, context):
            return Updates(2 * np.asarray(updates))

    result = AggregationPipeline(defence("foolsgold").rule, (Own(),))(honest)
    expected = defence("foolsgold")(2 * honest)
    assert result.influence is None
    np.testing.assert_array_equal(result.update, expected.update)
    np.testing.assert_array_equal(result.memory["sums"], expected.memory["sums"])


def test_what_an_own_rule_returns_is_converted(honest):
    class Own:
        def __call__(self, updates, context):
            return Aggregation([0.1] * 300, [1] * N, {"kept": np.ones(1)})

    result = AggregationPipeline(Own())(honest)
    assert (result.update.dtype, result.influence.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(result.update, np.full(300, 0.1, np.float32))
    assert list(result.memory) == ["kept"]


def test_a_rule_may_work_on_the_plain_matrix(honest):
    class Own:
        def __call__(self, updates, context):
            return Aggregation(np.asarray(updates).max(0))

    np.testing.assert_array_equal(AggregationPipeline(Own())(honest).update, honest.max(0))


@pytest.mark.parametrize(
    ("update", "influence", "message"),
    [
        (np.zeros((1, 300)), None, r"Broken returned an update of shape \(1, 300\)"),
        (np.zeros(300), np.ones(5), r"influence of shape \(5,\)"),
        (np.zeros(300), -np.ones(N), "numbers from 0"),
    ],
)
def test_what_an_own_rule_returns_is_checked(update, influence, message, honest):
    class Broken:
        def __call__(self, updates, context):
            return Aggregation(update, influence)

    with pytest.raises(ValueError, match=message):
        AggregationPipeline(Broken())(honest)


def test_memory_finds_clients_again_when_others_take_part(draw):
    base = draw.standard_normal((6, 50)).astype(np.float32)
    rule = RULES["foolsgold"]()
    first = rule(Updates.of(base[:4]), AggregationContext(np.arange(4), np.ones(4, int)))
    second = rule(
        Updates.of(base[[1, 3, 5]]),
        AggregationContext(np.array([1, 3, 5]), np.ones(3, int), memory=first.memory),
    )
    assert second.memory["partitions"].tolist() == [0, 1, 2, 3, 5]
    np.testing.assert_allclose(second.memory["sums"][1], 2 * base[1], rtol=1e-6)
    np.testing.assert_allclose(second.memory["sums"][0], base[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "before", "expected"),
    [
        ("multi-krum", (), True),
        ("alignins", (), True),
        ("lasa", (), True),
        ("freqfed", (), True),
        ("multi-metrics", (), True),
        ("sparsefed", (), False),
        ("foolsgold", (), True),
        ("signguard", ("arc",), True),
        ("geometric-median", (), False),
        ("geometric-median", ("nnm",), True),
        ("centred-clipping", ("clipping",), False),
        ("median", (), False),
        ("mean", ("bucketing",), False),
    ],
)
def test_who_is_left_out_is_said_by_rules_that_select(rule, before, expected, honest):
    asked = defence(rule, *before, f=F)
    assert asked.selects is expected
    influence = asked(np.concatenate([honest[F:], np.full((F, 300), 1e9, np.float32)]), context()).influence
    if influence is not None and not expected:
        assert (influence > 0).all(), "a rule that does not select gives nobody exactly nothing"


@pytest.mark.parametrize("n", [3, 5, 9, 10])
def test_a_short_round_does_not_turn_round_what_all_clients_agree_on(n):
    asked = replace(defence("rlr(threshold=6)"), sampled=10)
    asked.check(10)
    np.testing.assert_allclose(asked.among(n)(np.ones((n, 5), np.float32)).update, 1)
    split = np.where(np.arange(n) < 0.6 * n, 1, -1)[:, None].astype(np.float32) * np.ones((1, 5), np.float32)
    mean = split.mean()
    np.testing.assert_allclose(asked.among(n)(split).update, -mean, err_msg="less than 60 % agree", atol=1e-6)


@pytest.mark.parametrize("rule", ["multi-krum(m=8)", ("median", "bucketing(size=6)")])
def test_a_short_round_keeps_what_tolerates_attackers(rule, honest):
    rule, *before = (rule,) if isinstance(rule, str) else rule
    sampled = 12 if before else 10
    asked = replace(defence(rule, *before, f=2), sampled=sampled)
    asked.check(sampled)
    sent = np.concatenate([honest[:5] * 0 + 1, np.full((1, honest.shape[1]), -100, np.float32)])
    draws = [
        AggregationContext(np.arange(6), np.ones(6), generator=np.random.default_rng(k)) for k in range(5)
    ]
    for context in draws:
        found = asked.among(6)(sent, context).update
        # Two groups of three: the median of two is their mean, as with twelve clients.
        np.testing.assert_allclose(found, (1 - 32.666668) / 2 if before else 1, rtol=1e-4)


def test_groups_of_one_client_are_the_clients_with_their_claims():
    updates = np.array([[0], [0], [9]], np.float32)
    for seed in range(3):
        context = AggregationContext(
            np.arange(3), np.array([1, 1, 1000]), generator=np.random.default_rng(seed)
        )
        found = defence("mean", "bucketing(size=1)")(updates, context)
        np.testing.assert_allclose(found.update, 9 * 1000 / 1002)
        np.testing.assert_allclose(found.influence, np.array([1, 1, 1000]) / 1002)
