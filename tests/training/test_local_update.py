import sys
from dataclasses import replace
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.models.preparation import Preparation
from fedrobust.training.batches import Batches, draw_batches
from fedrobust.training.buckets import LARGE
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import BalancedSoftmax
from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.recipes import FGSMTraining, PGDTraining, Plain
from fedrobust.training.recipes.awp import AWP
from fedrobust.training.recipes.trades import TRADES
from fedrobust.training.steering import Steering
from fedrobust.training.training_data import TrainingData


@pytest.fixture(scope="module")
def edge():
    return build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)


def smooth_features(height, width, channels):
    """Convolutions and BatchNorm without a kink, at which the last bit decides between two gradients."""
    x = inputs = keras.Input((height, width, channels))
    for filters, size, strides in ((8, 3, 2), (128, 1, 1), (8, 3, 1)):
        x = keras.layers.Conv2D(filters, size, strides, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Activation("tanh")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture(scope="module")
def smooth():
    module = ModuleType("networks_without_kinks")
    module.smooth_features = smooth_features
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        yield build_classifier(
            f"{module.__name__}:smooth_features", native=(8, 8, 1), classes=3, image_size=0
        )


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (48, 28, 28, 1)).astype(np.uint8)
    return images, draw.integers(0, 2, 48).astype(np.int32)


def rates(batches: Batches, value: float = 0.01) -> list[float]:
    return [value] * len(batches.sizes)


def keras_twin(classifier, start, optimizer, images, labels, batches):
    """The weights after the same batches in a loop of plain Keras: its own layers, loss and optimiser."""
    model = classifier.deployable(start)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) == 1])
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for row, size in zip(batches.rows, batches.sizes, strict=True):
        rows = row[:size]
        with tf.GradientTape() as tape:
            loss = loss_of(labels[rows], model(images[rows] / np.float32(255), training=True))
        values = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, values), model.trainable_variables)
    return classifier.weights_of(model)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        # Adam's usual epsilon turns the rounding of gradients near zero into full steps; a larger one compares.
        (Adam(epsilon=1e-3), lambda: keras.optimizers.Adam(0.01, epsilon=1e-3)),
        (SGD(momentum=0.9), lambda: keras.optimizers.SGD(0.01, momentum=0.9)),
        (
            SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
            lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
        ),
    ],
)
def test_is_as_near_to_keras_as_keras_to_itself(smooth, ours, theirs):
    """The whole update, BatchNorm included, against twins in Keras from the same weights and from weights 1e-7 away.

    Training is chaotic: what is one bit at the start is more at the end, and how much more, the second twin shows.
    """
    draw = np.random.default_rng(4)
    images = draw.integers(0, 256, (22, 8, 8, 1)).astype(np.uint8)
    labels = draw.integers(0, 3, 22).astype(np.int32)
    batches = draw_batches(np.arange(22), 2, 12, draw)
    start = smooth.initial_weights()
    weights, metrics = LocalUpdate(smooth, Plain(), ours)(
        start, TrainingData.of(images, labels), batches, rates(batches), [0, 0]
    )
    beside = Weights(
        start.trainable + np.float32(1e-7) * draw.choice([-1, 1], len(start.trainable)).astype(np.float32),
        start.statistics,
    )
    twin = keras_twin(smooth, start, theirs(), images, labels, batches)
    drifted = keras_twin(smooth, beside, theirs(), images, labels, batches)
    for kind in ("trainable", "statistics"):
        ran, expected = getattr(weights, kind), getattr(twin, kind)
        drift = np.linalg.norm(getattr(drifted, kind) - expected)
        moved = np.linalg.norm(expected - getattr(start, kind))
        assert drift < 1e-3 * moved, "the twins themselves fall apart, so nothing was compared"
        assert np.linalg.norm(ran - expected) <= 2 * drift, kind
    assert (metrics["steps"], metrics["examples"]) == (4, 44)


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


