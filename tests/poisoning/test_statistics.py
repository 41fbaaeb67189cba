"""What malicious clients send as BatchNorm statistics."""

import numpy as np
import pytest

from fedrobust.poisoning import Attack, AttackContext

GLOBAL = np.array([0.5, -1.0, 1.0, 2.0], np.float32)
OWN = np.array([0.7, -1.5, 1.25, 1.5], np.float32)
"""Two means, two variances."""


def sent(text, **settings):
    context = AttackContext(
        statistics=GLOBAL,
        variances=np.array([2, 3]),
        current=np.zeros(3, np.float32),
        generator=np.random.default_rng(0),
        **{"clients": 8, "malicious": 2, **settings},
    )
    return Attack.parse(text).statistics(OWN, context)


def test_by_default_statistics_are_those_of_the_official_code():
    np.testing.assert_allclose(sent("model-replacement"), [1.3, -3.0, 2.0, 0.0], rtol=1e-6)
    for text in ("scaling", "sign-flip", "zero", "gaussian", "norm-bound", "label-flip", "alie", "none"):
        assert sent(text) is OWN, "not one bit is changed"


def test_the_same_can_be_done_to_statistics_as_to_weights():
    change = OWN - GLOBAL
    np.testing.assert_allclose(sent("scaling(factor=2, statistics='same')"), GLOBAL + 2 * change, rtol=1e-6)
    np.testing.assert_allclose(sent("sign-flip(scale=1, statistics='same')"), GLOBAL - change, rtol=1e-6)
    assert sent("zero(statistics='same')").tolist() == [0, 0, 0, 0]
    noise = sent("gaussian(scale=0.1, statistics='same')") - GLOBAL
    assert np.linalg.norm(noise) == pytest.approx(0.1 * np.linalg.norm(change), rel=1e-5)
    assert sent("model-replacement(statistics='honest')") is OWN


def test_replaced_statistics_make_the_mean_the_attackers_own():
    # Two of eight attack, the others measured what the global model has.
    attackers = sent("model-replacement")
    mean = (2 * attackers[:2] + 6 * GLOBAL[:2]) / 8
    np.testing.assert_allclose(mean, OWN[:2], rtol=1e-6)


def test_no_variance_is_negative_whatever_the_factor():
    for factor in (-1e38, -3.0, 3.0, 100.0, 1e38):
        scaled = sent(f"scaling(factor={factor!r}, statistics='same')")
        assert (scaled[2:] >= 0).all()
        assert np.isfinite(scaled).all()


def test_parts_that_leave_statistics_alone_stand_beside_others():
    alone = sent("model-replacement")
    np.testing.assert_array_equal(sent("model-replacement + norm-bound(norm=0.1)"), alone)
    np.testing.assert_array_equal(sent("sign-flip + model-replacement"), alone)


def test_a_network_without_statistics_has_none_to_send():
    context = AttackContext(statistics=np.zeros(0, np.float32), clients=4)
    assert Attack.parse("model-replacement").statistics(np.zeros(0, np.float32), context).shape == (0,)
    assert Attack.parse("model-replacement").statistics(OWN, AttackContext(clients=4)) is OWN, (
        "nor a change to scale"
    )


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="choose honest or same"):
        Attack.parse("zero(statistics='all')")
