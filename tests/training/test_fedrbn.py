"""FedRBN: both losses by hand, whose statistics are kept, and what passes between clients."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.config import Experiment
from fedrobust.models.classifier import build_classifier
from fedrobust.models.recalibration import Recalibration
from fedrobust.own_modules import only
from fedrobust.registry import UnknownNameError
from fedrobust.spec import build
from fedrobust.study import Study
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import RECIPES, Batch
from fedrobust.training.recipes.fedrbn import FedRBN, PseudoNoise
from fedrobust.training.recipes.recipe import others_of, shares_statistics
from fedrobust.training.training_data import TrainingData

EPSILON = 0.1


def batch_of(images, labels, shares):
    """Return one-pixel images x with logits (-2x, 2x); in training mode (-x, x), and the statistic is the mean of x."""

    def logits(seen, slope):
        x = tf.reshape(seen, (-1, 1))
        return tf.concat([-slope * x, slope * x], 1)

    clean = tf.constant(np.reshape(images, (-1, 1, 1, 1)), tf.float32)
    return Batch(
        images=clean,
        targets=tf.constant(labels),
        example_weights=tf.constant(shares),
        seed=tf.constant([1, 2]),
        objective=lambda scores, targets: tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores),
        infer=lambda seen: logits(seen, 2.0),
        train=lambda seen: (logits(seen, 1.0), [tf.reduce_mean(seen)]),
        statistics=[tf.constant(0.25)],
    )


def entropy(slope, x, labels):
    signs = np.where(np.array(labels) == 1, 1, -1)
    return np.log1p(np.exp(-2 * slope * np.array(x) * signs))


IMAGES, LABELS, SHARES = [0.4, 0.6, 0.5], [1, 0, 1], np.array([1, 2, 0.5], np.float32)
CRAFTED = [0.3, 0.7, 0.4]
"""A tenth away from the label."""


def test_clients_that_train_adversarially_weight_both_losses_and_keep_the_attacked_statistics():
    recipe = FedRBN(epsilon=EPSILON, steps=4, weight=0.25)
    outcome = recipe(batch_of(IMAGES, LABELS, SHARES))
    each = 0.75 * entropy(1, IMAGES, LABELS) + 0.25 * entropy(1, CRAFTED, LABELS)
    assert float(outcome.loss) == pytest.approx((SHARES * each).mean(), rel=1e-5)
    assert float(outcome.statistics[0]) == pytest.approx(np.mean(CRAFTED), abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_others_weight_both_normalisations_and_leave_the_statistics_alone(weight):
    outcome = PseudoNoise(weight=weight)(batch_of(IMAGES, LABELS, SHARES))
    each = (1 - weight) * entropy(1, IMAGES, LABELS) + weight * entropy(2, IMAGES, LABELS)
    assert float(outcome.loss) == pytest.approx((SHARES * each).mean(), rel=1e-5)
    assert float(outcome.statistics[0]) == 0.25


def test_the_recipe_names_that_of_the_others_also_inside_of_awp():
    for spec in ("fedrbn(calibration=0.2)", "awp(recipe='fedrbn(calibration=0.2)')"):
        recipe = build(RECIPES, spec)
        assert build(RECIPES, others_of(recipe)) == PseudoNoise(weight=0.2)
        assert shares_statistics(recipe)
    plain = build(RECIPES, "pgd")
    assert (others_of(plain), shares_statistics(plain)) == ("plain", False)
    study = Study(Experiment.of(training__recipe="fedrbn(calibration=0.2)", training__recipe_clients=0.5))
    changed = [study.changed(client).get("recipe") for client in range(10)]
    assert sorted(filter(None, changed)) == [others_of(recipe)] * 5
    alone = [study.changed_alone(client).get("recipe") for client in range(10)]
    assert [one and "plain" for one in changed] == alone, "no statistics are received from others"


@pytest.mark.parametrize("spec", [*RECIPES, "awp(recipe='fedrbn(calibration=0.2)')"])
def test_the_recipe_of_the_others_is_one_of_the_installed_package(spec):
    """A hospital with images of its own runs no dotted path."""
    others = others_of(build(RECIPES, spec))
    with only(()):
        assert callable(build(RECIPES, others))


def test_the_recipe_of_the_others_is_not_offered():
    assert "pseudo-noise" not in [*RECIPES]
    with pytest.raises(UnknownNameError) as refusal:
        build(RECIPES, "nothing")
    assert "pseudo-noise" not in str(refusal.value)


@pytest.fixture(scope="module")
def classifier():
    return build_classifier("edge-cnn(width=4)", native=(16, 16, 1), classes=2, image_size=0, seed=3)


@pytest.mark.parametrize("epsilon", [pytest.param(1e-6, marks=pytest.mark.slow), 0.3])
def test_in_the_graph_the_moving_statistics_are_those_of_adversarial_images(classifier, epsilon):
    draw = np.random.default_rng(0)
    images, labels = (
        draw.integers(0, 256, (32, 16, 16, 1), np.uint8),
        draw.integers(0, 2, 32).astype(np.int32),
    )
    start, data = classifier.initial_weights(), TrainingData.of(images, labels)
    batches = draw_batches(np.arange(32), epochs=60, batch_size=32, generator=draw)
    still = {"learning_rates": [0.0] * len(batches.sizes), "seed": [0, 0]}
    update = LocalUpdate(classifier, FedRBN(epsilon=epsilon, steps=2), SGD())
    after, _ = update(start, data, batches, **still)
    # Weights that do not move, and 0.9^60 = 0.002 of the initial statistics: those of the clean images, or not.
    clean = Recalibration(classifier)(start, images).statistics
    apart = np.abs(after.statistics - clean).max() / np.abs(clean - start.statistics).max()
    assert (apart < 0.01) == (epsilon < 0.1)
    passed, _ = LocalUpdate(classifier, PseudoNoise(), SGD())(
        start, data, batches, **(still | {"learning_rates": [0.01] * len(batches.sizes)})
    )
    assert passed.statistics.tobytes() == start.statistics.tobytes()
    assert passed.digest() != start.digest()
