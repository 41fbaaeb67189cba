"""The student's network, layer by layer, against its definition in NumPy."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.checks.models import networks
from fedrobust.config import Experiment
from fedrobust.data.problem import Problem
from fedrobust.models.architecture import ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.classifier import build_classifier
from fedrobust.models.network import build_network, seeded_config
from fedrobust.spec import SpecError


@pytest.fixture(scope="module")
def classifier():
    return build_classifier("edge-cnn", native=(20, 16, 3), classes=4, image_size=0, momentum=0.75, seed=3)


def test_logits_are_those_of_three_convolutions_a_pool_and_a_mean(classifier, draw):
    arrays = dict(
        zip(
            [entry.path for entry in classifier.layout.entries],
            [draw.uniform(0.5, 1.5, entry.shape).astype(np.float32) for entry in classifier.layout.entries],
            strict=True,
        )
    )
    for path in arrays:
        if path.endswith(("kernel", "beta", "mean")):
            arrays[path] = draw.normal(0, 0.2, arrays[path].shape).astype(np.float32)
    weights = classifier.layout.flatten(list(arrays.values()))
    images = draw.random((2, 20, 16, 3)).astype(np.float32)
    x = 2 * images - 1
    for stage, strides in ((1, 1), (2, 2), (3, 2)):
        x = tf.nn.conv2d(x, arrays[f"stage{stage}_convolution/kernel"], strides, "SAME").numpy()
        norm = {
            name: arrays[f"stage{stage}_batchnorm/{name}"]
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        x = (x - norm["moving_mean"]) / np.sqrt(norm["moving_variance"] + 1e-3) * norm["gamma"] + norm["beta"]
        x = np.maximum(x, 0)
        if stage == 1:
            x = x.reshape(2, 10, 2, 8, 2, 32).max((2, 4))
    expected = x.mean((1, 2)) @ arrays["logits/kernel"] + arrays["logits/bias"]
    logits, after = classifier.logits(*classifier.arrays(weights), tf.constant(images))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    for value, entry in zip(after, classifier.layout.of("statistic"), strict=True):
        np.testing.assert_array_equal(value, arrays[entry.path])


def test_training_keeps_a_share_of_the_old_statistics(classifier, draw):
    images = draw.random((5, 20, 16, 3)).astype(np.float32)
    weights = classifier.initial_weights()
    kernel = classifier.layout.unflatten(weights)[0]
    _, after = classifier.logits(*classifier.arrays(weights), tf.constant(images), training=True)
    batch = tf.nn.conv2d(2 * images - 1, kernel, 1, "SAME").numpy()
    np.testing.assert_allclose(after[0], 0.25 * batch.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(after[1], 0.75 + 0.25 * batch.var((0, 1, 2)), rtol=1e-4)


def test_layers_are_named_and_sized_as_ever(classifier):
    """Names are in files, in layouts' digests and in checkpoints of weights."""
    expected = []
    for stage, (before, filters) in enumerate(((3, 32), (32, 64), (64, 128)), start=1):
        expected.append((f"stage{stage}_convolution/kernel", (3, 3, before, filters), "trainable"))
        expected += [
            (f"stage{stage}_batchnorm/{name}", (filters,), "trainable") for name in ("gamma", "beta")
        ]
    expected += [("logits/kernel", (128, 4), "trainable"), ("logits/bias", (4,), "trainable")]
    for stage, filters in enumerate((32, 64, 128), start=1):
        names = ("moving_mean", "moving_variance")
        expected += [(f"stage{stage}_batchnorm/{name}", (filters,), "statistic") for name in names]
    assert [(entry.path, entry.shape, entry.kind) for entry in classifier.layout.entries] == expected
    assert (classifier.name, classifier.classes) == ("edge-cnn", 4)
    assert classifier.network.name == "edge-cnn"
    assert classifier.network.input_shape == (None, 20, 16, 3)


def test_every_initializer_has_a_seed_of_its_own(classifier):
    """He and Glorot would draw the same numbers for layers of one shape from one seed."""
    seeds = [
        layer.kernel_initializer.seed
        for layer in classifier.network._flatten_layers()
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))
    ]
    assert len(seeds) == len(set(seeds)) == 4
    draw = np.random.default_rng(3)
    config = {
        "name": "a",
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None, "x": 1}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "other": {"config": {"seed": 5}},
        "gamma_initializer": "ones",
    }
    seeded = seeded_config(config, draw)
    seed = int(np.random.default_rng(3).integers(2**31))
    assert seeded["kernel_initializer"] == {"class_name": "GlorotUniform", "config": {"seed": seed, "x": 1}}
    assert {key: value for key, value in seeded.items() if key != "kernel_initializer"} == {
        key: value for key, value in config.items() if key != "kernel_initializer"
    }
    assert config["kernel_initializer"]["config"]["seed"] is None, "what was given stays as it was"


