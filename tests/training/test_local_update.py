import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.training.batches import Batches, draw_batches
from fedrobust.training.local_update import LocalUpdate, TrainingData
from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.recipes import FGSMTraining, PGDTraining, Plain


@pytest.fixture(scope="module")
def edge():
    return build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (48, 28, 28, 1)).astype(np.uint8)
    return images, draw.integers(0, 2, 48).astype(np.int32)


def rates(batches: Batches, value: float = 0.01) -> list[float]:
    return [value] * len(batches.sizes)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        # Adam's usual epsilon turns the rounding of gradients near zero into full steps; a larger one compares.
        (Adam(epsilon=1e-3), lambda rate: keras.optimizers.Adam(rate, epsilon=1e-3)),
        (SGD(momentum=0.9), lambda rate: keras.optimizers.SGD(rate, momentum=0.9)),
    ],
)
def test_equals_keras_training_batch_by_batch(edge, pictures, ours, theirs):
    """The whole update, BatchNorm statistics included, is what Keras' own train_on_batch makes of the batches."""
    images, labels = pictures
    batches = draw_batches(np.arange(48), 2, 16, np.random.default_rng(1))
    weights, metrics = LocalUpdate(edge, Plain(), ours)(
        edge.initial_weights(), TrainingData.of(images, labels), batches, rates(batches), [0, 0]
    )
    model = edge.deployable(edge.initial_weights())
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.9
    model.compile(
        theirs(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    for row in batches.rows:
        model.train_on_batch(images[row] / np.float32(255), labels[row])
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    expected = edge.layout.flatten([variable.numpy() for variable in variables])
    moved = np.abs(weights.trainable - edge.initial_weights().trainable).max()
    assert moved > 1e-3, "nothing was learnt, so nothing was compared"
    np.testing.assert_allclose(weights.trainable, expected.trainable, atol=moved * 0.02)
    np.testing.assert_allclose(weights.statistics, expected.statistics, rtol=2e-2, atol=2e-3)
    assert metrics["steps"] == 6
    assert metrics["examples"] == 96


def test_one_sgd_step_of_a_linear_model_is_the_formula(linear_classifier, draw):
    images = draw.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0], np.int32)
    factors = np.array([2.0, 0.5])
    start = linear_classifier.initial_weights()
    batches = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    after, metrics = LocalUpdate(linear_classifier, Plain(), SGD(momentum=0.0))(
        start, TrainingData.of(images, labels), batches, [0.1], [0, 0], class_weights=factors
    )
    kernel, bias = linear_classifier.layout.unflatten(start)
    x = images.reshape(6, 16) / 255.0
    logits = x @ kernel + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    residual = (p - np.eye(2)[labels]) * factors[labels, None] / 6
    expected = linear_classifier.layout.flatten([kernel - 0.1 * x.T @ residual, bias - 0.1 * residual.sum(0)])
    np.testing.assert_allclose(after.trainable, expected.trainable, atol=1e-6)
    loss = np.mean(factors[labels] * -np.log(p[np.arange(6), labels]))
    assert metrics["loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(np.mean(p.argmax(1) == labels))


def test_result_depends_on_the_arguments_alone(edge, pictures):
    data = TrainingData.of(*pictures)
    update = LocalUpdate(edge, PGDTraining(steps=2), Adam())
    batches = draw_batches(np.arange(20), 1, 8, np.random.default_rng(0))
    first, _ = update(edge.initial_weights(), data, batches, rates(batches), [1, 2])
    update(first, data, batches, rates(batches), [3, 4])
    again, _ = update(edge.initial_weights(), data, batches, rates(batches), [1, 2])
    other, _ = update(edge.initial_weights(), data, batches, rates(batches), [1, 3])
    assert first.digest() == again.digest()
    assert first.digest() != other.digest(), "the random start must come from the seed"


def test_short_rows_do_not_read_their_padding(edge, pictures):
    data = TrainingData.of(*pictures)
    update = LocalUpdate(edge, Plain(), SGD())
    rows = np.array([[3, 4, 5, 0, 0]], np.int32)
    other = np.array([[3, 4, 5, 9, 9]], np.int32)
    sizes = np.array([3], np.int32)
    start = edge.initial_weights()
    one, metrics = update(start, data, Batches(rows, sizes), [0.1], [0, 0])
    two, _ = update(start, data, Batches(other, sizes), [0.1], [0, 0])
    assert one.digest() == two.digest()
    assert metrics["examples"] == 3


def linear_step(classifier, recipe, images, labels, seed=(0, 0)):
    """Weights after one plain SGD step of rate 1 with `recipe`."""
    batches = Batches(np.arange(len(labels), dtype=np.int32)[None], np.array([len(labels)], np.int32))
    update = LocalUpdate(classifier, recipe, SGD(momentum=0.0))
    after, _ = update(
        classifier.initial_weights(), TrainingData.of(images, labels), batches, [1.0], list(seed)
    )
    return after


@pytest.mark.parametrize(
    "recipe", [FGSMTraining(epsilon=0.1), PGDTraining(epsilon=0.1, steps=3, share=0.5, random_start=False)]
)
def test_adversarial_step_trains_on_the_closed_form_adversary(linear_classifier, draw, recipe):
    """For a linear model every gradient method ends in x + epsilon sign(w_other - w_label)."""
    images = draw.integers(80, 170, (6, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0], np.int32)
    kernel, bias = linear_classifier.layout.unflatten(linear_classifier.initial_weights())
    x = images.reshape(6, 16) / 255.0
    direction = np.sign(kernel[:, 1 - labels] - kernel[:, labels]).T
    x[:3] += 0.1 * direction[:3]
    logits = x @ kernel + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    residual = (p - np.eye(2)[labels]) / 6
    expected = linear_classifier.layout.flatten([kernel - x.T @ residual, bias - residual.sum(0)])
    after = linear_step(linear_classifier, recipe, images, labels)
    np.testing.assert_allclose(after.trainable, expected.trainable, atol=1e-5)


def test_crafting_leaves_no_mark_on_the_statistics(edge, pictures):
    """With epsilon tending to 0 the adversarial images are the clean ones: so must be the moving statistics."""
    data = TrainingData.of(*pictures)
    batches = draw_batches(np.arange(16), 1, 16, np.random.default_rng(0))
    recipes = (Plain(), PGDTraining(epsilon=1e-9, steps=3, random_start=False), FGSMTraining(epsilon=1e-9))
    statistics = [
        LocalUpdate(edge, recipe, SGD())(edge.initial_weights(), data, batches, [0.0], [0, 0])[0].statistics
        for recipe in recipes
    ]
    for other in statistics[1:]:
        np.testing.assert_allclose(other, statistics[0], atol=1e-6)


def test_adversarial_training_makes_a_model_harder_to_attack(edge):
    """A real, small run: the PGD-trained model keeps more of its accuracy under FGSM than the plain one."""
    from fedrobust.data.phantom import phantom
    from fedrobust.evaluation.robustness import robustness
    from fedrobust.evasion.victim import Victim

    dataset = phantom(train=400, validation=10, test=200, seed=0)
    data = TrainingData.of(dataset.train.images, dataset.train.labels)
    batches = draw_batches(np.arange(400), 6, 32, np.random.default_rng(0))
    scores = {}
    for name, recipe in {"plain": Plain(), "pgd": PGDTraining(epsilon=8 / 255, steps=3)}.items():
        weights, _ = LocalUpdate(edge, recipe, Adam())(
            edge.initial_weights(), data, batches, rates(batches, 0.002), [0, 0]
        )
        scores[name] = robustness(Victim.of(edge), weights, dataset.test, ["8/255"])
    for score in scores.values():
        assert score.clean.balanced_accuracy > 0.6
    attacked = {name: score.attacked["fgsm"]["8/255"].balanced_accuracy for name, score in scores.items()}
    assert attacked["pgd"] > attacked["plain"] + 0.1


def test_weights_are_vectors_of_the_layout(edge):
    weights = edge.initial_weights()
    assert isinstance(weights, Weights)
    assert weights.trainable.dtype == np.float32
    assert tf.constant(weights.trainable).shape == (edge.layout.parameters,)
