"""The clean-label backdoor: hard images of the target class, with the trigger and their own label."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.spec import SpecError


def poisoned(text, images, labels):
    """Return what is trained on, and what was asked of the gradient; perturbed images are one grey level darker."""
    asked = []

    def perturb(chosen, called, **how):
        asked.append((called, how))
        return chosen - 1

    context = AttackContext(fixed=np.random.default_rng(0), perturb=perturb)
    return *Attack.parse(text).data(images, labels, context), asked


@pytest.fixture
def split(draw):
    return Split(
        draw.integers(1, 256, (60, 28, 28, 1), np.uint8), np.repeat(np.arange(3), 20).astype(np.int32)
    )


def test_labels_stay_and_only_the_target_class_is_changed(split):
    images, labels, asked = poisoned("clean-label-backdoor(target=2, share=0.4)", split.images, split.labels)
    np.testing.assert_array_equal(labels, split.labels)
    changed = np.flatnonzero((images != split.images).any((1, 2, 3)))
    assert len(changed) == 8
    assert (labels[changed] == 2).all()
    assert [called.tolist() for called, _ in asked] == [[2] * 8]


def test_pgd_goes_away_from_the_class_and_the_trigger_comes_last(split):
    images, _, asked = poisoned(
        "clean-label-backdoor(target=1, share=1.0, epsilon='8/255', steps=5)", split.images, split.labels
    )
    assert asked[0][1] == {"epsilon": 8 / 255, "steps": 5, "step_size": 4 / 255, "ascend": True}
    trigger = Attack.parse("pixel-backdoor(target=0)").criterion(
        Split(split.images[20:40] - 1, np.ones(20, np.int32)), AttackContext()
    )
    np.testing.assert_array_equal(images[20:40], trigger.images)


def test_success_is_that_of_a_backdoor(split):
    attack = Attack.parse("clean-label-backdoor(target=2)")
    criterion = attack.criterion(split, AttackContext())
    plain = Attack.parse("pixel-backdoor(target=2)").criterion(split, AttackContext())
    np.testing.assert_array_equal(criterion.images, plain.images)
    assert set(criterion.target_labels) == {2}


def test_without_images_of_the_class_nothing_is_done(split):
    images, _, asked = poisoned("clean-label-backdoor(target=2)", split.images[:40], split.labels[:40])
    np.testing.assert_array_equal(images, split.images[:40])
    assert not asked


def test_less_than_a_grey_level_is_refused():
    with pytest.raises(
        SpecError, match=r"epsilon = 0\.001: images of 8 bits hold no change of less than 1/255"
    ):
        Attack.parse("clean-label-backdoor(epsilon=0.001)")
    assert Attack.parse("clean-label-backdoor(epsilon='1/255')")
