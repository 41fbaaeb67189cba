"""Backdoors with ``share=0``: the control, whose updates are honest and whose trigger is measured."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.spec import SpecError

FIXED = ("pixel-backdoor", "blended-backdoor", "distributed-backdoor", "semantic-backdoor")
LEARNT = ("a3fl", "iba")


@pytest.mark.parametrize("name", [*FIXED, *LEARNT])
def test_the_control_trains_on_the_clients_own_images_and_labels(draw, name):
    images = draw.integers(0, 256, (12, 28, 28, 1), np.uint8)
    labels = draw.integers(0, 2, 12, np.int32)
    context = AttackContext(fixed=np.random.default_rng(0), malicious=4)
    control, attack = Attack.parse(f"{name}(share=0)"), Attack.parse(f"{name}(share=1)")
    given, said = control.data(images, labels, context)
    assert (given == images).all()
    assert (said == labels).all()
    given, said = attack.data(images, labels, context)
    assert (said == 0).all()
    assert (given != images).any((1, 2, 3)).tolist() == (labels == 1).tolist()
    split = Split(images, labels)
    one, other = (each.criterion(split, context) for each in (control, attack))
    np.testing.assert_array_equal(one.images, other.images)


@pytest.mark.parametrize("name", [*FIXED, *LEARNT, "clean-label-backdoor"])
def test_a_study_says_what_the_success_of_the_control_is(name):
    (said,) = Attack.parse(f"{name}(share=0)").remarks(AttackContext(malicious=1))
    assert said.startswith(
        "share = 0: malicious clients train as honest clients do; the attack success rate is what"
    )


@pytest.mark.parametrize("name", LEARNT)
def test_a_study_with_a_learnt_trigger_says_what_its_success_counts(name):
    (said,) = Attack.parse(name).remarks(AttackContext(malicious=1))
    assert "the same attack with share=0 measures that" in said


@pytest.mark.parametrize("other", ["scaling(factor=5)", "neurotoxin", "sign-flip"])
def test_the_control_goes_alone(other):
    with pytest.raises(SpecError, match=r"share=0 is a control, whose updates are honest, and goes alone"):
        Attack.parse(f"pixel-backdoor(share=0) + {other}")
