"""IBA: its generator's gradient, its training against a fixed model, and faint triggers."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Attack, AttackContext, AttackerTools, AttackMemory
from fedrobust.poisoning.data.iba import adam, generator_of
from fedrobust.spec import SpecError
from fedrobust.training.trigger_generator import TriggerGenerator

NOTHING = np.zeros(0, np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_that_of_finite_differences(draw, channels):
    generator = TriggerGenerator(channels)
    images = draw.random((3, 9, 9, channels)).astype(np.float32)
    slope = draw.standard_normal(images.shape).astype(np.float32)
    weights = generator.initial(1) + draw.normal(0, 0.05, generator.size).astype(np.float32)
    direction = draw.standard_normal(generator.size).astype(np.float32)
    direction /= np.linalg.norm(direction)

    def total(step):
        return float((slope * generator.noise(weights + np.float32(step) * direction, images)).sum())

    expected = (total(0.01) - total(-0.01)) / 0.02
    assert generator.gradient(weights, images, slope) @ direction == pytest.approx(
        expected, rel=0.02, abs=0.02
    )
    assert np.abs(generator.noise(weights, images)).max() <= 1


def test_adam_is_the_papers(draw):
    gradients, moments = draw.standard_normal((5, 7)), np.zeros((2, 7))
    m = v = np.zeros(7)
    for number, gradient in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected = m / (1 - 0.9**number) / (np.sqrt(v / (1 - 0.999**number)) + 1e-8)
        np.testing.assert_allclose(adam(gradient, moments, number), expected)


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


@pytest.fixture
def context(draw):
    """A client of 30 images, and a linear model that calls the brighter ones class 1, and few are bright enough."""
    images = draw.integers(60, 200, (30, 16, 16, 1), np.uint8)
    kernel = draw.normal(0, 0.005, (256, 2)) + np.array([-0.05, 0.05])
    bias = np.array([0.8, 0.0]) - images.reshape(30, 256).mean(0) / 255 @ kernel
    passes = []

    def logits(weights, seen):
        passes.append(len(seen))
        return seen.reshape(len(seen), 256) / 255 @ kernel + bias

    def gradients(weights, seen, labels):
        p = softmax(seen.reshape(len(seen), 256).astype(np.float64) @ kernel + bias)
        return ((p - np.eye(2)[labels]) @ kernel.T).reshape(seen.shape)

    split = Split(images, np.zeros(30, np.int32))
    tools = AttackerTools(split, split, logits=logits, gradients=gradients)
    made = AttackContext(current=NOTHING, statistics=NOTHING, tools=tools, fixed=np.random.default_rng(0))
    return made, passes


def hits(attack, context):
    """Return the share of the client's images that are class 1 with the trigger."""
    criterion = attack.criterion(context.tools.clean, context)
    return float((context.tools.logits(Weights(NOTHING, NOTHING), criterion.images).argmax(1) == 1).mean())


def test_the_generator_learns_until_it_is_enough(context):
    before, passes = context
    attack = Attack.parse("iba(target=1, epsilon=0.1, enough=0.7, passes=60, rate=0.001)")
    assert hits(attack, before) < 0.4
    passes.clear()
    after = attack.prepared(before)
    assert 1 < len(passes) < 60, "one look at the images a pass, and an early end"
    assert hits(attack, after) >= 0.7
    passes.clear()
    attack.prepared(replace(before, memory=AttackMemory(1, own=after.memory.own)))
    assert len(passes) == 1, "it goes on from what it has learnt"


def test_triggers_are_within_epsilon_and_each_images_own(context, draw):
    before, _ = context
    attack = Attack.parse("iba(target=1, epsilon='8/255', share=1.0, passes=1)")
    after = attack.prepared(before)
    images, labels = attack.data(before.tools.clean.images, before.tools.clean.labels, after)
    change = images.astype(int) - before.tools.clean.images
    assert 1 < np.abs(change).max() <= 8
    assert (labels == 1).all()
    assert len({one.tobytes() for one in change}) == 30


def test_attackers_begin_with_equal_networks():
    assert generator_of(1).initial(3).tolist() == generator_of(1).initial(3).tolist()
    assert generator_of(1).initial(3).tolist() != generator_of(1).initial(4).tolist()


def test_without_other_classes_nothing_is_learnt(context):
    before, passes = context
    after = Attack.parse("iba(target=0)").prepared(before)
    assert after.memory.own["generator"].tolist() == generator_of(1).initial(0).tolist()
    assert not passes


def test_less_than_half_a_grey_level_is_refused():
    with pytest.raises(SpecError, match=r"epsilon = 0\.001: images of 8 bits hold no change of half a grey"):
        Attack.parse("iba(epsilon=0.001)")
