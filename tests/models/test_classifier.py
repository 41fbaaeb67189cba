import subprocess
import sys
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.architecture import ModelError
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.classifier import build_classifier
from fedrobust.models.preparation import Preparation
from fedrobust.registry import UnknownNameError

SIZES = {"mobilenetv2": 2_226_434, "densenet121": 6_955_906, "resnet50": 23_538_690}


@pytest.fixture(scope="module")
def mobilenet():
    return build_classifier("mobilenetv2", native=(28, 28, 1), classes=2)


@pytest.fixture(scope="module")
def backbones():
    """Each of Keras' backbones, built once, by name."""
    return cache(lambda name: build_classifier(name, native=(28, 28, 3), classes=2, momentum=0.8))


LARGE = {"densenet121", "resnet50"}
"""To build one takes seconds; test_keras_applications.py compares their scaling without building them."""

BACKBONES = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in sorted(SIZES)]


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_have_keras_parameters_and_give_logits(backbones, name):
    classifier = backbones(name)
    assert classifier.layout.parameters == SIZES[name]
    momenta = {
        layer.momentum
        for layer in classifier.network._flatten_layers()
        if isinstance(layer, FusedBatchNormalization)
    }
    assert momenta == {0.8}
    images = tf.constant(np.random.default_rng(0).random((3, 28, 28, 3)), tf.float32)
    logits, _ = classifier.logits(
        *classifier.arrays(classifier.initial_weights()), classifier.preparation(images)
    )
    assert logits.shape == (3, 2)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", BACKBONES)
def test_scaling_is_that_of_keras_applications(backbones, draw, name):
    pixels = draw.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    module = {
        "mobilenetv2": keras.applications.mobilenet_v2,
        "densenet121": keras.applications.densenet,
        "resnet50": keras.applications.resnet,
    }[name]
    network = backbones(name).network
    scaled = keras.Model(network.input, network.get_layer("scale").output)(pixels / 255.0)
    np.testing.assert_allclose(scaled, module.preprocess_input(pixels.copy()), rtol=1e-4, atol=1e-3)


def test_random_weights_come_from_the_seed_alone(mobilenet):
    keras.utils.set_random_seed(99)
    again = build_classifier("mobilenetv2", native=(28, 28, 1), classes=2, seed=0)
    other = build_classifier("mobilenetv2", native=(28, 28, 1), classes=2, seed=1)
    assert again.initial_weights().digest() == mobilenet.initial_weights().digest()
    assert other.initial_weights().digest() != mobilenet.initial_weights().digest()


def test_deployable_model_answers_as_the_classifier_and_does_not_train_when_called(mobilenet, draw):
    images = tf.constant(draw.random((4, 28, 28, 1)), tf.float32)
    weights = mobilenet.initial_weights()
    expected, _ = mobilenet.logits(*mobilenet.arrays(weights), mobilenet.preparation(images))
    model = mobilenet.deployable(weights)
    for _ in range(2):
        np.testing.assert_allclose(model(images), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["edge-cnn", pytest.param("mobilenetv2", marks=pytest.mark.slow)])
def test_model_file_opens_without_this_project(name, tmp_path, draw):
    images = draw.random((2, 28, 28, 1)).astype(np.float32)
    classifier = build_classifier(name, native=(28, 28, 1), classes=2)
    model = classifier.deployable(classifier.initial_weights())
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np, keras; "
        f"model = keras.models.load_model(r'{tmp_path / 'model.keras'}'); "
        f"np.save(r'{tmp_path / 'logits.npy'}', model(np.load(r'{tmp_path / 'images.npy'}'))); "
        "assert not [name for name in sys.modules if name.startswith('fedrobust')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), model(images), atol=1e-5)


