import importlib.util
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import check_exportable
from fedrobust.errors import FedrobustError
from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.models.naming import keras_name
from fedrobust.streams import own_words_only

FILE = Path(__file__).with_name("own_networks.py")


@pytest.fixture(autouse=True)
def own_networks(monkeypatch):
    spec = importlib.util.spec_from_file_location("own_networks", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_networks", module)
    spec.loader.exec_module(module)


def classifier(name, shape=(20, 24, 3)):
    return build_classifier(f"own_networks:{name}", shape, 2, image_size=0)


@pytest.mark.parametrize(
    "name",
    [
        "build",
        "of_a_tuple",
        "of_a_tuple_with_settings",
        "of_anything",
        "of_three_with_defaults",
        "fixed_batch",
        "sigmoid_features",
        "dropout",
    ],
)
def test_networks_of_ones_own_take_any_number_of_images(name):
    built = classifier(name)
    model = built.deployable(built.initial_weights())
    assert built.classes == 2
    for images in (1, 3):
        assert np.asarray(model(np.zeros((images, 20, 24, 3), np.float32))).shape == (images, 2)


@pytest.mark.parametrize(("scaling", "seen"), [("backbone", 0.5), ("unit", 0.75 / 127.5 - 1.0)])
def test_a_network_that_scales_by_itself_is_given_the_range_that_it_scales(scaling, seen):
    built = build_classifier("own_networks:with_its_own_scale", (20, 24, 3), 2, image_size=0, scaling=scaling)
    images = np.full((1, 20, 24, 3), 0.75, np.float32)
    kernel, bias = built.arrays(built.initial_weights())[0]
    expected = np.full((1, 3), seen, np.float32) @ kernel + bias
    np.testing.assert_allclose(
        built.deployable(built.initial_weights())(images), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softmax", "ends in softmax"),
        ("softmax_layer", "ends in softmax"),
        ("softmax_activation", "ends in softmax"),
        ("softmax_inside", "ends in softmax"),
        ("one_sigmoid", "ends in sigmoid"),
        ("maps", "GlobalAveragePooling2D"),
        ("two_outputs", "one vector an image"),
        ("other_images", r"it takes \[\(None, 24, 24, 3\)\]"),
        ("of_whole_numbers", "it takes images of uint8, which have no gradient"),
        ("nothing", "returned NoneType"),
        ("crashes", r"KeyError: 'blocks' \(.*own_networks.py, line \d+\); it is called as build"),
        ("exits", "SystemExit: 3"),
        ("two_sides", "TypeError"),
        ("random_flip", "RandomFlip"),
        ("number", "neither an Architecture nor a function"),
    ],
)
def test_what_is_no_network_of_features_is_refused_with_its_name(name, message):
    with pytest.raises(ModelError, match=message) as refusal:
        classifier(name)
    assert f"own_networks:{name}" in str(refusal.value)


def test_a_student_of_ones_own_is_exported_under_a_name_that_graphs_take():
    built = classifier("build")
    assert built.name == "own_networks:build"
    model = built.deployable(built.initial_weights())
    assert model.name == "own_networks_build_classifier"
    check_exportable(model, ("float32", "int8"))


def test_a_network_that_no_device_can_run_is_refused_before_it_is_trained(capfd):
    built = classifier("not_for_devices")
    model = built.deployable(built.initial_weights())
    with own_words_only(), pytest.raises(ExportError, match="no built-in operation for: Erfinv") as refusal:
        check_exportable(model, ("float32",))
    assert isinstance(refusal.value, FedrobustError)
    assert capfd.readouterr().err == "", "the converter's own words are in the traceback's notes"
    assert "Erfinv" in "".join(refusal.value.__notes__)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("edge-cnn", "edge-cnn"),
        ("a.b:c", "a.b_c"),
        ("Ä x/y", "x_x_y"),
        ("_x", "xx"),
        ("", "model"),
        (":", "x"),
    ],
)
def test_names_for_keras(name, expected):
    assert keras_name(name) == expected


def test_names_of_registered_layers_stay():
    layers = [layer.name for layer in build_classifier("edge-cnn", (28, 28, 1), 2).network.layers]
    assert "edge-cnn" in layers


@pytest.mark.parametrize(
    "source",
    [
        "import nothing_of_this_name",
        "def f(:",
        "1 / 0",
        "raise SystemExit(4)",
        "import os; os.environ['NOT_SET_AT_ALL']",
    ],
)
def test_a_module_that_cannot_be_imported_is_a_sentence(tmp_path, monkeypatch, source):
    (tmp_path / "broken_networks.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("broken_networks", None)
    with pytest.raises(FedrobustError, match="broken_networks"):
        build_classifier("broken_networks:build", (8, 8, 1), 2)
    with pytest.raises(FedrobustError, match="no 'other'"):
        classifier("other")


def test_pretrained_weights_that_are_none(tmp_path):
    import keras

    from fedrobust.models.architectures import architecture_named

    backbone = architecture_named("edge-cnn").features((28, 28, 1))
    backbone.save_weights(tmp_path / "good.weights.h5")
    broken = [np.full_like(array, np.nan) for array in backbone.get_weights()]
    backbone.set_weights(broken)
    backbone.save_weights(tmp_path / "nan.weights.h5")
    (tmp_path / "text.weights.h5").write_text("no weights")
    whole = (tmp_path / "good.weights.h5").read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(whole[: len(whole) // 2])
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    for name, message in (
        ("nan", "NaN or infinite"),
        ("text", "edge-cnn"),
        ("cut", "edge-cnn"),
        ("other", "edge-cnn"),
    ):
        path = tmp_path / f"{name}.weights.h5"
        with pytest.raises(FedrobustError, match=message) as refusal:
            build_classifier("edge-cnn", (28, 28, 1), 2, image_size=0, weights=path.name, weights_file=path)
        assert str(path) in str(refusal.value)
    good = tmp_path / "good.weights.h5"
    build_classifier("edge-cnn", (28, 28, 1), 2, image_size=0, weights=good.name, weights_file=good)


def with_filters(height, width, channels, filters=4):
    """Pool one convolution of so many filters."""
    inputs = keras.Input((height, width, channels))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(filters, 3)(inputs)))


def test_settings_are_handed_on_to_the_function(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_networks_here", sys.modules[__name__])
    sizes = [
        build_classifier(
            f"own_networks_here:with_filters{settings}", (16, 16, 1), 2, image_size=0
        ).layout.parameters
        for settings in ("", "(filters=7)")
    ]
    assert sizes == [(9 + 1) * filters + (filters + 1) * 2 for filters in (4, 7)]
    with pytest.raises(FedrobustError, match="edge-cnn has no setting 'filters'"):
        build_classifier("edge-cnn(filters=7)", (28, 28, 1), 2)
