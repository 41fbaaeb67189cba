import numpy as np
import pytest

from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.steering import Steering, Trained

NONE = np.zeros(0, np.float32)
RATES = np.array([0.4, 0.3, 0.2, 0.1], np.float32)


def accumulated(optimizer, rates=RATES):
    return Trained(NONE, NONE, rates, optimizer).accumulated


def test_plain_steps_accumulate_their_rates():
    assert accumulated(SGD(momentum=0.0)) == pytest.approx(1.0)
    assert Trained(NONE, NONE, RATES, SGD()).steps == 4


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_with_momentum_each_gradient_counts_in_all_later_steps(momentum):
    """Wang et al., 2020, section 4: with a constant rate a_i = (1 - momentum^(K - k)) / (1 - momentum)."""
    constant, steps = np.full(6, 0.1, np.float32), np.arange(1, 7)
    norm = sum((1 - momentum**left) / (1 - momentum) for left in steps)
    assert accumulated(SGD(momentum=momentum), constant) == pytest.approx(0.1 * norm, rel=1e-5)
    # The velocity keeps what a rate was when its gradient came.
    expected = sum(rate * sum(momentum**later for later in range(4 - k)) for k, rate in enumerate(RATES))
    assert accumulated(SGD(momentum=momentum)) == pytest.approx(expected, rel=1e-5)


def test_adams_steps_have_the_length_of_the_rate_and_weight_decay_takes_no_part():
    assert accumulated(Adam(weight_decay=0.5)) == pytest.approx(1.0, rel=1e-4)


def test_a_part_is_steered_by_its_own_numbers():
    steering = Steering(np.arange(4, dtype=np.float32), 0.5, np.array([True, False, True, False]))
    part = steering.among(np.array([1, 2]))
    assert (part.correction.tolist(), part.pull, part.trained.tolist()) == ([1, 2], 0.5, [False, True])
    empty = Steering(pull=0.5).among(np.array([1, 2]))
    assert (empty.correction, empty.trained) == (None, None)
    correction, pull, trained = empty.arrays(2)
    assert (correction.tolist(), pull, trained.tolist()) == ([0, 0], 0.5, [1, 1])