def test_weights_file_fills_the_backbone_and_leaves_the_head(mobilenet, tmp_path, draw):
    keras.utils.set_random_seed(5)
    stock = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg"
    )
    path = tmp_path / "stock.weights.h5"
    stock.save_weights(path)
    classifier = build_classifier(
        "mobilenetv2", native=(32, 32, 3), classes=2, weights=str(path), weights_file=path
    )
    backbone = next(layer for layer in classifier.network.layers if isinstance(layer, keras.Model))
    images = draw.random((2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(backbone(images), stock(images), atol=1e-5)
    np.testing.assert_array_equal(
        classifier.network.get_layer("logits").kernel, mobilenet.network.get_layer("logits").kernel
    )


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "other.weights.h5"
    build_classifier("edge-cnn", native=(28, 28, 1), classes=2).network.save_weights(path)
    with pytest.raises(ModelError, match=r"model\.weights .*does not hold weights of mobilenetv2"):
        build_classifier("mobilenetv2", native=(28, 28, 1), classes=2, weights="x.h5", weights_file=path)


def test_imagenet_weights_offline_say_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, "DenseNet121", offline)
    classifier = build_classifier("edge-cnn", native=(28, 28, 1), classes=2)
    assert classifier.classes == 2
    from fedrobust.models.architectures import architecture_named
    from fedrobust.models.pretrained import _download_imagenet

    with pytest.raises(ModelError, match=r"could not be downloaded \(no network\).*path of a weights file"):
        _download_imagenet("densenet121", architecture_named("densenet121"))
    with pytest.raises(ModelError, match="has none"):
        _download_imagenet("edge-cnn", architecture_named("edge-cnn"))


def test_too_small_images_and_too_few_classes_are_refused():
    with pytest.raises(ModelError, match=r"image-size = 28: mobilenetv2 takes images from 32"):
        build_classifier("mobilenetv2", native=(28, 28, 1), classes=2, image_size=28)
    with pytest.raises(ModelError, match="never fewer than two"):
        build_classifier("edge-cnn", native=(28, 28, 1), classes=1)
    with pytest.raises(UnknownNameError, match="choose one of: densenet121, edge-cnn"):
        build_classifier("vgg", native=(28, 28, 1), classes=2)


def test_a_classifier_prepares_images_for_its_network(mobilenet):
    assert mobilenet.preparation == Preparation((28, 28, 1), (32, 32, 3))


@pytest.mark.parametrize("native", [(28, 28, 1), (64, 64, 1), (28, 28, 3), (32, 32, 3)])
def test_preparation_is_the_resize_of_tensorflow(native, draw):
    images = draw.random((2, *native)).astype(np.float32)
    prepared = Preparation(native, (32, 32, 3))(tf.constant(images))
    colour = np.repeat(images, 3, -1) if native[2] == 1 else images
    expected = tf.image.resize(colour, (32, 32), antialias=native[0] > 32)
    np.testing.assert_allclose(prepared, expected, atol=1e-6)
    assert prepared.numpy().min() >= 0
    assert prepared.numpy().max() <= 1


@pytest.mark.parametrize("native", [(64, 64, 1), (64, 64, 3), (40, 28, 1)])
def test_deployable_models_that_shrink_images_answer_alike_and_can_be_exported(native, draw, tmp_path):
    from fedrobust.edge.export import export
    from fedrobust.edge.interpreter import Interpreter

    classifier = build_classifier("edge-cnn", native=native, classes=3, image_size=20)
    images = draw.random((4, *native)).astype(np.float32)
    weights = classifier.initial_weights()
    expected, _ = classifier.logits(*classifier.arrays(weights), classifier.preparation(tf.constant(images)))
    model = classifier.deployable(weights)
    np.testing.assert_allclose(model(images), expected, atol=1e-5)
    (path,) = export(model, tmp_path, ["float32"]).values()
    np.testing.assert_allclose(Interpreter.open(path).logits(images), expected, atol=1e-4)


def own_features(shape):
    """One small convolution."""
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x)))


def test_an_own_architecture_goes_by_its_dotted_path(monkeypatch, draw):
    import sys
    from types import ModuleType

    module = ModuleType("my_package_of_models")
    module.build, module.nonsense = own_features, 3
    monkeypatch.setitem(sys.modules, module.__name__, module)
    classifier = build_classifier("my_package_of_models:build", native=(12, 12, 1), classes=3, image_size=0)
    assert classifier.layout.parameters == 9 * 4 + 4 + 8 + 4 * 3 + 3
    model = classifier.deployable(classifier.initial_weights())
    assert model(draw.random((2, 12, 12, 1))).shape == (2, 3)
    with pytest.raises(ModelError, match="neither an Architecture nor a function"):
        build_classifier("my_package_of_models:nonsense", native=(12, 12, 1), classes=3)


def test_unit_scaling_is_the_network_without_its_input_scaling():
    scaled = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)
    unit = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0, scaling="unit")
    images = np.random.default_rng(0).random((3, 16, 16, 1), np.float32)
    weights = scaled.initial_weights()
    assert unit.initial_weights().digest() == weights.digest()
    expected, _ = scaled.logits(*scaled.arrays(weights), tf.constant(images))
    found, _ = unit.logits(*unit.arrays(weights), tf.constant(2 * images - 1))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    deployed = unit.deployable(weights)
    np.testing.assert_allclose(deployed(2 * images - 1), expected, atol=1e-6)


def test_weights_come_back_out_of_a_deployed_model_of_the_same_network(tmp_path):
    classifier = build_classifier("edge-cnn", native=(20, 20, 1), classes=2, image_size=16)
    weights = classifier.initial_weights()
    classifier.deployable(weights).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = classifier.weights_of(loaded)
    assert found is not None
    assert found.digest() == weights.digest()
    other = build_classifier("edge-cnn", native=(20, 20, 1), classes=3, image_size=16)
    assert other.weights_of(loaded) is None
    assert classifier.weights_of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])) is None
