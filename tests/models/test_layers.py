import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.config import ConfigError, Experiment
from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layers import Layers
from fedrobust.models.layout import Weights
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import Plain
from fedrobust.training.training_data import TrainingData


def edge(layers: str, seed: int = 0):
    return build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0, seed=seed, layers=layers)


def trained(classifier, draw, start=None):
    images, labels = draw.integers(0, 256, (12, 16, 16, 1), np.uint8), np.array([0, 1] * 6, np.int32)
    batches = draw_batches(np.arange(12), 2, 6, draw)
    update = LocalUpdate(classifier, Plain(), SGD(momentum=0.0))
    start = start or classifier.initial_weights()
    return update(start, TrainingData.of(images, labels), batches, np.full(4, 0.1), [0, 0])[0]


@pytest.mark.parametrize(
    "text", ["", "heads", "last-0", "last-", "last--1", "blocks", "blocks:0", "blocks:1.5"]
)
def test_other_words_are_refused_with_those_allowed(text):
    with pytest.raises(ValueError, match="blocks:K"):
        Layers.parse(text)
    with pytest.raises(ConfigError, match=r"training\.layers = .*last-N"):
        Experiment.of(training__layers=text)


def test_what_a_choice_holds_is_known_without_a_network():
    order = [Layers.parse(text) for text in ("head", "last-2", "last-20", "all")]
    assert all(order[i].within(order[j]) == (i <= j) for i in range(4) for j in range(4))
    assert not Layers.parse("blocks:1").within(Layers.parse("last-20")), "depends on the network"


@pytest.mark.parametrize(
    ("layers", "first", "arrays"),
    [
        ("head", "logits/kernel", 2),
        ("last-1", "logits/kernel", 2),
        ("last-2", "stage3_batchnorm/gamma", 6),
        ("last-3", "stage3_convolution/kernel", 7),
        ("blocks:1", "stage3_convolution/kernel", 7),
        ("blocks:2", "stage2_convolution/kernel", 12),
        ("blocks:3", "stage1_convolution/kernel", 17),
        ("last-7", "stage1_convolution/kernel", 17),
    ],
)
def test_the_layout_has_what_is_trained_and_its_statistics(layers, first, arrays):
    classifier = edge(layers)
    assert (classifier.layout.entries[0].path, len(classifier.layout.entries)) == (first, arrays)
    assert classifier.parameters == edge("all").layout.parameters
    assert len(classifier.frozen.arrays) == 17 - arrays


def test_too_many_layers_or_blocks_are_refused_with_how_many_there_are():
    with pytest.raises(ModelError, match="has 7 layers with weights"):
        edge("last-8")
    with pytest.raises(ModelError, match="has 3 blocks"):
        edge("blocks:4")


@pytest.mark.parametrize("layers", ["head", "blocks:1", "all"])
def test_frozen_layers_neither_learn_nor_measure_and_the_deployed_model_holds_them(layers, draw):
    classifier = edge(layers)
    weights = trained(classifier, draw)
    model = classifier.deployable(weights)
    before = {variable.path: variable.numpy() for variable in classifier.network.variables}
    after = {variable.path: variable.numpy() for variable in model.variables}
    moved = {path for path, array in before.items() if not np.array_equal(array, after.get(path, np.nan))}
    assert moved == {entry.path for entry in classifier.layout.entries}

    images = draw.random((5, 16, 16, 1), np.float32)
    logits, _ = classifier.logits(*classifier.arrays(weights), classifier.predicted(tf.constant(images)))
    np.testing.assert_allclose(model(images), logits, atol=1e-5)


def test_the_head_alone_learns_as_softmax_regression_on_the_features(draw):
    """One step of gradient descent: kernel - lr x'(p - y) / n, bias - lr mean(p - y)."""
    classifier = edge("head")
    images, labels = draw.integers(0, 256, (6, 16, 16, 1), np.uint8), np.array([0, 1] * 3, np.int32)
    backbone = keras.Model(classifier.network.input, classifier.network.layers[-1].input)
    features = backbone(images.astype(np.float32) / 255, training=False).numpy()
    kernel, bias = classifier.layout.unflatten(start := classifier.initial_weights())
    scores = np.exp(features @ kernel + bias)
    residual = (scores / scores.sum(1, keepdims=True) - np.eye(2)[labels]) / 6

    batches = draw_batches(np.arange(6), 1, 6, draw)
    update = LocalUpdate(classifier, Plain(), SGD(momentum=0.0))
    found, _ = update(start, TrainingData.of(images, labels), batches, [0.5], [0, 0])
    expected = classifier.layout.flatten([kernel - 0.5 * features.T @ residual, bias - 0.5 * residual.sum(0)])
    np.testing.assert_allclose(found.trainable, expected.trainable, atol=1e-5)


def test_a_deployed_file_gives_its_weights_back_to_a_classifier_with_the_same_frozen_part(draw, tmp_path):
    classifier = edge("blocks:1")
    weights = trained(classifier, draw)
    classifier.deployable(weights).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert classifier.weights_of(loaded).digest() == weights.digest()
    assert edge("blocks:1", seed=1).weights_of(loaded) is None, "another frozen part"
    assert edge("head").weights_of(loaded) is None
    assert edge("blocks:2").weights_of(loaded) is None


def test_the_frozen_part_has_a_digest_that_the_layout_carries():
    assert edge("all").layout.frozen == ""
    one, same, other = edge("head"), edge("head"), edge("head", seed=1)
    assert one.layout.digest == same.layout.digest != other.layout.digest
    assert one.layout.entries == other.layout.entries


def test_frozen_arrays_are_captured_by_graphs_and_not_copied_into_them():
    classifier = edge("head")
    update = LocalUpdate(classifier, Plain(), SGD())
    graph = update._function.graph
    captured = {id(array) for array, _ in graph.captures}
    large = [array for array in classifier.frozen.arrays if np.prod(array.shape) > 128]
    assert len(large) == 3
    assert all(id(array) in captured for array in large)


def test_statistics_of_frozen_layers_are_not_measured_anew(draw):
    from fedrobust.models.recalibration import Recalibration

    classifier = edge("blocks:1")
    images = draw.integers(0, 256, (8, 16, 16, 1), np.uint8)
    start = classifier.initial_weights()
    found = Recalibration(classifier)(start, images)
    assert found.statistics.shape == (256,)
    assert not np.array_equal(found.statistics, start.statistics)
    head = edge("head")
    assert Recalibration(head)(nothing := head.initial_weights(), images) is nothing
    assert nothing.statistics.shape == (0,)
    assert isinstance(found, Weights)
