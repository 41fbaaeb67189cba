"""BatchNorm that keeps the statistics that it was given."""

import keras
import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.classifier import build_classifier

SMALL = {"native": (16, 16, 1), "classes": 3, "image_size": 0, "seed": 5}


@pytest.fixture(scope="module")
def frozen():
    return build_classifier("edge-cnn", **SMALL, normalization="frozen")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((6, 16, 16, 1), np.float32)


def test_training_normalises_as_prediction_does_and_measures_nothing(frozen, images):
    trainable, statistics = frozen.arrays(frozen.initial_weights())
    trained, after = frozen.logits(trainable, statistics, images, training=True)
    predicted, _ = frozen.logits(trainable, statistics, images, training=False)
    np.testing.assert_array_equal(trained, predicted)
    for before, now in zip(statistics, after, strict=True):
        np.testing.assert_array_equal(before, now)


def test_weights_and_layout_are_those_of_the_batchnorm_network(frozen):
    batch = build_classifier("edge-cnn", **SMALL)
    assert frozen.layout == batch.layout
    assert frozen.initial_weights().digest() == batch.initial_weights().digest()


def test_inputs_that_are_no_images_are_normalised_likewise():
    layer = FusedBatchNormalization(measures=False, name="norm")
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_allclose(layer(values, training=True), values, rtol=1e-3)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(2))


def test_its_file_opens_without_this_project(frozen, tmp_path, images):
    weights = frozen.initial_weights()
    frozen.save(weights, tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    assert frozen.weights_of(opened).digest() == weights.digest()
    expected, _ = frozen.logits(*frozen.arrays(weights), images)
    np.testing.assert_allclose(opened(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "key"),
    [({}, 'weights = "random"'), ({"model__weights": "imagenet", "model__normalization": "group"}, "group")],
)
def test_without_pretrained_statistics_there_is_nothing_to_freeze(settings, key):
    with pytest.raises(ConfigError, match=key):
        Experiment.of(model__batchnorm_policy="frozen", **settings)
