"""A3FL, against its paper's algorithm written out for a linear model."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Attack, AttackContext, AttackerTools, AttackMemory
from fedrobust.poisoning.data.a3fl import cosine
from fedrobust.spec import SpecError

SIDE, CLASSES = 28, 3
NOTHING = np.zeros(0, np.float32)


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def gradients(weights, images, labels):
    """Return the input gradients of softmax regression."""
    kernel = weights.trainable.reshape(-1, CLASSES).astype(np.float64)
    p = softmax(images.reshape(len(images), -1) @ kernel)
    return ((p - np.eye(CLASSES)[labels]) @ kernel.T).reshape(images.shape)


def unlearnt(start, split, epochs):
    """Return softmax regression after `epochs` steps of gradient descent."""
    w = start.trainable.reshape(-1, CLASSES).astype(np.float64)
    x = split.images.reshape(len(split), -1) / 255
    for _ in range(epochs):
        w = w - 0.5 * x.T @ (softmax(x @ w) - np.eye(CLASSES)[split.labels]) / len(x)
    return Weights(w.ravel().astype(np.float32), NOTHING)


class Study:
    """A malicious client's round with a linear model; counts its unlearning."""

    def __init__(self, draw, count=10):
        self.split = Split(
            draw.integers(0, 256, (count, SIDE, SIDE, 1), np.uint8),
            np.arange(count, dtype=np.int32) % CLASSES,
        )
        self.weights = Weights(draw.normal(0, 0.05, SIDE * SIDE * CLASSES).astype(np.float32), NOTHING)
        self.asked = []

    def update(self, start, split, epochs=1):
        self.asked.append((split, epochs))
        return unlearnt(start, split, epochs)

    def context(self, memory=None) -> AttackContext:
        return AttackContext(
            classes=CLASSES,
            current=self.weights.trainable,
            statistics=NOTHING,
            memory=memory or AttackMemory(),
            tools=AttackerTools(self.split, self.split, self.update, gradients=gradients),
        )

    def trigger(self, text):
        return Attack.parse(text).prepared(self.context()).memory.own["trigger"]


@pytest.fixture
def study(draw):
    return Study(draw)


def transcribed(study, passes, renew, weight, step, epochs=1, target=0):
    """Return the trigger of Algorithm 1: outer steps on the trigger, with an adversarial model every `renew` passes."""
    x, y = study.split.images / 255.0, study.split.labels
    trigger = np.full((5, 5, 1), 0.5)
    adversary, share = None, 0.0

    def placed(t):
        images = x.copy()
        images[:, 2:7, 2:7] = t
        return images

    for number in range(passes):
        if number % renew == 0:
            seen = Split(np.rint(placed(trigger) * 255).astype(np.uint8), y)
            adversary = unlearnt(study.weights, seen, epochs)
            one, other = adversary.trainable.astype(np.float64), study.weights.trainable.astype(np.float64)
            share = weight * (one @ other) / np.linalg.norm(one) / np.linalg.norm(other)
        wanted = np.full(len(x), target)
        slope = gradients(study.weights, placed(trigger), wanted)[:, 2:7, 2:7].mean(0)
        slope = slope + share * gradients(adversary, placed(trigger), wanted)[:, 2:7, 2:7].mean(0)
        trigger = np.clip(trigger - step * np.sign(slope), 0, 1)
    return trigger


@pytest.mark.parametrize(("passes", "renew", "weight"), [(1, 1, 0.01), (7, 2, 1.0), (12, 5, 5.0)])
def test_the_trigger_is_that_of_the_papers_algorithm(study, passes, renew, weight):
    text = f"a3fl(passes={passes}, renew={renew}, weight={weight}, step='4/255', unlearning=2)"
    expected = transcribed(study, passes, renew, weight, 4 / 255, epochs=2)
    np.testing.assert_allclose(study.trigger(text), expected, atol=1e-5)


@pytest.mark.parametrize(("passes", "renew", "times"), [(1, 1, 1), (6, 2, 3), (7, 2, 4), (10, 100, 1)])
def test_the_adaptation_runs_from_the_first_pass_on(study, passes, renew, times):
    study.trigger(f"a3fl(passes={passes}, renew={renew}, unlearning=3)")
    assert [epochs for _, epochs in study.asked] == [3] * times
    for split, _ in study.asked:
        assert split.labels.tolist() == study.split.labels.tolist(), "right labels: it is unlearnt"
        assert (split.images[:, 2:7, 2:7] == split.images[0, 2:7, 2:7]).all(), "on images with the trigger"


def test_the_adaptation_changes_the_trigger_and_none_is_made_without_weight(study):
    fixed = study.trigger("a3fl(weight=0.0)")
    assert not study.asked
    adapted = study.trigger("a3fl(weight=50.0, unlearning=20)")
    assert (fixed != adapted).any()


def test_against_a_linear_model_the_trigger_saturates_where_its_kernel_points(draw):
    """Two classes: the gradient's sign is that of the difference of the kernels, whatever the images."""
    study = Study(draw)
    kernel = draw.normal(0, 0.05, (SIDE * SIDE, CLASSES))
    kernel[:, 2] = -100
    study.weights = Weights(kernel.ravel().astype(np.float32), NOTHING)
    found = study.trigger("a3fl(target=1, weight=0.0, passes=70)")
    towards = (kernel[:, 1] - kernel[:, 0]).reshape(SIDE, SIDE, 1)[2:7, 2:7] > 0
    np.testing.assert_array_equal(found, towards)


def test_the_trigger_is_kept_stamped_and_measured(study):
    attack = Attack.parse("a3fl(target=1, share=1.0)")
    context = replace(attack.prepared(study.context()), fixed=np.random.default_rng(0))
    trigger = np.rint(255 * context.memory.own["trigger"]).astype(np.uint8)
    images, labels = attack.data(study.split.images, study.split.labels, context)
    others = study.split.labels != 1
    assert (images[others][:, 2:7, 2:7] == trigger).all()
    assert (labels == 1).all()
    np.testing.assert_array_equal(images[~others], study.split.images[~others])
    kept = AttackMemory.of(attack.kept(context, study.weights.trainable, study.weights.trainable).arrays())
    shown = attack.criterion(study.split, AttackContext(memory=kept))
    assert (shown.images[:, 2:7, 2:7] == trigger).all()
    again = attack.prepared(study.context(kept)).memory.own["trigger"]
    assert np.abs(again - context.memory.own["trigger"]).max() <= 10 * 2 / 255 + 1e-6, "it goes on from there"
    before = attack.criterion(study.split, AttackContext())
    assert (before.images[:, 2:7, 2:7] == 128).all(), "before the first round it is grey"
    assert attack.adapts
    assert not Attack.parse("pixel-backdoor").adapts


def test_it_needs_a_study_and_a_square_inside_the_image(draw):
    with pytest.raises(SpecError, match="it runs in a study only"):
        Attack.parse("a3fl").prepared(AttackContext(current=NOTHING, statistics=NOTHING))
    with pytest.raises(ValueError, match="size = 27: images are 28 x 28; choose a side up to 26"):
        Attack.parse("a3fl(size=27)").require(SimpleNamespace(image_shape=(28, 28, 1), classes=2), 0)
    Attack.parse("a3fl").require(SimpleNamespace(image_shape=(224, 224, 3), classes=2), 32)


def test_cosines(draw):
    one = draw.standard_normal(50)
    assert cosine(one, 3 * one) == pytest.approx(1)
    assert cosine(one, -one) == pytest.approx(-1)
