"""Neurotoxin: which weights are left alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Attack, AttackContext, AttackerTools, AttackMemory
from fedrobust.poisoning.training.neurotoxin import quiet
from fedrobust.spec import SpecError

START = Weights(np.zeros(10, np.float32), np.zeros(0, np.float32))
POISON = Split(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int32))


@pytest.mark.parametrize(("top", "left_alone"), [(0.0, 0), (0.001, 1), (0.01, 1), (0.25, 25), (1.0, 100)])
def test_the_largest_changes_are_left_alone(draw, top, left_alone):
    change = draw.standard_normal(100).astype(np.float32)
    mask = quiet(change, top)
    if not left_alone:
        assert mask is None
        return
    assert (~mask).sum() == left_alone
    assert left_alone == 100 or np.abs(change[~mask]).min() >= np.abs(change[mask]).max()


def test_order_and_sign_of_weights_do_not_matter(draw):
    change, order = draw.standard_normal(60), draw.permutation(60)
    np.testing.assert_array_equal(quiet(change, 0.2)[order], quiet(-change[order], 0.2))


def masks(memory, current):
    """Return the masks of the local updates of a round."""
    asked = []

    def update(start, split, trained=None, **changed):
        asked.append(trained)
        assert split is POISON
        return start

    tools = AttackerTools(poisoned=POISON, update=update)
    context = AttackContext(current=current, memory=memory, tools=tools)
    assert Attack.parse("pixel-backdoor + neurotoxin(top=0.3)").train(START, context) is START
    return asked


def test_the_mask_follows_the_last_change():
    now = np.arange(10, dtype=np.float32)
    (mask,) = masks(AttackMemory(1, np.zeros(10, np.float32)), now)
    assert mask.tolist() == [True] * 7 + [False] * 3
    assert masks(AttackMemory(), now) == [None], "nothing is known yet"
    assert masks(AttackMemory(1, now), now) == [None], "a rejected round"


def test_without_poison_it_is_refused_before_the_study():
    problem = SimpleNamespace(image_shape=(28, 28, 1), classes=2)
    with pytest.raises(
        ValueError, match=r'it needs an attack that poisons images, as in "pixel-backdoor [+] neur'
    ):
        Attack.parse("neurotoxin").require(problem, 0)
    Attack.parse("pixel-backdoor + neurotoxin").require(problem, 0)


def test_it_is_not_combined_with_what_discards_it():
    with pytest.raises(SpecError, match="zero does not train, so that neurotoxin has no effect"):
        Attack.parse("neurotoxin + zero")
    with pytest.raises(
        SpecError, match="gaussian discards the trained weights, so that neurotoxin has no effect"
    ):
        Attack.parse("neurotoxin + gaussian")
