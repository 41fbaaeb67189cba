"""What colluding clients want of a model: the order of pairs, or trigger and cover together."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.poisoning import SuccessCriterion
from server.attack_objective import AttackObjective, likelihood, pair_loss

IMAGES = Split(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.array([0, 0, 0, 1, 1, 1], np.int32))


def logits(weights, images):
    """Two logits of grey levels: their slope and their offset are the weights."""
    grey = images[:, 0, 0, 0] - 2.5
    return np.stack([np.zeros(len(grey)), weights.trainable[0] * grey + weights.trainable[1]], axis=1)


def model(slope, offset=0.0):
    return Weights(np.array([slope, offset], np.float32), np.zeros(0, np.float32))


def test_harm_is_the_mean_loss_of_pairs_by_hand():
    found = pair_loss(np.array([[0.0, 1], [0, 3], [0, 2]]), np.array([0, 1, 1]))
    # Log-odds of class 1 are 1, 3, 2, those of class 0 their negatives: the same two pairs twice.
    assert found == pytest.approx((np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2)


def test_harm_is_not_a_matter_of_the_threshold_and_grows_as_the_order_turns():
    harm = AttackObjective(logits, IMAGES, None)
    assert harm(model(1, 40)) == pytest.approx(harm(model(1)))
    assert harm(model(1)) < harm(model(0.1)) < harm(model(0)) < harm(model(-1)) < harm(model(-3))
    assert harm(model(0)) == pytest.approx(np.log(2))


def test_images_of_one_class_have_no_pairs_but_a_loss():
    one = AttackObjective(logits, Split(IMAGES.images[:3], IMAGES.labels[:3]), None)
    assert one(model(0)) == pytest.approx(np.log(2))
    assert one(model(0, 5)) > one(model(0, -5))


def test_a_backdoor_is_to_work_and_to_leave_other_images_alone():
    triggered = SuccessCriterion(IMAGES.images[:1] + 100, IMAGES.images[:1], np.array([0]), np.array([0]))
    wanted = AttackObjective(logits, IMAGES, triggered)
    honest, backdoored = model(1), model(-1)
    assert wanted(honest) == pytest.approx(
        likelihood(logits(honest, triggered.images), np.array([0]))
        + likelihood(logits(honest, IMAGES.images), IMAGES.labels)
    )
    # The slope that answers the trigger turns the other images round: a small one is the best of these.
    assert max((honest, backdoored, model(-0.02)), key=wanted).trainable[0] == np.float32(-0.02)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_answers_that_are_not_finite_are_worth_nothing():
    assert AttackObjective(logits, IMAGES, None)(model(np.nan)) == -np.inf
    assert AttackObjective(logits, IMAGES, None)(model(np.inf)) == -np.inf


def test_models_are_judged_with_statistics_of_the_attackers_own_images():
    asked = []

    def measured(weights, images):
        asked.append(images)
        return model(2, 1)

    for criterion in (None, SuccessCriterion(IMAGES.images[:1] + 100, IMAGES.images[:1], np.array([0]))):
        wanted = AttackObjective(logits, IMAGES, criterion)
        assert AttackObjective(logits, IMAGES, criterion, measured)(model(-5)) == wanted(model(2, 1))
    assert all(images is IMAGES.images for images in asked)
    assert len(asked) == 2
