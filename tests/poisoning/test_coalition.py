"""Attacks of clients that see everything."""

import numpy as np
import pytest
from scipy.stats import norm

from fedrobust.aggregation import Updates, defence
from fedrobust.aggregation.krum import krum_scores
from fedrobust.poisoning import Attack, Conspiracy
from fedrobust.poisoning.alie import largest_z
from fedrobust.poisoning.strength import strongest

BAD = 3


@pytest.fixture
def matrix(draw):
    return (0.5 + draw.standard_normal((9, 400))).astype(np.float32)


def scene(honest, guard=None, f=BAD):
    guard = guard or defence("median")
    n = len(honest) + BAD

    def outcome(sent):
        rows = np.broadcast_to(sent, (BAD, honest.shape[1]))
        return guard(np.concatenate([rows, honest])).update

    own = Updates.of(honest[:BAD])
    return Conspiracy(own, n, f, np.random.default_rng(0), outcome)


def sent(text, honest, **settings):
    return Attack.parse(text).coalition(Updates.of(honest), scene(honest, **settings))


def test_alie_is_the_mean_less_z_deviations(matrix):
    exact = matrix.astype(np.float64)
    expected = exact.mean(0) - 1.5 * exact.std(0)
    np.testing.assert_allclose(sent("alie(z=1.5)", matrix), expected, rtol=1e-5, atol=1e-6)
    # n = 12, m = 3: s = 12 // 2 + 1 - 3 = 4 supporters among 9 honest ones.
    z = norm.ppf((9 - 4) / 9)
    np.testing.assert_allclose(sent("alie", matrix), exact.mean(0) - z * exact.std(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("clients", "malicious", "z"), [(50, 24, 1.43), (50, 20, 0.84), (25, 11, 1.07)])
def test_z_by_hand(clients, malicious, z):
    supporters = clients // 2 + 1 - malicious
    share = (clients - malicious - supporters) / (clients - malicious)
    assert norm.cdf(largest_z(clients, malicious)) == pytest.approx(share)
    assert round(largest_z(clients, malicious), 2) == z


def test_ipm_turns_the_inner_product_with_the_honest_mean(matrix):
    mean = matrix.mean(0)
    np.testing.assert_allclose(sent("ipm(epsilon=0.3)", matrix), -0.3 * mean, rtol=1e-4, atol=1e-6)
    many = sent("ipm(epsilon=20)", matrix)
    aggregate = defence("mean")(np.concatenate([np.repeat(many[None], BAD, 0), matrix])).update
    assert aggregate @ mean < 0


def test_mimic_copies_an_honest_client_that_stands_out(matrix):
    matrix[4] += 10
    np.testing.assert_allclose(sent("mimic", matrix), matrix[4])


@pytest.mark.parametrize("direction", ["deviation", "mean", "sign"])
def test_min_max_and_min_sum_go_just_as_far_as_they_may(matrix, direction):
    exact = matrix.astype(np.float64)
    squared = ((exact[:, None] - exact[None]) ** 2).sum(-1)
    far = ((sent(f"min-max(direction='{direction}')", matrix) - exact) ** 2).sum(1).max()
    assert 0.9999 * squared.max() < far < 1.0001 * squared.max()
    total = ((sent(f"min-sum(direction='{direction}')", matrix) - exact) ** 2).sum()
    assert 0.9999 * squared.sum(1).max() < total < 1.0001 * squared.sum(1).max()


def test_fang_is_chosen_by_krum_and_points_backwards(matrix):
    update = sent("fang-krum", matrix)
    everything = np.concatenate([np.repeat(update[None], BAD, 0), matrix])
    scores = krum_scores(Updates.of(everything).squared[:-1, :-1], BAD)
    assert np.argmin(scores) < BAD
    assert update @ np.sign(matrix.mean(0)) < 0
    assert len(np.unique(np.abs(update))) == 1


def test_fang_goes_beyond_the_honest_values_against_their_direction(matrix):
    rows = sent("fang-trimmed-mean", matrix)
    assert rows.shape == (BAD, 400)
    grows = matrix.mean(0) > 0
    low, high = matrix.min(0), matrix.max(0)
    assert np.all(rows[:, grows] <= low[grows] + 1e-6)
    assert np.all(rows[:, ~grows] >= high[~grows] - 1e-6)
    edge = np.where(grows, low, high)
    assert np.all(np.abs(rows - edge) <= np.abs(edge) + 1e-6), "at most b = 2 times as far"
    hurt = defence("trimmed-mean", f=BAD)(np.concatenate([rows, matrix])).update
    assert np.mean((hurt - matrix.mean(0)) * np.where(grows, -1, 1) > 0) > 0.95


DEFENCES = [
    ("mean",),
    ("median",),
    ("trimmed-mean",),
    ("krum",),
    ("multi-krum",),
    ("geometric-median",),
    ("centred-clipping",),
    ("trimmed-mean", "nnm"),
    ("median", "bucketing"),
]


@pytest.mark.parametrize("names", DEFENCES)
@pytest.mark.parametrize(("fixed", "optimised"), [("alie", "optimised-alie"), ("ipm", "optimised-ipm")])
def test_optimised_attacks_are_never_weaker_than_fixed_ones(fixed, optimised, names, draw):
    for seed in range(4):
        honest = (0.5 + np.random.default_rng(seed).standard_normal((9, 60))).astype(np.float32)
        guard = defence(*names, f=BAD)
        outcome = scene(honest, guard).outcome
        mean = honest.astype(np.float64).mean(0)
        harm = {
            name: np.linalg.norm(outcome(sent(name, honest, guard=guard)) - mean)
            for name in (fixed, optimised)
        }
        assert harm[optimised] >= harm[fixed] - 1e-9


def test_optimisation_finds_a_known_answer():
    # A guard that drops updates farther than 3.3 from zero: the most harmful strength is 3.3, exactly.
    def outcome(update):
        return update if abs(update[0]) <= 3.3 else np.zeros(1)

    found = strongest(np.linspace(0, 8, 9), lambda s: np.array([s]), outcome, np.zeros(1), refinements=20)
    assert found == pytest.approx(3.3, abs=1e-4)


def test_optimised_ipm_finds_the_largest_epsilon_under_the_mean(matrix):
    update = sent("optimised-ipm(most=7.0)", matrix, guard=defence("mean"))
    np.testing.assert_allclose(update, -7 * matrix.mean(0), rtol=1e-3, atol=1e-5)
