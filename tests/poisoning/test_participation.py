"""Attacks whose strength follows from numbers of clients, where not everybody takes part in a round."""

import numpy as np
import pytest

from fedrobust.poisoning import Attack, AttackContext
from fedrobust.poisoning.collusion.alie import ALIE, largest_z
from fedrobust.poisoning.update.scaling import ModelReplacement


def context(clients, sampled, malicious, **settings):
    return AttackContext(clients=clients, sampled=sampled, malicious=malicious, **settings)


@pytest.mark.parametrize(
    ("clients", "sampled", "malicious"), [(100, 10, 10), (100, 10, 20), (30, 7, 1), (12, 3, 11), (5, 1, 4)]
)
def test_the_expected_number_is_what_drawing_clients_gives(clients, sampled, malicious):
    draw = np.random.default_rng(0)
    counts = [
        (chosen < malicious).sum()
        for chosen in (draw.permutation(clients)[:sampled] for _ in range(20_000))
        if 0 in chosen
    ]
    spread = np.std(counts) / np.sqrt(len(counts))
    assert abs(np.mean(counts) - context(clients, sampled, malicious).expected_malicious) <= 5 * spread + 1e-9


def test_with_everybody_the_factor_is_clients_over_malicious_ones():
    for clients, malicious in ((10, 1), (10, 3), (7, 7), (1, 1)):
        for sampled in (0, clients):
            assert ModelReplacement().factor(context(clients, sampled, malicious)) == pytest.approx(
                clients / malicious
            )


def test_replacement_never_shrinks_an_update():
    for clients in (2, 10, 100):
        for sampled in {1, 2, clients // 2 or 1, clients}:
            for malicious in {1, clients // 5 or 1, clients - 1}:
                assert ModelReplacement().factor(context(clients, sampled, malicious)) >= 1


@pytest.mark.parametrize(
    ("clients", "sampled", "malicious"), [(100, 10, 1), (100, 10, 10), (40, 20, 4), (9, 9, 3)]
)
def test_over_the_rounds_the_mean_is_the_attackers_model(clients, sampled, malicious):
    # Honest clients have converged (they send nothing), attackers want one model. Over the rounds that an attacker
    # sees, the mean becomes that model on average: the factor is neither too small nor too large.
    draw = np.random.default_rng(1)
    wanted = np.array([0.5, -2.0, 8.0], np.float32)
    attack = Attack.parse("model-replacement")
    sent = attack.update(wanted, context(clients, sampled, malicious))
    means = [
        (chosen < malicious).sum() * sent / sampled
        for chosen in (draw.permutation(clients)[:sampled] for _ in range(20_000))
        if 0 in chosen
    ]
    np.testing.assert_allclose(np.mean(means, 0), wanted, rtol=0.03)
    if sampled == clients or malicious == 1:
        np.testing.assert_allclose(means[0], wanted, rtol=1e-6)


def test_with_honest_clients_at_rest_a_weighted_mean_is_replaced_by_the_share_of_images():
    # The paper's gamma takes equal weights: with twice the images of the others, the mean overshoots to 2n / (n + 1).
    images = np.array([200, 100, 100, 100, 100], np.float64)
    sent = Attack.parse("model-replacement").update(np.ones(3, np.float32), context(5, 0, 1))
    mean = images[0] * sent / images.sum()
    np.testing.assert_allclose(mean, 2 * 5 / 6, rtol=1e-6)


def test_a_user_is_told_the_factor_where_it_is_an_expectation():
    (remark,) = Attack.parse("pixel-backdoor + model-replacement").remarks(context(100, 10, 10))
    assert "scales by 5.50: 10 clients of a round over 1.82 malicious ones" in remark
    assert Attack.parse("pixel-backdoor + model-replacement").remarks(context(10, 10, 2)) == []


def test_a_user_is_told_where_alie_helps_the_server():
    assert Attack.parse("alie").remarks(context(10, 0, 1)) == [
        "alie with n = 10, m = 1 has z = -0.14: it helps the server; set z or least (other libraries take 1.5)"
    ]
    (still,) = Attack.parse("alie").remarks(context(10, 10, 2))
    assert "z = 0.00: it changes nothing on average" in still
    (sampled,) = Attack.parse("alie").remarks(context(100, 10, 1))
    assert "n = 10, m = 1" in sampled, "the numbers are those of a round"
    for strong in ("alie(z=1.5)", "alie(least=1.5)"):
        assert Attack.parse(strong).remarks(context(10, 0, 1)) == []
    assert Attack.parse("alie").remarks(context(10, 0, 4)) == []


def test_the_clamp_leaves_larger_z_alone():
    for clients, malicious in ((10, 1), (10, 2), (10, 4), (50, 24), (9, 9)):
        z = largest_z(clients, malicious)
        assert ALIE(least=0.5).deviations(clients, malicious) == max(z, 0.5)
        assert ALIE().deviations(clients, malicious) == z
        assert np.isfinite(z)


def test_a_user_is_told_of_parts_of_a_trigger_that_nobody_teaches():
    (remark,) = Attack.parse("distributed-backdoor").remarks(context(10, 0, 2))
    assert "part 3 and later ones are never trained on" in remark
    assert Attack.parse("distributed-backdoor(parts=2)").remarks(context(10, 0, 2)) == []
    assert Attack.parse("distributed-backdoor").remarks(context(10, 5, 4)) == []
