"""The worst case over attacks, and to which images the dearest of them turn: from made-up results."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.audit import Plan
from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.result import Result
from fedrobust.errors import FedrobustError
from fedrobust.evasion import Threat
from tests.audit.made_up import EPSILON, result

LABELS = np.zeros(4, np.int32)


def logits(*gaps) -> np.ndarray:
    """Return logits by how far the wrong class is above the right one."""
    return np.array([[0.0, gap] for gap in gaps])


def attack(*gaps, epsilons=(EPSILON,), rows=(0, 1, 2, 3), name="attack") -> Result:
    """Return an attack that reached these gaps at each epsilon; above 0 it broke the image."""
    answers = np.stack([logits(*each) for each in gaps])
    return Result(name, epsilons, np.array(rows), answers[..., 1] > 0, answers, 1.0, 1.0, 1.0)


def searched(clean=(-4.0, -4.0, -4.0, -4.0), right=(True, True, True, True), **plan) -> AttackSuite:
    asked = []

    def run(spec, epsilons=None, **settings):
        asked.append((spec, epsilons, settings))
        return result(1, n=4, name=str(spec))

    evidence = SimpleNamespace(
        clean=logits(*clean),
        right=np.array(right),
        audited=SimpleNamespace(labels=LABELS),
        plan=Plan(epsilon=EPSILON, **plan),
        run=run,
        asked=asked,
    )
    return AttackSuite(evidence)


def test_the_first_break_counts_and_else_the_nearest_to_one():
    first = attack((1.0, -3.0, -2.0, -5.0))
    second = attack((2.0, 3.0, -3.0, -4.5))
    worst = searched()._worst([first, second])
    # Broken first by the first; by the second; nearest in the first; never nearer than as it is.
    np.testing.assert_array_equal(worst, logits(1.0, 3.0, -2.0, -4.0))


def test_as_near_as_before_is_no_nearer():
    answers = attack((-4.0, -4.0, -4.0, -4.0))
    answers.logits[..., 0] += 7
    answers.logits[..., 1] += 7
    np.testing.assert_array_equal(searched()._worst([answers]), logits(-4, -4, -4, -4))


def test_epsilons_beyond_the_verdicts_do_not_count_and_smaller_ones_do():
    curve = attack(
        (1.0, -3.0, -3.0, -3.0), (-3.0, -2.0, 2.0, -3.5), (9.0, 9.0, 9.0, 9.0), epsilons=(0.05, EPSILON, 0.5)
    )
    np.testing.assert_array_equal(searched()._worst([curve]), logits(1.0, -2.0, 2.0, -3.0))


def test_only_the_images_that_were_attacked_change():
    part = attack((5.0, -1.0), rows=(1, 3))
    made = searched()
    np.testing.assert_array_equal(made._worst([part]), logits(-4.0, 5.0, -4.0, -1.0))
    np.testing.assert_array_equal(made.cache.clean, logits(-4, -4, -4, -4)), "the clean answers are kept"
    np.testing.assert_array_equal(made._worst([]), made.cache.clean)


def test_what_is_right_and_unbroken_stands():
    made = searched(right=(True, True, True, False))
    both = [attack((1.0, -1.0, -1.0, -1.0)), attack((2.0,), rows=(2,))]
    assert made._standing(both).tolist() == [False, True, False, False]
    assert made._standing([]).tolist() == [True, True, True, False]
    assert made.cache.right.tolist() == [True, True, True, False], "is kept"


@pytest.mark.parametrize(
    ("most", "chosen"),
    [
        (0, [True, True, True, False]),
        (3, [True, True, True, False]),
        (2, [False, True, True, False]),
        (1, [False, False, True, False]),
    ],
)
def test_the_nearest_images_that_stand_are_chosen(most, chosen):
    made = searched(clean=(-3.0, -2.0, -4.0, 5.0))
    made.__dict__["gradient_attacks"] = [attack((-3.0, -2.5, -1.9, 5.0))]
    made.__dict__["substituted"] = made.__dict__["hidden_layer_attacks"] = made.__dict__["smoothed"] = []
    rows = np.array([True, True, True, False])
    assert made._nearest(rows, most, []).tolist() == chosen


@pytest.mark.parametrize("part", ["gradient_attacks", "substituted", "found"])
def test_whatever_was_made_tells_how_near_an_image_is(part):
    made, near = searched(), [attack((-3.0, -1.0, -2.0, -3.0))]
    made.__dict__.update(
        {"gradient_attacks": [], "substituted": [], "hidden_layer_attacks": [], "smoothed": []}
    )
    if part != "found":
        made.__dict__[part] = near
    chosen = made._nearest(np.ones(4, bool), 1, near if part == "found" else [])
    assert chosen.tolist() == [False, True, False, False]


def test_of_equally_near_images_the_first_are_chosen():
    made = searched()
    made.__dict__.update(
        {"gradient_attacks": [], "substituted": [], "hidden_layer_attacks": [], "smoothed": []}
    )
    assert made._nearest(np.ones(4, bool), 2, []).tolist() == [True, True, False, False]


@pytest.mark.parametrize("threat", [Threat(), Threat(norm="l2", tied=True)])
def test_eight_bit_images_are_looked_for_in_the_same_threat(threat):
    made = searched(threat=threat)
    made.eight_bit()
    stored = Threat(norm=threat.norm, bits=8, tied=threat.tied)
    assert made.cache.asked == [("pgd(steps=20)", None, {"of": "8-bit", "threat": stored})]


def test_grey_levels_are_asked_for_in_the_threats_own_space():
    with pytest.raises(FedrobustError, match="'prepared'"):
        searched(threat=Threat(space="prepared")).eight_bit()