@pytest.mark.parametrize(
    "recipe", [TRADES(epsilon=0.1, steps=2), AWP(recipe="trades(epsilon=0.1, steps=2)", gamma=0.01)]
)
def test_trades_leaves_a_class_alone_that_the_client_has_not_got(linear_classifier, draw, recipe):
    """With the loss that knows the client's shares; the divergence of the logits themselves raised such a class."""
    images = draw.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    data = TrainingData.of(images, np.zeros(6, np.int32))
    start = linear_classifier.initial_weights()
    batches = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    update = LocalUpdate(linear_classifier, recipe, SGD(momentum=0.0), loss=BalancedSoftmax())
    after, _ = update(start, data, batches, [1.0], [0, 0], prior=[1.0, 0.0])
    np.testing.assert_allclose(after.trainable, start.trainable, atol=1e-5)
    equal, _ = update(start, data, batches, [1.0], [0, 0], prior=[0.5, 0.5])
    assert np.abs(equal.trainable - start.trainable).max() > 1e-3, "such a step does move the weights"


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


def linear_step(classifier, recipe, images, labels, seed=(0, 0), space="native"):
    """Weights after one plain SGD step of rate 1 with `recipe`."""
    batches = Batches(np.arange(len(labels), dtype=np.int32)[None], np.array([len(labels)], np.int32))
    update = LocalUpdate(classifier, recipe, SGD(momentum=0.0), space=space)
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


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("space", ["native", "prepared"])
def test_space_decides_which_pixels_a_recipe_moves(linear_classifier, draw, space):
    """2 x 2 images in a network for 4 x 4: a native pixel moves by the gradient's sum over all that it becomes."""
    small = replace(linear_classifier, preparation=Preparation((2, 2, 1), (4, 4, 1)))
    images = draw.integers(80, 170, (6, 2, 2, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0], np.int32)
    kernel, bias = small.layout.unflatten(small.initial_weights())
    # Resizing is linear: its matrix is what it makes of single pixels.
    resize = np.asarray(small.preparation(tf.reshape(tf.eye(4), (4, 2, 2, 1)))).reshape(4, 16)
    slopes = (kernel[:, 1 - labels] - kernel[:, labels]).T
    x = images.reshape(6, 4) / 255.0
    if space == "native":
        x = x + 0.1 * np.sign(slopes @ resize.T)
    x = x @ resize
    if space == "prepared":
        x = x + 0.1 * np.sign(slopes)
    p = softmax(x @ kernel + bias)
    residual = (p - np.eye(2)[labels]) / 6
    expected = small.layout.flatten([kernel - x.T @ residual, bias - residual.sum(0)])
    recipe = FGSMTraining(epsilon=0.1, share=1.0)
    after = linear_step(small, recipe, images, labels, space=space)
    np.testing.assert_allclose(after.trainable, expected.trainable, atol=1e-5)


