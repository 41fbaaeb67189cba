"""Learnt triggers with ``share=0``: the control, whose updates are honest."""

import numpy as np
import pytest

from fedrobust.poisoning import Attack, AttackContext


@pytest.mark.parametrize("name", ["a3fl", "iba"])
def test_the_control_trains_on_the_clients_own_images_and_labels(draw, name):
    images = draw.integers(0, 256, (12, 28, 28, 1), np.uint8)
    labels = draw.integers(0, 2, 12)
    context = AttackContext(fixed=np.random.default_rng(0))
    given, said = Attack.parse(f"{name}(share=0)").data(images, labels, context)
    assert (given == images).all()
    assert (said == labels).all()
    given, said = Attack.parse(f"{name}(share=1)").data(images, labels, context)
    assert (said == 0).all()
    assert (given != images).any((1, 2, 3)).tolist() == (labels == 1).tolist()


@pytest.mark.parametrize("name", ["a3fl", "iba"])
def test_a_study_says_what_its_success_counts(name):
    (said,) = Attack.parse(name).remarks(AttackContext(malicious=1))
    assert "the same attack with share=0 measures that" in said
    (said,) = Attack.parse(f"{name}(share=0)").remarks(AttackContext(malicious=1))
    assert said.startswith("share = 0: malicious clients learn a trigger and train as honest clients do")
