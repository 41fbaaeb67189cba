"""What settings and memories of rules do: each formula written down again, away from the values that hide it."""

import numpy as np
import pytest

from fedrobust.aggregation import RULES, AggregationContext, Updates, defence
from fedrobust.aggregation.rules.foolsgold import foolsgold_weights


def context(n, **settings):
    return AggregationContext(np.arange(n), np.ones(n, int), **settings)


def literal_centred_clipping(x, centre, threshold, steps):
    """Karimireddy et al., equation 12."""
    for _ in range(steps):
        apart = np.linalg.norm(x - centre, axis=1)
        limit = threshold or np.median(apart)
        factors = np.array([1.0 if a == 0 else min(1, limit / a) for a in apart])
        centre = centre + ((x - centre) * factors[:, None]).sum(0) / len(x)
    return centre


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_centred_clipping_goes_on_from_the_last_aggregate(steps, threshold, draw):
    x = draw.standard_normal((9, 40)) + 2
    x[:3] *= 50
    rule = defence(f"centred-clipping(threshold={threshold}, steps={steps})")
    expected, memory = np.zeros(40), {}
    for _ in range(3):
        result = rule(x.astype(np.float32), context(9, memory=memory))
        expected = literal_centred_clipping(x, expected, threshold, steps)
        np.testing.assert_allclose(result.update, expected, rtol=1e-4, atol=1e-5)
        memory = result.memory
    np.testing.assert_array_equal(memory["centre"], result.update)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_dnc_drops_who_any_step_drops(steps, draw):
    x = draw.standard_normal((14, 60))
    x[0, :30] += 40
    x[1, 30:] += 40
    rule = defence(f"dnc(coordinates=20, steps={steps}, share=1.5)", f=2)
    result = rule(x.astype(np.float32), context(14, generator=np.random.default_rng(8)))
    same, good = np.random.default_rng(8), set(range(14))
    for _ in range(steps):
        drawn = x[:, np.sort(same.choice(60, 20, replace=False, shuffle=False))]
        centred = drawn - drawn.mean(0)
        scores = (centred @ np.linalg.svd(centred)[2][0]) ** 2
        good &= set(np.argsort(scores)[: 14 - 3])
    assert np.flatnonzero(result.influence).tolist() == sorted(good)
    assert len(good) == {1: 11}.get(steps, len(good)) <= 11
    np.testing.assert_allclose(result.update, x[sorted(good)].mean(0), rtol=1e-5, atol=1e-5)


def test_of_clients_that_stand_out_alike_dnc_drops_the_first():
    x = np.zeros((60, 3), np.float32)
    x[20], x[50] = 1, -1
    influence = defence("dnc", f=6)(x).influence
    assert np.flatnonzero(influence == 0).tolist() == [0, 1, 2, 3, 20, 50]


def test_dnc_with_more_steps_finds_attackers_of_different_coordinates(draw):
    x = draw.standard_normal((12, 40))
    x[0, :20] += 100
    x[1, 20:] -= 60
    once = defence("dnc(coordinates=10)", f=1)
    often = defence("dnc(coordinates=10, steps=12)", f=1)
    assert (once(x.astype(np.float32)).influence == 0).sum() == 1
    assert not often(x.astype(np.float32)).influence[:2].any()


def test_foolsgold_pardons_whoever_is_less_like_others_than_a_sybil_is():
    """Algorithm 1, lines 10 to 14, by hand: an honest client at cosine 0.6 to one of two sybils at cosine 0.99."""
    cosines = np.array([[1, 0.6, 0.5, 0.1], [0.6, 1, 0.99, 0], [0.5, 0.99, 1, 0], [0.1, 0, 0, 1]], float)
    v = [0.6, 0.99, 0.99, 0.1]
    # Compared with a sybil the honest client's 0.6 counts v_0 / v_1 of itself, and the last one's 0.1 counts v_3 / v_0.
    alpha = np.array([1 - 0.6 * v[0] / v[1], 1 - 0.99, 1 - 0.99, 1 - 0.1 * v[3] / v[0]])
    alpha = np.minimum(alpha / alpha.max(), 0.99)
    expected = np.clip(np.log(alpha / (1 - alpha)) + 0.5, 0, 1)
    np.testing.assert_allclose(foolsgold_weights(cosines), expected, atol=1e-9)
    assert 0 < foolsgold_weights(cosines)[0] <= 1
    harsh = np.clip(np.log(0.4 / 0.99 / (1 - 0.4 / 0.99)) + 0.5, 0, 1)
    assert foolsgold_weights(cosines)[0] > harsh + 0.3, "without the pardon it would have had less"