def test_a_proximal_term_pulls_back_to_the_start_and_is_not_in_the_loss(linear_classifier, draw):
    """Equation 2 of arXiv:1812.06127: from the second step on, mu (w - w_start) joins the gradient."""
    images = draw.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0], np.int32)
    start = linear_classifier.initial_weights()
    kernel, bias = linear_classifier.layout.unflatten(start)
    x, losses = images.reshape(6, 16) / 255.0, []
    first = kernel, bias
    for rate in (0.5, 0.25):
        p = softmax(x @ kernel + bias)
        losses.append(-np.log(p[np.arange(6), labels]).mean())
        residual = (p - np.eye(2)[labels]) / 6
        pulls = 3.0 * (kernel - first[0]), 3.0 * (bias - first[1])
        kernel, bias = kernel - rate * (x.T @ residual + pulls[0]), bias - rate * (residual.sum(0) + pulls[1])
    update = LocalUpdate(linear_classifier, Plain(), SGD(momentum=0.0), proximal=3.0)
    batches = Batches(np.tile(np.arange(6, dtype=np.int32), (2, 1)), np.array([6, 6], np.int32))
    after, metrics = update(start, TrainingData.of(images, labels), batches, [0.5, 0.25], [0, 0])
    expected = linear_classifier.layout.flatten([kernel, bias])
    np.testing.assert_allclose(after.trainable, expected.trainable, atol=1e-6)
    assert metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_steering_corrects_pulls_and_spares_and_learns_the_clients_own_gradient(linear_classifier, draw):
    images = draw.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 0], np.int32)
    start, layout = linear_classifier.initial_weights(), linear_classifier.layout
    correction = draw.normal(size=layout.parameters).astype(np.float32)
    trained = draw.random(layout.parameters) < 0.5
    x, w, total = images.reshape(6, 16) / 255.0, start.trainable.astype(np.float64), 0.0
    for rate in (0.5, 0.25):
        kernel, bias = layout.unflatten(Weights(w, start.statistics))
        p = softmax(x @ kernel + bias)
        residual = (p - np.eye(2)[labels]) / 6
        own = layout.flatten([x.T @ residual, residual.sum(0)]).trainable
        total = total + own
        w = np.where(trained, w - rate * (own + correction + 3.0 * (w - start.trainable)), w)
    update = LocalUpdate(linear_classifier, Plain(), SGD(momentum=0.0), steered=True)
    batches = Batches(np.tile(np.arange(6, dtype=np.int32), (2, 1)), np.array([6, 6], np.int32))
    given = start, TrainingData.of(images, labels), batches, [0.5, 0.25], [0, 0]
    after, _ = update(*given, steering=Steering(correction, 3.0, trained))
    np.testing.assert_allclose(after.trainable, w, atol=1e-6)
    np.testing.assert_allclose(after.gradient, total / 2, atol=1e-6)
    plain, _ = LocalUpdate(linear_classifier, Plain(), SGD(momentum=0.0))(*given)
    assert update(*given)[0].digest() == plain.digest()
    assert plain.gradient is None


def test_a_correction_with_a_pull_always_gives_the_same_bits(edge, pictures):
    draw = np.random.default_rng(2)
    batches = draw_batches(np.arange(48), 2, 32, draw)
    correction = draw.normal(0, 0.001, edge.layout.parameters).astype(np.float32)
    update = LocalUpdate(edge, Plain(), Adam(), steered=True)
    given = edge.initial_weights(), TrainingData.of(*pictures), batches, rates(batches), [0, 0]
    found = {update(*given, steering=Steering(correction, 0.1))[0].digest() for _ in range(12)}
    assert len(found) == 1


def test_metrics_are_means_over_images_not_over_batches(linear_classifier, draw):
    """With a rate of 0 nothing is learnt: four images and two give the means of six."""
    images = draw.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 1, 0, 1, 1], np.int32)
    start = linear_classifier.initial_weights()
    kernel, bias = linear_classifier.layout.unflatten(start)
    p = softmax(images.reshape(6, 16) / 255.0 @ kernel + bias)
    batches = Batches(np.array([[0, 1, 2, 3], [4, 5, 0, 0]], np.int32), np.array([4, 2], np.int32))
    update = LocalUpdate(linear_classifier, Plain(), SGD())
    after, metrics = update(start, TrainingData.of(images, labels), batches, [0.0, 0.0], [0, 0])
    assert after.digest() == start.digest()
    assert metrics["loss"] == pytest.approx(-np.log(p[np.arange(6), labels]).mean(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(np.mean(p.argmax(1) == labels))
    assert (metrics["examples"], metrics["steps"]) == (6, 2)


def test_every_step_draws_anew_from_the_seed(linear_classifier, draw):
    """A step's own seed is the given one plus its number, so equal batches get other random starts."""
    images = draw.integers(80, 170, (6, 4, 4, 1)).astype(np.uint8)
    seeds = []

    def recipe(batch):
        seeds.append(batch.seed)
        return Plain()(batch._replace(images=batch.images * 0.0 + tf.cast(batch.seed[1], tf.float32)))

    batches = Batches(np.tile(np.arange(6, dtype=np.int32), (3, 1)), np.array([6, 6, 6], np.int32))
    start = linear_classifier.initial_weights()
    kernel, bias = linear_classifier.layout.unflatten(start)
    update = LocalUpdate(linear_classifier, recipe, SGD())
    labels = np.zeros(6, np.int32)
    _, metrics = update(start, TrainingData.of(images, labels), batches, [0.0] * 3, [5, -1])
    losses = [-np.log(softmax(np.full((1, 16), seed) @ kernel + bias)[0, 0]) for seed in (-1, 0, 1)]
    assert metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(seeds) == 1, "the graph is traced once, whatever the number of steps"


def test_class_weights_are_the_labels_and_a_teachers_favourite_is_the_label(linear_classifier, draw):
    """A teacher's logits are targets of an objective of their own; accuracy is agreement with its favourite."""
    images = draw.integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    teacher = draw.normal(size=(6, 2)).astype(np.float32)
    start = linear_classifier.initial_weights()
    kernel, bias = linear_classifier.layout.unflatten(start)
    logits = images.reshape(6, 16) / 255.0 @ kernel + bias
    favourite = teacher.argmax(1)
    update = LocalUpdate(
        linear_classifier,
        Plain(),
        SGD(),
        loss=lambda logits, targets, prior: tf.reduce_sum((logits - targets) ** 2, -1),
        targets=tf.TensorSpec([None, 2], tf.float32),
    )
    batches = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    _, metrics = update(
        start, TrainingData.of(images, teacher), batches, [0.0], [0, 0], class_weights=[1.0, 3.0]
    )
    losses = ((logits - teacher) ** 2).sum(1) * np.array([1.0, 3.0])[favourite]
    assert metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == favourite))


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


