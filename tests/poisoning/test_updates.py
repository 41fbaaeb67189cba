"""Attacks on what malicious clients send."""

import numpy as np
import pytest

from fedrobust.config import Training
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.spec import build
from fedrobust.training.recipes import RECIPES, FGSMTraining

UPDATE = np.array([3.0, -4.0, 0.0], np.float32)


def sent(text, **settings):
    return Attack.parse(text).update(UPDATE, AttackContext(generator=np.random.default_rng(3), **settings))


def test_closed_forms():
    assert sent("sign-flip").tolist() == [-12, 16, 0]
    assert sent("sign-flip(scale=1)").tolist() == [-3, 4, 0]
    assert sent("scaling(factor=2)").tolist() == [6, -8, 0]
    assert sent("model-replacement", clients=12, malicious=3).tolist() == [12, -16, 0]
    assert sent("free-rider").tolist() == [0, 0, 0]
    assert sent("zero", current=np.array([1, 2, 3], np.float32)).tolist() == [-1, -2, -3]
    assert sent("zero").tolist() == [-3, 4, 0], "without global weights, the update itself leads from zero"
    assert np.isnan(sent("not-finite")).all()
    assert np.isinf(sent("not-finite(value='inf', share=0.4)")).tolist() == [True, False, False]
    assert sent("norm-bound(norm=1)").tolist() == pytest.approx([0.6, -0.8, 0])
    assert sent("norm-bound(norm=10)").tolist() == UPDATE.tolist()
    assert sent("norm-bound(norm=10, stretch=True)").tolist() == [6, -8, 0]
    assert sent("sign-flip(scale=1) + scaling(factor=3)").tolist() == [-9, 12, 0]


def test_noise_is_as_long_as_asked_and_new_in_every_round():
    assert np.linalg.norm(sent("gaussian(scale=2)")) == pytest.approx(10, rel=1e-5)
    assert np.linalg.norm(sent("gaussian(scale=2)") - 2 * UPDATE) > 1
    drawn = np.random.default_rng(3).standard_normal(3, dtype=np.float32)
    np.testing.assert_allclose(sent("gaussian(scale=2)"), 10 * drawn / np.linalg.norm(drawn), rtol=1e-6)
    context = AttackContext(generator=np.random.default_rng(3), round=4)
    large = np.zeros(100_000, np.float32)
    noise = Attack.parse("free-rider(noise=0.1, decay=0.5)").update(large, context)
    assert noise.std() == pytest.approx(0.05, rel=0.02)


def test_free_riders_do_not_train_and_others_do():
    assert not Attack.parse("free-rider").trains
    assert not Attack.parse("free-rider(noise=0.1) + inflated-claim").trains
    assert Attack.parse("sign-flip").trains


def test_claims_and_recipes():
    assert Attack.parse("inflated-claim(factor=7)").claim(10) == 70
    assert Attack.parse("sign-flip").claim(10) == 10
    recipe = Attack.parse("fgsm-training(epsilon='2/255')").training(AttackContext())
    assert build(RECIPES, recipe.pop("recipe")) == FGSMTraining(epsilon=2 / 255, share=1.0)
    assert recipe == {}
    plain = Attack.parse("standard-training + model-replacement").training(AttackContext())
    defended = Training(recipe="pgd(epsilon='2/255', steps=3, step_size=0.01, share=0.5)")
    assert defended.model_copy(update=plain) == Training(), (
        "nothing of the recipe is left, nothing else added"
    )
    assert not Attack.parse("none")


class TrainsLonger:
    """An attack of one's own whose training depends on the context."""

    def training(self, context):
        """Return more epochs in later rounds."""
        return {"epochs": 2 * context.round, "proximal": 0.0}


def test_the_training_of_a_malicious_client_may_depend_on_the_round():
    assert Attack((TrainsLonger(),)).training(AttackContext(round=3)) == {"epochs": 6, "proximal": 0.0}
    assert Attack.parse("sign-flip").training(AttackContext(round=3)) == {}
