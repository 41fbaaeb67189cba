"""CRFL's certificate: the paper's formula by hand and literally, limits that hold, a Lipschitz constant that holds."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from fedrobust.evaluation.parameter_smoothing import (
    ABSTAINS,
    certified_radius,
    exposure,
    largest_below,
    later_rounds,
    lipschitz_of_head,
    lower,
    majority,
    paper_lipschitz,
    upper,
)


def corollary(pa, pb, sigma, rho, p, gamma, tau, eta, q, n, later):
    """Corollary 1, term by term; `p` has the weights of R attackers, `later` the (rho_t, sigma_t) after the attack."""
    divergence = -math.log(1 - (math.sqrt(pa) - math.sqrt(pb)) ** 2)
    reach = sum((weight * gamma * tau * eta * q / n) ** 2 for weight in p)
    product = 1.0
    for rho_t, sigma_t in later:
        product *= 2 * norm.cdf(rho_t / sigma_t) - 1
    return math.sqrt(divergence * sigma**2 / (2 * len(p) * (2 + 2 * rho + rho**2) * reach * product))


@pytest.mark.parametrize("attackers", [1, 3])
def test_the_radius_is_the_papers(attackers):
    found = majority(np.array([900, 80, 20]), 1000, 0.001)
    later = [(2.0, 1.0), (2.5, 1.5), (3.0, 2.0)]
    p = [0.05 + 0.01 * one for one in range(attackers)]
    literal = corollary(found.least, found.most, 0.3, 2.0, p, 10.0, 4, 0.02, 5, 100, later)
    moves = [weight * 10.0 * 4 * 0.02 * 0.05 for weight in p]
    product = later_rounds(*zip(*later, strict=True))
    ours = certified_radius(found.divergence, 0.3, paper_lipschitz(2.0), moves, product)
    np.testing.assert_allclose(ours, literal, rtol=1e-12)


def test_the_radius_by_hand():
    """Divergence 2, sigma 1/2, one move of 1/10, L_Z 2: sqrt(2 / 4 / (2 * 4 / 100)) = 2.5; with a factor 1/4, twice."""
    assert certified_radius(2.0, 0.5, 2.0, [0.1]) == pytest.approx(2.5)
    assert certified_radius(2.0, 0.5, 2.0, [0.1], later=0.25) == pytest.approx(5.0)
    assert certified_radius(0.0, 0.5, 2.0, [0.1]) == 0.0
    assert certified_radius(2.0, 0.5, 2.0, []) == math.inf


def test_equal_attackers_cost_their_number():
    """R sum_i a^2 = R^2 a^2."""
    radii = [certified_radius(1.0, 1.0, 1.0, [0.1] * count) for count in (1, 2, 4)]
    np.testing.assert_allclose(radii[0] / np.array(radii), [1, 2, 4])


def test_more_noise_and_more_later_rounds_certify_more():
    by_noise = [certified_radius(1.0, sigma, 1.0, [0.1]) for sigma in (0.1, 0.2, 0.4)]
    by_rounds = [certified_radius(1.0, 1.0, 1.0, [0.1], later_rounds([1.0] * t, [1.0] * t)) for t in range(4)]
    assert (np.diff(by_noise) > 0).all()
    assert (np.diff(by_rounds) > 0).all()


def test_the_divergence_is_the_smallest_to_a_distribution_with_another_majority():
    """Of three outcomes: minimised over all Q with q_A <= q_B, by a fine grid."""
    found = majority(np.array([700, 200, 100]), 1000, 0.01)
    p = np.array([found.least, found.most, 1 - found.least - found.most])
    a, b = np.meshgrid(np.linspace(0.002, 0.998, 499), np.linspace(0.002, 0.998, 499))
    q = np.stack([a, b, 1 - a - b])
    allowed = (q[2] > 1e-9) & (q[0] <= q[1])
    safe = np.where(allowed, q, 1 / 3)
    divergences = np.where(allowed, (safe * np.log(safe / p[:, None, None])).sum(axis=0), np.inf)
    assert found.divergence == pytest.approx(divergences.min(), rel=1e-4)


@pytest.mark.parametrize("successes", [0, 1, 37, 99, 100])
def test_limits_are_where_the_binomial_tail_is_alpha(successes):
    low, high = lower(successes, 100, 0.01), upper(successes, 100, 0.01)
    if successes:
        assert binom.sf(successes - 1, 100, low) == pytest.approx(0.01)
    if successes < 100:
        assert binom.cdf(successes, 100, high) == pytest.approx(0.01)
    assert low == pytest.approx(1 - upper(100 - successes, 100, 0.01))
    hoeffding = math.sqrt(math.log(1 / 0.01) / 200)
    assert low >= successes / 100 - hoeffding
    assert high <= successes / 100 + hoeffding


def test_limits_hold_as_often_as_they_promise_whatever_class_is_selected():
    """Two equal classes: the more frequent one is selected, and its limit must still hold. At most 5 % of 400 fail."""
    draw, truth = np.random.default_rng(0), np.array([0.45, 0.45, 0.1])
    failed = 0
    for counts in draw.multinomial(200, truth, size=400):
        found = majority(counts, 200, 0.05)
        top = int(counts.argmax())
        failed += found.least > truth[top] or found.most < np.delete(truth, top).max()
    assert failed <= 20
    assert majority(np.array([110, 90]), 200, 0.05).label == ABSTAINS


def test_copies_without_an_answer_are_votes_for_nobody():
    assert majority(np.array([500, 0]), 1000, 0.001).least < majority(np.array([500, 0]), 500, 0.001).least


def test_the_lipschitz_constant_holds_and_is_at_most_the_papers():
    """Gradients of softmax regression at random weights of a norm, between random examples."""
    draw = np.random.default_rng(0)

    def gradient(w, x, y):
        logits = x @ w
        p = np.exp(logits - logits.max())
        return np.outer(x, p / p.sum() - y)

    for rho, length in [(0.1, 1.0), (1.0, 1.0), (5.0, 1.0), (3.0, 4.0)]:
        largest = 0.0
        for _ in range(200):
            w = draw.standard_normal((3, 2))
            w *= rho / np.linalg.norm(w)
            x = draw.standard_normal((2, 3))
            x *= length * draw.random((2, 1)) ** 0.2 / np.linalg.norm(x, axis=1, keepdims=True)
            if draw.random() < 0.5:
                x[1] = x[0] + 1e-3 * (x[1] - x[0])
            y = np.eye(2)[draw.integers(0, 2, 2)]
            distance = math.hypot(np.linalg.norm(x[0] - x[1]), np.linalg.norm(y[0] - y[1]))
            largest = max(
                largest, np.linalg.norm(gradient(w, x[0], y[0]) - gradient(w, x[1], y[1])) / distance
            )
        assert largest <= lipschitz_of_head(rho, length)
        assert largest > 0.3 * lipschitz_of_head(rho, length)
        if length == 1.0:
            assert lipschitz_of_head(rho, length) <= paper_lipschitz(rho)


def test_exposure_is_the_worst_placement_in_the_batches_that_clients_draw():
    """7 images in batches of up to 3: sizes 3, 2, 2. Two poisoned ones fill a batch of two."""
    assert exposure(7, 3, 1, 2 / 7) == 1.0
    assert exposure(7, 3, 2, 1.0) == 6.0
    assert exposure(8, 4, 1, 0.25) == 0.5


def test_the_largest_number_below_a_falling_limit():
    assert largest_below(lambda r: 4 - r, 100.0) == pytest.approx(2.0)
    assert largest_below(lambda r: 9.0, 5.0) == 5.0
    assert largest_below(lambda r: 0.0, 5.0) == 0.0


def test_two_trainings_with_a_backdoor_stay_as_close_as_the_certificate_says():
    """Plain SGD on poisoned and clean examples, with the same noise: the distance is at most what moves say.

    It is what RAD is made of: distance <= L_Z R^(1/2) (sum_i move_i^2)^(1/2) |delta|, without the paper's factor 2.
    """
    draw, clients, size, rate, rho, sigma = np.random.default_rng(1), 4, 20, 0.2, 1.0, 0.1
    x = draw.standard_normal((clients, size, 4))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    y = np.eye(3)[draw.integers(0, 3, (clients, size))]
    delta = 0.2 * np.eye(4)[0]

    def trained(poisoned):
        noise, w = np.random.default_rng(2), np.zeros((4, 3))
        longest = 0.0
        for round in range(5):
            sent, found = w, []
            for client in range(clients):
                one, images = sent, x[client] + delta * (poisoned and client < 2 and round == 1)
                for batch in range(4):
                    rows = slice(5 * batch, 5 * batch + 5)
                    logits = images[rows] @ one
                    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
                    longest = max(longest, np.linalg.norm(one))
                    one = one - rate * images[rows].T @ (p - y[client, rows]) / 5
                found.append(one)
            w = np.mean(found, axis=0)
            w = w / max(1, np.linalg.norm(w) / rho)
            w = w + sigma * noise.standard_normal(w.shape) if round < 4 else w
        return w, longest

    clean, poisoned = trained(False), trained(True)
    lipschitz = lipschitz_of_head(max(clean[1], poisoned[1]), 1.2)
    moves = [rate * exposure(size, 5, 1, 1.0) / clients] * 2
    bound = lipschitz * math.sqrt(2 * sum(move**2 for move in moves)) * 0.2
    distance = np.linalg.norm(clean[0] - poisoned[0])
    assert 0 < distance <= bound
    # The radius at which a divergence of distance^2 / (2 sigma^2) would be reached is at most the backdoor's length.
    assert certified_radius(distance**2 / (2 * sigma**2), sigma, lipschitz, moves) <= 0.2