@pytest.mark.slow
def test_adversarial_training_makes_a_model_harder_to_attack(edge):
    """A real, small run: the PGD-trained model keeps more of its accuracy under FGSM than the plain one."""
    from fedrobust.data.phantom import phantom
    from fedrobust.evaluation.robustness import robustness
    from fedrobust.evasion.models.compiled import CompiledModel

    dataset = phantom(train=400, validation=10, test=200, seed=0)
    data = TrainingData.of(dataset.train.images, dataset.train.labels)
    batches = draw_batches(np.arange(400), 6, 32, np.random.default_rng(0))
    scores = {}
    for name, recipe in {"plain": Plain(), "pgd": PGDTraining(epsilon=8 / 255, steps=3)}.items():
        weights, _ = LocalUpdate(edge, recipe, Adam())(
            edge.initial_weights(), data, batches, rates(batches, 0.002), [0, 0]
        )
        scores[name] = robustness(CompiledModel.of(edge), weights, dataset.test, ["8/255"])
    for score in scores.values():
        assert score.clean.balanced_accuracy > 0.6
    attacked = {name: score.attacked["fgsm"]["8/255"].balanced_accuracy for name, score in scores.items()}
    assert attacked["pgd"] > attacked["plain"] + 0.1


def test_weights_are_vectors_of_the_layout(edge):
    weights = edge.initial_weights()
    assert isinstance(weights, Weights)
    assert weights.trainable.dtype == np.float32
    assert tf.constant(weights.trainable).shape == (edge.layout.parameters,)


def test_weight_decay_spares_biases_and_batchnorms_scales(edge, pictures):
    """Every kernel, large or small, is smaller by rate * decay of itself; no vector is."""
    data, start = TrainingData.of(*pictures), edge.initial_weights()
    batches = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    plain, decayed = (
        LocalUpdate(edge, Plain(), SGD(momentum=0.0, weight_decay=decay))(
            start, data, batches, [0.1], [0, 0]
        )[0]
        for decay in (0.0, 0.5)
    )
    sizes = set()
    for entry, before, one, other in zip(
        edge.layout.entries, *map(edge.layout.unflatten, (start, plain, decayed)), strict=True
    ):
        kernel = entry.kind == "trainable" and len(entry.shape) > 1
        np.testing.assert_allclose(one - other, 0.05 * before if kernel else 0.0 * before, atol=1e-6)
        sizes.add((kernel, entry.size >= LARGE))
    assert sizes == {(True, True), (True, False), (False, False)}
