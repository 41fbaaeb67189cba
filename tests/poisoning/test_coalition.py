"""Attacks of clients that see everything."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from fedrobust.aggregation import Updates, defence
from fedrobust.aggregation.kernels import krum_scores
from fedrobust.poisoning import Attack, CollusionContext
from fedrobust.poisoning.collusion.alie import largest_z
from fedrobust.poisoning.collusion.strength import strongest

BAD = 3


@pytest.fixture
def matrix(draw):
    return (0.5 + draw.standard_normal((9, 400))).astype(np.float32)


def context(honest, guard=None, f=BAD):
    guard = guard or defence("median")
    n = len(honest) + BAD

    def outcome(sent):
        rows = np.broadcast_to(sent, (BAD, honest.shape[1]))
        return guard(np.concatenate([rows, honest])).update

    own = Updates.of(honest[:BAD])
    return CollusionContext(own, n, f, np.random.default_rng(0), outcome)


def sent(text, honest, **settings):
    return Attack.parse(text).collude(Updates.of(honest), context(honest, **settings))


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


@pytest.mark.parametrize("name", ["min-max", "min-sum"])
def test_min_max_and_min_sum_go_from_the_mean_against_what_they_are_told(matrix, name):
    exact = matrix.astype(np.float64)
    mean = exact.mean(0)
    against = {"deviation": exact.std(0), "mean": mean, "sign": np.sign(mean)}
    for direction, along in against.items():
        went = sent(f"{name}(direction='{direction}')", matrix) - mean
        cosine = went @ along / np.linalg.norm(went) / np.linalg.norm(along)
        assert cosine == pytest.approx(-1, abs=1e-6), direction


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
        outcome = context(honest, guard).outcome
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


def test_mimic_looks_at_differences_from_the_mean(draw):
    # All share a large first coordinate. About zero, that is the direction of largest variance, and client 5 has most
    # of it; about the mean it is the second, in which client 2 stands out.
    honest = (draw.standard_normal((8, 40)) * 0.01).astype(np.float32)
    honest[:, 0] += 100
    honest[5, 0] += 0.5
    honest[2, 1] -= 3
    np.testing.assert_allclose(sent("mimic", honest), honest[2], rtol=1e-6)
    exact = honest.astype(np.float64)
    centred = exact - exact.mean(0)
    direction = np.linalg.svd(centred)[2][0]
    assert np.argmax(np.abs(centred @ direction)) == 2
    assert np.argmax(np.abs(exact @ np.linalg.svd(exact)[2][0])) == 5


@pytest.mark.parametrize("seed", range(5))
def test_mimic_is_the_literal_largest_projection(seed):
    exact = np.random.default_rng(seed).standard_normal((7, 30)) + 5
    centred = exact - exact.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    chosen = np.argmax(np.abs(centred @ vectors[:, np.argmax(values)]))
    honest = exact.astype(np.float32)
    np.testing.assert_array_equal(sent("mimic", honest), honest[chosen])


AXIS = np.eye(1, 40)[0]


def two_sided(draw):
    """Return 16 honest updates: eight clients at each end of an axis, with noise."""
    ends = np.repeat([1.0, -1.0], 8)[:, None] * AXIS
    return (ends + 0.3 * draw.standard_normal((16, 40))).astype(np.float32)


def mimicked(rule, rounds, copied, seed):
    """Return the bias of a rule along the axis over `rounds`, and whom the four attackers copied.

    Args:
        rule: with f = 4.
        rounds: number of rounds.
        copied: function from the honest updates and the memory to the memory and the copied client.
        seed: of the updates.
    """
    draw, guard, memory, chosen, moved = np.random.default_rng(seed), defence(rule, f=4), {}, [], []
    for _ in range(rounds):
        honest = two_sided(draw)
        memory, client = copied(honest, memory)
        sent = np.concatenate([honest, np.repeat(honest[client][None], 4, 0)])
        chosen.append(client)
        moved.append(guard(sent).update @ AXIS)
    return abs(np.mean(moved)), chosen


def by_mimic(honest, memory):
    attack, knowledge = Attack.parse("mimic"), replace(context(honest), memory=memory)
    memory = attack.agreed(Updates.of(honest), knowledge)
    update = attack.collude(Updates.of(honest), replace(knowledge, memory=memory))
    return memory, int(np.flatnonzero((honest == update).all(1))[0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", ["median", "krum"])
def test_mimic_keeps_to_one_client_where_honest_ones_are_at_two_ends(rule, seed):
    biased, chosen = mimicked(rule, 30, by_mimic, seed)
    assert len(set(chosen[2:])) == 1
    assert len({client < 8 for client in chosen}) == 1, "on one side from the first round on"
    fixed, _ = mimicked(rule, 30, lambda honest, memory: (memory, chosen[-1]), seed)
    assert biased >= 0.8 * fixed


def test_mimic_copies_its_client_wherever_it_is_and_another_of_its_side_where_it_is_not():
    draw = np.random.default_rng(0)
    honest = two_sided(draw)
    memory, client = by_mimic(honest, {})
    memory = {**memory, "followed": np.array([3])}
    honest, ids = two_sided(draw), np.arange(16)[::-1]
    knowledge = replace(context(honest), memory=memory, client_ids=ids)
    attack = Attack.parse("mimic")
    np.testing.assert_array_equal(attack.collude(Updates.of(honest), knowledge), honest[15 - client])
    others = np.flatnonzero(np.arange(16) != client)
    knowledge = replace(knowledge, client_ids=others)
    sent = attack.collude(Updates.of(honest[others]), knowledge)
    np.testing.assert_array_equal(sent, honest[others][np.argmax(honest[others] @ memory["direction"])])
    assert attack.agreed(Updates.of(honest), knowledge) == memory, "from then on both are fixed"


def test_fang_krum_takes_copies_of_own_updates_for_those_of_the_others():
    """With own updates alone Krum's sums would be of a federation of attackers, whose distances are 0."""
    own = (np.random.default_rng(1).standard_normal((BAD, 20)) + 0.3).astype(np.float32)
    clients = 4 * BAD
    copies = own[np.arange(clients - BAD) % BAD]
    knowledge = replace(context(own), clients=clients)
    known = Attack.parse("fang-krum").collude(Updates.of(own), knowledge)
    np.testing.assert_allclose(known, sent("fang-krum", copies), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_fang_krum_is_the_literal_algorithm(seed):
    """Section 3.2 and theorem 1, written out: no sums in common, no distances known in advance."""
    honest = (np.random.default_rng(seed).standard_normal((9, 20)) + 0.3).astype(np.float32)
    exact = honest.astype(np.float64)
    c, (benign, d) = BAD, exact.shape
    m = c + benign
    signs = np.sign(exact.mean(0))
    sums = [sorted(((row - exact) ** 2).sum(1))[1 : 1 + m - c - 2] for row in exact]
    step = np.sqrt(min(map(sum, sums)) / ((m - 2 * c - 1) * d)) + np.linalg.norm(
        exact, axis=1
    ).max() / np.sqrt(d)

    def krum_takes(step):
        everybody = np.concatenate([np.repeat(-step * signs[None], c, 0), exact])
        scores = [sum(sorted(((row - everybody) ** 2).sum(1))[1 : 1 + m - c - 2]) for row in everybody]
        return np.argmin(scores) < c

    while not krum_takes(step):
        step /= 2
    np.testing.assert_allclose(sent("fang-krum", honest), -step * signs, rtol=1e-5)


def test_fang_trimmed_mean_draws_from_the_papers_intervals():
    # Columns: the mean grows with a positive and a negative minimum, falls with a positive and a negative maximum.
    honest = np.array([[2, -1, -5, -4], [4, 3, 1, -2], [6, 4, -2, -3]], np.float32)
    rows = np.concatenate([sent("fang-trimmed-mean(b=3.0)", honest) for _ in range(50)])
    intervals = [(2 / 3, 2), (-3, -1), (1, 3), (-2, -2 / 3)]
    for column, (low, high) in enumerate(intervals):
        assert low - 1e-6 <= rows[:, column].min() < rows[:, column].max() <= high + 1e-6


def test_ipm_is_the_papers_formula_and_knows_no_attacker(matrix):
    literal = -0.7 / len(matrix) * sum(row.astype(np.float64) for row in matrix)
    np.testing.assert_allclose(sent("ipm(epsilon=0.7)", matrix), literal, rtol=1e-5, atol=1e-7)


def test_z_is_the_papers_quantile_for_every_number_of_clients():
    for n in range(3, 40):
        for m in range(1, (n - 1) // 2 + 1):
            s = int(np.floor(n / 2 + 1)) - m
            share = (n - m - s) / (n - m)
            if 0 < share < 1:
                assert largest_z(n, m) == pytest.approx(norm.ppf(share), abs=1e-9)


def test_a_hidden_backdoor_is_ones_own_update_within_z_deviations(matrix):
    exact = matrix.astype(np.float64)
    mean, deviation = exact.mean(0), exact.std(0)
    rows = sent("alie(hide=True, z=0.7)", matrix)
    expected = np.minimum(np.maximum(exact[:BAD], mean - 0.7 * deviation), mean + 0.7 * deviation)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    assert (rows != rows[0]).any(), "each sends its own"
    np.testing.assert_allclose(sent("alie(hide=True, z=1000)", matrix), matrix[:BAD], rtol=1e-6)
    below = sent("alie(hide=True, z=-1.0)", matrix)
    np.testing.assert_allclose(below, np.repeat(mean[None], BAD, 0), rtol=1e-5, atol=1e-6)


def test_a_defence_that_breaks_is_no_success_of_the_attacker():
    # Beyond 5 the aggregate is not finite, and a server would keep it back: the most harmful strength is 5.
    def outcome(update):
        return update if update[0] <= 5 else update * np.inf

    found = strongest(np.linspace(0, 8, 9), lambda s: np.array([s]), outcome, np.zeros(1), refinements=12)
    assert 4.9 < found <= 5