def test_foolsgold_trusts_a_client_that_is_alone(draw):
    sent = draw.standard_normal((1, 30)).astype(np.float32)
    result = defence("foolsgold")(sent)
    np.testing.assert_array_equal(result.update, sent[0])
    assert result.influence.tolist() == foolsgold_weights(np.ones((1, 1))).tolist() == [1.0]


def test_foolsgold_remembers_sums_not_rounds(draw):
    base = draw.standard_normal((4, 60))
    rule, memory, total = RULES["foolsgold"](), {}, np.zeros((4, 60))
    for round in range(3):
        sent = (base + round * draw.standard_normal((4, 60))).astype(np.float32)
        memory = rule(Updates.of(sent), context(4, memory=memory)).memory
        total += sent
    np.testing.assert_allclose(memory["sums"], total, rtol=1e-6)


def test_norm_clipping_divides_by_all_clients(draw):
    x = draw.standard_normal((6, 50)).astype(np.float32)
    x[:2] *= 100
    lengths = np.linalg.norm(x.astype(np.float64), axis=1)
    expected = sum(row * min(1, 2.5 / length) for row, length in zip(x, lengths, strict=True)) / 6
    np.testing.assert_allclose(
        defence("norm-clipping(threshold=2.5)")(x).update, expected, rtol=1e-5, atol=1e-7
    )
    middle = np.median(lengths)
    expected = sum(row * min(1, middle / length) for row, length in zip(x, lengths, strict=True)) / 6
    np.testing.assert_allclose(defence("norm-clipping")(x).update, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "scale"), [("norm-clipping", None), ("norm-clipping(threshold=4.0)", 4.0), ("flame", None)]
)
def test_noise_has_the_deviation_that_was_asked_for(rule, scale, draw):
    x = np.repeat(draw.standard_normal((1, 40_000)), 5, axis=0).astype(np.float32)
    typical = scale or np.linalg.norm(x[0].astype(np.float64))
    with_settings = rule.rstrip(")") + ("(" if "(" not in rule else ", ")
    noises = []
    for seed in range(2):
        apart = [
            defence(f"{with_settings}noise={noise})")(
                x, context(5, generator=np.random.default_rng(seed))
            ).update
            for noise in (0.0, 0.25)
        ]
        noise = (apart[1].astype(np.float64) - apart[0]) / typical
        assert abs(noise.std() / 0.25 - 1) < 0.02
        assert abs(noise.mean()) < 0.01
        noises.append(noise)
    assert abs(np.corrcoef(*noises)[0, 1]) < 0.05, "other draws, other noise"


def test_rlr_takes_four_of_ten_for_agreement():
    """Signs that add up to 4 of 10 keep their direction, to 2 of 10 not; of 20 it takes 8."""
    for n, enough in ((10, 4), (20, 8), (5, 2)):
        signs = np.array(
            [np.where(np.arange(n) < (n + total) // 2, 1, -1) for total in range(-n, n + 1, 2)]
        ).T
        x = (signs * np.geomspace(1, 3, n)[:, None]).astype(np.float32)
        expected = x.mean(0) * np.where(np.abs(signs.sum(0)) >= enough, 1, -1)
        np.testing.assert_allclose(defence("rlr")(x).update, expected, rtol=1e-6)


def test_signguard_leaves_out_who_is_much_shorter_or_longer_than_the_median(draw):
    direction = draw.standard_normal(400)
    lengths = np.array([1, 1, 1, 1, 1, 0.05, 0.15, 2.9, 3.2, 1])
    x = (direction * lengths[:, None]).astype(np.float32)
    default = defence("signguard(coordinates=1.0)")(x).influence
    assert np.flatnonzero(default == 0).tolist() == [5, 8]
    own = defence("signguard(coordinates=1.0, low=0.5, high=2.0)")(x).influence
    assert np.flatnonzero(own == 0).tolist() == [5, 6, 7, 8]
    short = defence("signguard(coordinates=1.0, low=0.01)")(x).influence
    assert np.flatnonzero(short == 0).tolist() == [8]
