"""GroupNorm in the place of BatchNorm."""

import sys
from types import ModuleType

import keras
import numpy as np
import pytest

from fedrobust.checks.models import normalised_alone
from fedrobust.config import Experiment
from fedrobust.models.architecture import ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.classifier import build_classifier
from fedrobust.models.group_norm import group_normalization, groups_of
from fedrobust.models.layers import inner_layers
from fedrobust.models.pretrained import load_backbone_weights
from fedrobust.study import Study

SMALL = {"native": (16, 16, 1), "classes": 3, "image_size": 0, "seed": 5}


@pytest.fixture(scope="module")
def group():
    return build_classifier("edge-cnn", **SMALL, normalization="group")


@pytest.fixture(scope="module")
def batch():
    return build_classifier("edge-cnn", **SMALL)


def test_the_random_weights_are_those_of_the_batchnorm_network_and_there_are_no_statistics(group, batch):
    assert group.layout.statistics == 0 < batch.layout.statistics
    assert [entry.shape for entry in group.layout.entries] == [
        entry.shape for entry in batch.layout.of("trainable")
    ]
    np.testing.assert_array_equal(group.initial_weights().trainable, batch.initial_weights().trainable)


def test_every_group_of_an_image_is_normalised_by_itself(draw):
    layer = keras.layers.BatchNormalization(epsilon=1e-3)
    layer.build((None, 5, 5, 24))
    made = group_normalization(layer, "norm")
    images = draw.normal(3, 2, (4, 5, 5, 24)).astype(np.float32)
    answers = np.asarray(made(images))
    assert groups_of(24) == 3
    for part in range(3):
        x = images[..., 8 * part : 8 * part + 8]
        mean, variance = (getattr(x, name)(axis=(1, 2, 3), keepdims=True) for name in ("mean", "var"))
        np.testing.assert_allclose(
            answers[..., 8 * part : 8 * part + 8], (x - mean) / np.sqrt(variance + 1e-3), atol=1e-4
        )


def test_an_image_is_answered_alike_whatever_else_is_in_its_batch_also_in_training(group, draw):
    images = draw.random((6, 16, 16, 1)).astype(np.float32)
    trainable, statistics = group.arrays(group.initial_weights())
    whole = np.asarray(group.logits(trainable, statistics, images, training=True)[0])
    alone = np.asarray(group.logits(trainable, statistics, images[2:3], training=False)[0])
    np.testing.assert_allclose(whole[2:3], alone, atol=1e-5)


def test_a_batch_of_one_image_is_allowed(group):
    training = Experiment.of(training__batch_size=1).training
    assert list(normalised_alone(Experiment.of(model__name="edge-cnn").model, training, lambda: group)) == []


def test_its_file_opens_without_this_project(group, tmp_path, draw):
    images = draw.random((3, 16, 16, 1)).astype(np.float32)
    weights = group.initial_weights()
    group.deployable(weights).save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    trainable, statistics = group.arrays(weights)
    np.testing.assert_allclose(opened(images), group.logits(trainable, statistics, images)[0], atol=1e-6)


def test_pretrained_kernels_scales_and_shifts_are_taken_over(batch, group, tmp_path, draw):
    backbone = next(layer for layer in batch.network.layers if isinstance(layer, keras.Model))
    for layer in inner_layers(backbone):
        layer.set_weights([draw.normal(1, 0.1, array.shape) for array in layer.get_weights()])
    pretrained = [variable.numpy() for variable in backbone.trainable_variables]
    plain = architecture_named("edge-cnn").features((16, 16, 1))
    plain.set_weights(backbone.get_weights())
    plain.save_weights(tmp_path / "made.weights.h5")
    network = build_classifier("edge-cnn", **SMALL, normalization="group").network
    load_backbone_weights(network, "edge-cnn", "made.weights.h5", tmp_path / "made.weights.h5")
    own = next(layer for layer in network.layers if isinstance(layer, keras.Model)).trainable_variables
    for found, expected in zip(own, pretrained, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)


def test_a_network_without_batchnorm_is_refused(monkeypatch):
    def plain(height, width, channels):
        inputs = keras.Input((height, width, channels))
        return keras.Model(inputs, keras.layers.Flatten()(inputs))

    module = ModuleType("networks_without_norm")
    module.plain = plain
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(ModelError, match=r'model.normalization = "group".*has no BatchNorm layer'):
        build_classifier("networks_without_norm:plain", **SMALL, normalization="group")


def test_a_study_asks_for_it():
    settings = {"data__samples": 60, "model__name": "edge-cnn", "model__image_size": 28}
    study = Study(Experiment.of(**settings, model__normalization="group"))
    assert study.classifier.layout.statistics == 0
    assert Study(Experiment.of(**settings)).classifier.layout.statistics > 0