def test_the_smallest_image_is_taken_and_a_smaller_one_refused():
    assert architecture_named("edge-cnn").smallest == 16
    assert build_network("edge-cnn", (16, 16, 1), 2, 0, 0.9).output_shape == (None, 2)
    for shape in ((15, 20, 1), (20, 15, 1)):
        with pytest.raises(ModelError) as refusal:
            build_network("edge-cnn", shape, 2, 0, 0.9)
        assert str(refusal.value) == (
            "image-size = 15: edge-cnn takes images from 16 pixels up; set image-size to 16 or more (images are "
            "resized inside the model)"
        )


def test_the_width_multiplies_all_filters():
    narrow = build_classifier("edge-cnn(width=8)", (28, 28, 1), 2, image_size=0)
    kernels = [one.shape for one in narrow.layout.entries if one.path.endswith("kernel")]
    assert kernels == [(3, 3, 1, 8), (3, 3, 8, 16), (3, 3, 16, 32), (32, 2)]
    strided = build_classifier("strided-cnn(width=4)", (8, 8, 1), 2, image_size=0)
    assert [one.shape[-1] for one in strided.layout.entries if len(one.shape) == 4] == [4, 8]
    usual = build_classifier("edge-cnn(width=32)", (28, 28, 1), 2, image_size=0)
    plain = build_classifier("edge-cnn", (28, 28, 1), 2, image_size=0)
    assert usual.layout == plain.layout
    np.testing.assert_array_equal(usual.initial_weights().trainable, plain.initial_weights().trainable)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("edge-cnn(width=0)", "'edge-cnn(width=0)': width = 0: choose a whole number from 1 to 1024"),
        (
            "edge-cnn(depth=2)",
            "'edge-cnn(depth=2)': edge-cnn has no setting 'depth', did you mean \"width\"?; its settings: width",
        ),
        ("resnet50(width=2)", "resnet50(width=2): resnet50 has no settings"),
    ],
)
def test_settings_that_a_network_does_not_take_are_refused(spec, reason):
    with pytest.raises(SpecError, match=re.escape(reason)):
        architecture_named(spec)
    study = Experiment.of(model__name=spec, distillation__student=spec)
    assert list(networks(study.model, study.distillation, Problem((28, 28, 1), 2))) == [
        f'model.name = "{spec}": {reason}',
        f'distillation.student = "{spec}": {reason}',
    ]


@pytest.mark.parametrize(
    ("name", "channels", "smallest", "imagenet"),
    [
        ("mobilenetv2", 3, 32, "MobileNetV2"),
        ("densenet121", 3, 32, "DenseNet121"),
        ("resnet50", 3, 32, "ResNet50"),
        ("edge-cnn", "native", 16, ""),
    ],
)
def test_what_each_network_takes(name, channels, smallest, imagenet):
    found = architecture_named(name)
    assert (found.channels, found.smallest, found.imagenet) == (channels, smallest, imagenet)


@pytest.mark.parametrize(
    ("native", "image_size", "prepared"),
    [((28, 20, 1), 0, (28, 20, 1)), ((28, 20, 3), 24, (24, 24, 3)), ((28, 20, 1), 32, (32, 32, 1))],
)
def test_images_are_resized_inside_the_model_unless_told_not_to(native, image_size, prepared):
    built = build_classifier("edge-cnn", native, 2, image_size=image_size)
    assert (built.preparation.native, built.preparation.prepared) == (native, prepared)
    assert built.network.input_shape == (None, *prepared)
    momenta = {
        layer.momentum
        for layer in built.network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert momenta == {0.9}


def test_a_deployed_model_says_what_it_does(draw):
    built = build_classifier("edge-cnn", native=(20, 40, 1), classes=2, image_size=16)
    model = built.deployable(built.initial_weights())
    assert model.name == "edge-cnn_classifier"
    assert model.input.name == "images"
    assert [layer.name for layer in model.layers if "resize" in layer.name] == [
        "resize_rows",
        "resize_columns",
    ]
    assert not any(layer.trainable for layer in model.layers if "resize" in layer.name)
    grown = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=20)
    images = draw.random((3, 16, 16, 1)).astype(np.float32)
    expected, _ = grown.logits(*grown.arrays(grown.initial_weights()), grown.preparation(tf.constant(images)))
    np.testing.assert_allclose(grown.deployable(grown.initial_weights())(images), expected, atol=1e-5)
    kinds = {type(layer) for layer in model._flatten_layers()}
    assert all(kind.__module__.startswith("keras.") for kind in kinds)


def test_weights_of_another_network_or_of_two_are_none(linear_classifier):
    built = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)
    model = built.deployable(built.initial_weights())
    inputs = keras.Input((16, 16, 1))
    copies = [keras.models.clone_model(model.layers[-1]) for _ in range(2)]
    copies[1].name = "other"
    twice = keras.Model(inputs, copies[0](inputs) + copies[1](inputs))
    assert built.weights_of(twice) is None
    assert linear_classifier.weights_of(model) is None
