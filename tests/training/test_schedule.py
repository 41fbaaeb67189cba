import numpy as np
import pytest

from fedrobust.training.schedule import balanced_class_weights, learning_rates


def test_a_constant_rate_stays():
    rates = learning_rates(0.25, "constant", steps=3, round=2, rounds=4)
    assert rates.dtype == np.float32
    assert rates.tolist() == [0.25] * 3


@pytest.mark.parametrize(
    ("schedule", "share"), [("linear", lambda p: 1 - p), ("cosine", lambda p: np.cos(np.pi * p / 2) ** 2)]
)
def test_rates_fall_with_the_share_of_the_study_that_is_over(schedule, share):
    steps, rounds = 5, 3
    whole = np.concatenate(
        [learning_rates(2.0, schedule, steps, round, rounds) for round in range(1, rounds + 1)]
    )
    over = np.arange(steps * rounds) / (steps * rounds)
    np.testing.assert_allclose(whole, 2.0 * share(over), atol=1e-6)
    assert whole[0] == 2.0


def test_one_round_is_the_whole_study_unless_told_otherwise():
    np.testing.assert_array_equal(
        learning_rates(1.0, "linear", steps=4), np.array([1, 0.75, 0.5, 0.25], np.float32)
    )


def test_class_weights_make_every_present_class_count_alike():
    labels = np.array([0] * 6 + [2] * 3 + [3])
    weights = balanced_class_weights(labels, classes=5)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [10 / (3 * 6), 0, 10 / (3 * 3), 10 / 3, 0], rtol=1e-6)
    assert weights[labels].sum() == pytest.approx(len(labels)), "the size of a mean loss stays"


def test_the_rate_rises_through_the_warm_up_and_then_falls_over_the_rest():
    rounds = [learning_rates(2.0, "linear", 4, round, 5, warmup=0.4) for round in range(1, 6)]
    rates = np.concatenate(rounds)
    np.testing.assert_allclose(rates[:8], 2.0 * np.arange(1, 9) / 8)
    np.testing.assert_allclose(rates[8:], 2.0 * (1 - np.arange(12) / 12))
