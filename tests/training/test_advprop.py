"""AdvProp: two sets of BatchNorm, one for clean and one for adversarial images."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.checks import check
from fedrobust.config import ConfigError, Experiment
from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.models.encoder import encoded
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import Recalibration
from fedrobust.models.two_batchnorms import TwoBatchNorms
from fedrobust.removal import FinePruning, NeuralCleanse, SuperFineTuning, Suspect
from fedrobust.spec import SpecError, build
from fedrobust.study import Study
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import RECIPES, Batch, PGDTraining, Plain
from fedrobust.training.recipes.advprop import AdvProp
from fedrobust.training.training_data import TrainingData


@pytest.fixture(scope="module")
def main():
    return build_classifier("edge-cnn(width=4)", native=(16, 16, 1), classes=2, image_size=0, seed=3)


@pytest.fixture(scope="module")
def two(main):
    return TwoBatchNorms(main)


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (24, 16, 16, 1), np.uint8), draw.integers(0, 2, 24).astype(np.int32)


@pytest.fixture(scope="module")
def unlike(two):
    """Weights with two sets that differ."""
    first, draw = two.initial_weights(), np.random.default_rng(1)
    return Weights(
        first.trainable + draw.normal(0, 0.1, first.trainable.shape).astype(np.float32),
        first.statistics + draw.uniform(0, 0.5, first.statistics.shape).astype(np.float32),
    )


def passed(classifier, weights, images, **how):
    """Return logits and statistics, as one vector, of a pass."""
    x = tf.constant(images / np.float32(255))
    logits, after = classifier.logits(*classifier.arrays(weights), classifier.preparation(x), **how)
    return np.asarray(logits), np.concatenate([np.ravel(each) for each in after])


def swapped(two, weights):
    """Return the weights of `main` with the auxiliary set in place of the main one, by names."""
    arrays = dict(zip([e.path for e in two.layout.entries], two.layout.unflatten(weights), strict=True))
    return two.main.layout.flatten(
        [arrays.get(f"auxiliary/{e.path}", arrays[e.path]) for e in two.main.layout.entries]
    )


@pytest.mark.parametrize("training", [False, True])
def test_each_set_is_the_network_with_that_set(main, two, unlike, pictures, training):
    images = pictures[0]
    k = len(two.layout.auxiliary)
    logits, after = passed(two, unlike, images, training=training)
    expected, statistics = passed(main, two.of_main(unlike), images, training=training)
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(after, np.concatenate([unlike.statistics[:k], statistics]))
    logits, after = passed(two, unlike, images, training=training, auxiliary=True)
    expected, statistics = passed(main, swapped(two, unlike), images, training=training)
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(after, np.concatenate([statistics, unlike.statistics[k:]]))
    assert two.parameters == main.parameters


def test_both_begin_equal_and_files_have_the_main_set(main, two, unlike, pictures, tmp_path):
    first = two.initial_weights()
    assert two.of_main(first).digest() == main.initial_weights().digest() == swapped(two, first).digest()
    images = pictures[0] / np.float32(255)
    file = two.deployable(unlike)
    np.testing.assert_allclose(file(images), main.deployable(two.of_main(unlike))(images), atol=1e-6)
    assert two.of_main(two.weights_of(file)).digest() == two.of_main(unlike).digest()
    assert two.layout.head.sum() == main.layout.head.sum()
    assert two.layout.batchnorm.sum() == 2 * main.layout.batchnorm.sum()


def test_statistics_are_measured_anew_for_the_main_set_alone(main, two, unlike, pictures):
    found = Recalibration(two)(unlike, pictures[0])
    kept = two.layout.auxiliary
    np.testing.assert_array_equal(found.statistics[kept], unlike.statistics[kept])
    expected = Recalibration(main)(two.of_main(unlike), pictures[0])
    np.testing.assert_allclose(two.of_main(found).statistics, expected.statistics, rtol=1e-5)


def test_a_step_is_that_of_both_losses_by_hand(two, unlike, pictures):
    """Clean images under the main set, then the adversarial ones crafted and trained under the other."""
    images, labels = pictures
    recipe = AdvProp(recipe="pgd(epsilon=0.1, steps=2)")
    batches = Batches(np.arange(24, dtype=np.int32)[None], np.array([24], np.int32))
    given = unlike, TrainingData.of(images, labels), batches, [0.1], [1, 2]
    found, metrics = LocalUpdate(two, recipe, SGD(momentum=0.0))(*given)

    x, (trainable, statistics) = tf.constant(images / np.float32(255)), two.arrays(unlike)
    inner = PGDTraining(epsilon=0.1, steps=2)
    with tf.GradientTape() as tape:
        tape.watch(trainable)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits
        clean, after = two.logits(trainable, statistics, x, training=True)
        crafted = inner.crafted(
            Batch(
                images=x,
                targets=tf.constant(labels),
                example_weights=tf.ones(24),
                seed=tf.constant([1, 2]),
                objective=lambda logits, targets: entropy(targets, logits),
                infer=lambda seen: two.logits(trainable, after, seen, auxiliary=True)[0],
                train=None,
            )
        )
        attacked, after = two.logits(trainable, after, crafted, training=True, auxiliary=True)
        loss = tf.reduce_mean(entropy(labels, clean)) + tf.reduce_mean(entropy(labels, attacked))
    assert metrics["loss"] == pytest.approx(float(loss), rel=1e-5)
    stepped = [w - 0.1 * g for w, g in zip(trainable, tape.gradient(loss, trainable), strict=True)]
    expected = np.concatenate([np.ravel(each) for each in stepped])
    np.testing.assert_allclose(found.trainable, expected, atol=1e-4)
    np.testing.assert_allclose(
        found.statistics, np.concatenate([np.ravel(each) for each in after]), rtol=1e-4, atol=1e-5
    )


def test_plain_clients_leave_the_auxiliary_set_alone(main, two, unlike, pictures):
    batches = Batches(np.arange(24, dtype=np.int32)[None], np.array([24], np.int32))
    rest = TrainingData.of(*pictures), batches, [0.1], [1, 2]
    found, _ = LocalUpdate(two, Plain(), SGD())(unlike, *rest)
    expected, _ = LocalUpdate(main, Plain(), SGD())(two.of_main(unlike), *rest)
    np.testing.assert_allclose(two.of_main(found).trainable, expected.trainable, atol=1e-6)
    size = len(unlike.trainable) - main.layout.parameters
    np.testing.assert_array_equal(found.trainable[:size], unlike.trainable[:size])


SMALL = {
    "data__name": "phantom",
    "data__samples": 60,
    "federation__clients": 2,
    "model__name": "edge-cnn(width=4)",
    "model__image_size": 16,
    "training__recipe": "advprop(recipe='awp(recipe=\"trades\")')",
}


def test_a_study_has_both_sets_and_says_what_they_need():
    study = Study(Experiment.of(**SMALL))
    assert isinstance(study.classifier, TwoBatchNorms)
    assert study.recipe.one_class
    assert study.recipe.attacks == ("pgd",)
    assert not isinstance(
        Study(Experiment.of(**SMALL | {"training__recipe": "pgd"})).classifier, TwoBatchNorms
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model__normalization": "group"}, 'model.normalization = "group" with training.recipe'),
        ({"training__layers": "head"}, "needs a network with BatchNorm layers that are trained"),
        ({"training__layers": "last-2", "training__unfreeze": ["2: all"]}, "training.unfreeze"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(changed, said):
    with pytest.raises(ConfigError, match=said):
        check(Study(Experiment.of(**SMALL | changed)))


def test_it_needs_an_adversarial_recipe_and_a_network_with_batchnorm(linear_classifier):
    with pytest.raises(SpecError, match="two sets of statistics of its own"):
        build(RECIPES, "advprop(recipe='fedrbn')")
    with pytest.raises(SpecError, match="choose an adversarial recipe"):
        build(RECIPES, "advprop(recipe='plain')")
    with pytest.raises(ModelError, match="needs a network with BatchNorm"):
        TwoBatchNorms(linear_classifier)


def test_features_are_those_of_the_main_set_and_its_statistics_alone_move(main, two, unlike, pictures):
    images = tf.constant(pictures[0] / 255, tf.float32)
    expected, logits, after = encoded(
        main, *main.arrays(two.of_main(unlike)), main.preparation(images), training=True
    )
    found, same, moved = encoded(two, *two.arrays(unlike), two.preparation(images), training=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(same, logits, atol=1e-6)
    before = two.arrays(unlike)[1]
    others = len(before) - len(after)
    for one, other in zip(moved, [*before[:others], *after], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "removal", [FinePruning(epochs=1), SuperFineTuning(epochs=2, cycle=1), NeuralCleanse(steps=2)]
)
def test_removal_of_backdoors_changes_the_main_set_as_that_of_a_model_without_a_second_one(
    main, two, unlike, pictures, removal
):
    images, labels = pictures[0] / np.float32(255), pictures[1]
    suspects = [
        Suspect(model, weights, images, labels, np.ones(2, np.float32), seed=0)
        for model, weights in ((two, unlike), (main, two.of_main(unlike)))
    ]
    found, expected = (removal(suspect).weights for suspect in suspects)
    np.testing.assert_allclose(two.of_main(found).trainable, expected.trainable, atol=1e-5)
    np.testing.assert_allclose(two.of_main(found).statistics, expected.statistics, atol=1e-5)
    size = two.layout.parameters - main.layout.parameters
    np.testing.assert_array_equal(found.trainable[:size], unlike.trainable[:size])
