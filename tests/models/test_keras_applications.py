"""The backbones of keras.applications: all of them are in the table, with the scaling that Keras has for them."""

import importlib

import keras
import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.data.search_path import weights_file
from fedrobust.models.architectures import architecture_named
from fedrobust.models.classifier import build_classifier
from fedrobust.models.keras_applications import BACKBONES, NAMES
from fedrobust.models.keras_file import load_keras
from fedrobust.registry import UnknownNameError

IMAGES = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)


def builders():
    found = vars(keras.applications)
    return {name: build for name, build in found.items() if name[0].isupper() and callable(build)}


def module_of(name):
    return importlib.import_module(f"keras.applications.{builders()[name].__module__.rpartition('.')[2]}")


def test_every_backbone_of_keras_is_in_the_table():
    assert {name.removeprefix("keras:") for name in NAMES} == set(builders())
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", [each.names[0] for each in BACKBONES if not (each.optional or each.inside)])
def test_images_are_scaled_as_by_keras_own_function(name):
    scaled = architecture_named(f"keras:{name}").scale(keras.ops.convert_to_tensor(IMAGES))
    np.testing.assert_allclose(scaled, module_of(name).preprocess_input(255 * IMAGES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for each in BACKBONES for name in each.names if not each.optional])
def test_members_of_a_row_have_one_scaling(name):
    row = next(each for each in BACKBONES if name in each.names)
    given = 255 * IMAGES[:1, :2, :2]
    np.testing.assert_array_equal(
        module_of(name).preprocess_input(given.copy()), module_of(row.names[0]).preprocess_input(given.copy())
    )


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("EfficientNetB0", "EfficientNetV2B0")),
    ],
)
def test_a_backbone_that_scales_by_itself_computes_what_keras_does(name, tmp_path):
    keras.utils.set_random_seed(1)
    model = builders()[name](include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            deviation = np.array([0.229, 0.224, 0.225])
            layer.set_weights([np.array([0.485, 0.456, 0.406]), deviation**2, np.array(0)])
            layer.finalize_state()
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / f"{name.lower()}_imagenet_notop.weights.h5"
    model.save_weights(path)
    assert weights_file(f"keras:{name}", "imagenet", root=tmp_path) == path
    built = build_classifier(
        f"keras:{name}", (32, 32, 3), 2, image_size=32, weights="imagenet", weights_file=path
    )
    features = keras.Model(built.network.input, built.network.layers[-1].input)
    np.testing.assert_allclose(features(IMAGES), model(255 * IMAGES), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["EfficientNetV2S", "ConvNeXtTiny"])
def test_scaling_layers_that_are_left_out_are_the_tables(name):
    with keras.StatelessScope(initialize_variables=False):
        model = builders()[name](include_top=False, weights=None, input_shape=(32, 32, 3))
    first = model.layers[1]
    assert isinstance(first, keras.layers.Rescaling | keras.layers.Normalization)
    scaled = architecture_named(f"keras:{name}").scale(keras.ops.convert_to_tensor(IMAGES))
    np.testing.assert_allclose(scaled, first(255 * IMAGES), rtol=1e-3, atol=1e-3)


def test_dropout_inside_needs_no_state_and_the_model_file_opens(tmp_path):
    built = build_classifier("keras:MobileNetV3Small", (28, 28, 1), 3, image_size=32, seed=4)
    assert built.origin is not None, "graphs are kept: the network is known by its name"
    weights = built.initial_weights()
    built.save(weights, tmp_path / "model.keras")
    images = IMAGES[:, :28, :28, :1]
    np.testing.assert_allclose(
        load_keras(tmp_path / "model.keras")(images), built.deployable(weights)(images), rtol=1e-4, atol=1e-5
    )


def test_names_are_forgiven_their_case_and_told_what_is_near():
    study = Experiment.of(model__name="KERAS:efficientnetv2b0")
    assert study.model.name == "keras:EfficientNetV2B0"
    with pytest.raises(UnknownNameError, match='did you mean "EfficientNetV2B0"'):
        architecture_named("keras:EfficentNetV2B0")
    with pytest.raises(UnknownNameError, match="'vgg16' is no model, did you mean \"keras:VGG16\""):
        architecture_named("vgg16")
    with pytest.raises(UnknownNameError, match="choose one of DenseNet121"):
        architecture_named("keras:q")
