"""How networks are built: scalings, own functions, seeds, pretrained weights, and what is refused."""

import sys
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models import pretrained
from fedrobust.models.architecture import Architecture, ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.classifier import build_classifier
from fedrobust.models.convolution import DirectConv2D, DirectDepthwiseConv2D
from fedrobust.models.keras_file import ModelFileError
from fedrobust.models.naming import keras_name
from fedrobust.models.network import build_network, shown_scale
from fedrobust.models.own_network import checked_features, own_features, takes_three
from fedrobust.models.pretrained import load_backbone_weights

SHAPE = (8, 6, 3)


def pooled(shape, *layers, dtype="float32", batch=None):
    x = inputs = keras.Input(batch_shape=(batch, *shape), dtype=dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def refusal(function, *arguments, **settings):
    with pytest.raises(ModelError) as refused:
        function(*arguments, **settings)
    return str(refused.value)


@pytest.fixture
def own(monkeypatch):
    """A module of a user's."""
    module = ModuleType("own_models")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mobilenetv2", [-1.0, 0.0, 1.0]),
        ("edge-cnn", [-1.0, 0.0, 1.0]),
        ("strided-cnn", [-1.0, 0.0, 1.0]),
        ("densenet121", [-0.485 / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225]),
        ("resnet50", [255 - 103.939, 127.5 - 116.779, -123.68]),
    ],
)
def test_a_pixel_is_scaled_in_one_layer_as_the_pretrained_weights_want_it(name, expected):
    inputs = keras.Input((1, 1, 3))
    model = keras.Model(inputs, architecture_named(name).scale(inputs))
    assert model.layers[-1].name == "scale"
    pixel = np.array([0.0, 0.5, 1.0], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(model(pixel)[0, 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_what_is_known_of_the_surrogate():
    found = architecture_named("strided-cnn")
    assert (found.channels, found.smallest, found.imagenet) == ("native", 4, "")


def test_strided_cnn_is_two_strided_convolutions_and_a_dense_layer(draw):
    built = build_classifier("strided-cnn", native=(9, 6, 1), classes=3, image_size=0)
    names = [
        (f"stage{stage}_convolution/{name}", shape)
        for stage, kernel in ((1, (3, 3, 1, 32)), (2, (3, 3, 32, 64)))
        for name, shape in (("kernel", kernel), ("bias", kernel[3:]))
    ]
    assert [(entry.path, entry.shape) for entry in built.layout.entries] == [
        *names,
        ("logits/kernel", (3 * 2 * 64, 3)),
        ("logits/bias", (3,)),
    ]
    weights = built.layout.flatten([draw.normal(0, 0.2, entry.shape) for entry in built.layout.entries])
    arrays = built.layout.unflatten(weights)
    images = draw.random((2, 9, 6, 1)).astype(np.float32)
    x = 2 * images - 1
    for kernel, bias in (arrays[:2], arrays[2:4]):
        x = np.maximum(tf.nn.conv2d(x, kernel, 2, "SAME").numpy() + bias, 0)
    logits, _ = built.logits(*built.arrays(weights), tf.constant(images))
    np.testing.assert_allclose(logits, x.reshape(2, -1) @ arrays[4] + arrays[5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["edge-cnn", "strided-cnn"])
def test_layers_of_the_small_networks_have_names_of_their_own(name):
    """Reports and exported graphs show them, and they may not depend on what was built before."""
    features = architecture_named(name).features((16, 16, 1))
    assert features.name == name
    stages = {
        "edge-cnn": [
            f"stage{stage}_{layer}"
            for stage in (1, 2, 3)
            for layer in ("convolution", "batchnorm", "relu", *(["pool"] if stage == 1 else []))
        ]
        + ["pool"],
        "strided-cnn": ["stage1_convolution", "stage2_convolution", "flat"],
    }
    assert [layer.name for layer in features.layers[1:]] == stages[name]


def test_keras_applications_are_built_without_their_top_and_without_weights(monkeypatch):
    asked = []
    monkeypatch.setattr(keras.applications, "ResNet50", lambda **settings: asked.append(settings))
    architecture_named("resnet50").features(SHAPE)
    architecture_named("keras:ResNet50").features(SHAPE)
    assert asked == 2 * [{"include_top": False, "weights": None, "input_shape": SHAPE, "pooling": "avg"}]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: None, False),
        (lambda shape: None, False),
        (lambda a, b: None, True),
        (lambda a, b, c: None, True),
        (lambda *sides: None, True),
        (lambda shape, *rest: None, False),
        (lambda a, b, *rest: None, True),
        (lambda shape, filters=8: None, False),
        (lambda shape, filters=8, depth=2: None, False),
        (lambda height=8, width=8, channels=1: None, True),
        (lambda height=8, width=8: None, False),
        (lambda shape=(8, 8, 1), width=8, channels=1: None, False),
        (lambda shape, *, filters: None, False),
        (lambda shape, /, **settings: None, False),
        (lambda height, /, width, channels: None, True),
        (3, True),
        (dict.fromkeys, False),
        (max, True),
    ],
)
def test_functions_of_one_place_are_called_with_a_tuple(build, expected):
    assert takes_three(build) is expected


def test_an_own_function_is_an_architecture_that_follows_the_data(own):
    def build(height, width, channels):
        """Mean colours.

        And more.
        """
        return pooled((height, width, channels))

    own.build, own.silent, own.number = build, lambda shape: pooled(shape), 3
    found = architecture_named("own_models:build")
    assert (found.scale, found.smallest, found.channels, found.imagenet) == (None, 1, "native", "")
    assert found.summary == "Mean colours."
    assert found.features(SHAPE).output_shape == (None, 3)
    assert architecture_named("own_models:silent").summary == "own_models:silent"
    assert architecture_named("edge-cnn").summary == "edge-cnn of width 32"
    own.whole = Architecture(pooled, None, 2, "native", "", "as it is")
    assert architecture_named("own_models:whole") is own.whole
    assert refusal(architecture_named, "own_models:number") == (
        'model.name = "own_models:number": neither an Architecture nor a function that builds a Keras model'
    )


def test_what_an_own_function_raises_is_told_with_how_it_is_called():
    def build(height, width, channels):
        raise KeyError("blocks")

    told = refusal(own_features("a:b", build), SHAPE)
    assert told.startswith(
        f"model \"a:b\": building it for images of (8, 6, 3) ends in KeyError: 'blocks' ({__file__}, line "
    )
    assert told.endswith("; it is called as build(height, width, channels)")
    given = []
    features = own_features("a:b", lambda shape: given.append(shape) or pooled(shape))
    assert features(SHAPE).output_shape == (None, 3)
    assert given == [SHAPE]


class Counted(keras.layers.Layer):
    def build(self, shape):
        self.seen = self.add_weight(shape=(), dtype="int64", trainable=False, name="seen")

    def call(self, x):
        return x


def two_inputs():
    inputs = [keras.Input(SHAPE), keras.Input(SHAPE)]
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(inputs)))


def ending_in(units, activation):
    base = pooled(SHAPE)
    return keras.Model(base.inputs, keras.layers.Dense(units, activation=activation)(base.outputs[0]))


def of_any_length():
    inputs = keras.Input(SHAPE)
    rows = keras.layers.Lambda(lambda x: keras.ops.reshape(x, (1, -1)), output_shape=(None,))(inputs)
    return keras.Model(inputs, rows)


class Own(keras.Model):
    def call(self, images):
        return images


WANTED = "wanted: a keras.Model from images (None, 8, 6, 3) to one vector an image"
POOL = "end it with keras.layers.GlobalAveragePooling2D or Flatten"
LEAVE_OUT = "leave the classification layer out, the logits are put on top of the features"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: None, f"it returned NoneType; {WANTED}"),
        (lambda: keras.layers.Flatten(), f"it returned Flatten; {WANTED}"),
        (
            Own,
            "a subclassed model, whose layers cannot be inspected; build it with keras.Input and keras.Model",
        ),
        (lambda: pooled((6, 8, 3)), f"it takes [(None, 6, 8, 3)]; {WANTED}"),
        (two_inputs, f"it takes [(None, 8, 6, 3), (None, 8, 6, 3)]; {WANTED}"),
        (
            lambda: pooled(SHAPE, keras.layers.Rescaling(1.0), dtype="uint8"),
            "it takes images of uint8, which have no gradient; build it with keras.Input(..., "
            'dtype="float32")',
        ),
        (
            lambda: keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU()]),
            f"it returns [(None, 8, 6, 3)]; {WANTED}: {POOL}",
        ),
        (
            lambda: keras.Model((base := pooled(SHAPE)).inputs, base.outputs * 2),
            f"it returns [(None, 3), (None, 3)]; {WANTED}: {POOL}",
        ),
        (of_any_length, f"it returns [(None, None)]; {WANTED}: {POOL}"),
        (
            lambda: ending_in(2, "softmax"),
            f"it ends in softmax, in probabilities of classes; {WANTED}: {LEAVE_OUT}",
        ),
        (
            lambda: ending_in(1, "sigmoid"),
            f"it ends in sigmoid, in probabilities of classes; {WANTED}: {LEAVE_OUT}",
        ),
        (
            lambda: pooled(SHAPE, Counted(name="counted")),
            "counted/seen is a state of int64 numbers, such as the random generator of RandomFlip: clients "
            "exchange float32 weights and statistics alone; leave that layer out",
        ),
    ],
)
def test_what_is_no_model_of_features_is_refused_with_what_is_wanted(make, reason):
    assert refusal(checked_features, "a:b", make(), SHAPE) == f'model "a:b": {reason}'


@pytest.mark.parametrize(
    "make", [lambda: pooled(SHAPE), lambda: ending_in(2, "sigmoid"), lambda: ending_in(1, "relu")]
)
def test_models_of_features_are_passed_on_as_they_are(make):
    model = make()
    assert checked_features("a:b", model, SHAPE) is model


def test_a_fixed_number_of_images_becomes_any_or_is_refused(draw):
    model = pooled(SHAPE, keras.layers.ReLU(), batch=4)
    images = draw.normal(size=(3, *SHAPE)).astype(np.float32)
    free = checked_features("a:b", model, SHAPE)
    assert free.input_shape == (None, *SHAPE)
    np.testing.assert_allclose(free(images), np.maximum(images, 0).mean((1, 2)), rtol=1e-5)

    class OfFour(keras.layers.Layer):
        def call(self, x):
            if x.shape[0] != 4:
                raise ValueError("made for four")
            return x

    assert refusal(checked_features, "a:b", pooled(SHAPE, OfFour(), batch=4), SHAPE) == (
        'model "a:b": it takes exactly 4 images at a time (made for four); build it with '
        "keras.Input((height, width, channels))"
    )


def test_a_network_is_its_scaled_backbone_and_one_layer_of_logits(own, draw):
    def build(height, width, channels):
        x = inputs = keras.Input((height, width, channels))
        x = keras.layers.SeparableConv2D(4, 3, name="own one")(x)
        x = keras.layers.Conv2D(5, 1, name="1:1")(x)
        x = keras.layers.DepthwiseConv2D(3, name="each")(x)
        x = keras.layers.BatchNormalization(name="norm", momentum=0.99, epsilon=0.5)(x)
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool")(x), name="own net")

    own.build = build
    network = build_network("own_models:build", SHAPE, 4, 7, 0.25)
    assert network.name == "own_models_build"
    assert (network.input_shape, network.output_shape) == ((None, *SHAPE), (None, 4))
    assert network.input.name == "prepared"
    assert network.layers[-1].name == "logits"
    backbone = network.layers[1]
    kinds = {layer.name: type(layer) for layer in backbone.layers[1:]}
    assert kinds == {
        "own_one": keras.layers.SeparableConv2D,
        "1_1": DirectConv2D,
        "each": DirectDepthwiseConv2D,
        "norm": FusedBatchNormalization,
        "pool": keras.layers.GlobalAveragePooling2D,
    }
    norm = backbone.get_layer("norm")
    assert (norm.momentum, norm.epsilon) == (0.25, 0.5)
    again, other = (build_network("own_models:build", SHAPE, 4, seed, 0.25) for seed in (7, 8))
    for one, two in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    kernels = [
        (one.numpy(), two.numpy())
        for one, two in zip(network.weights, other.weights, strict=True)
        if "kernel" in one.path
    ]
    assert len(kernels) == 5
    assert all((one != two).any() for one, two in kernels)


class Inheriting(keras.layers.Conv2D):
    def call(self, inputs):
        return 2 * super().call(inputs)


def test_a_layer_that_inherits_from_keras_is_rebuilt_as_it_is(own):
    own.build = lambda shape: pooled(shape, Inheriting(2, 1, name="mine"))
    assert type(build_network("own_models:build", SHAPE, 2, 0, 0.9).layers[1].get_layer("mine")) is Inheriting


class Unsaved(keras.layers.Layer):
    def __init__(self, needed):
        super().__init__()

    def get_config(self):
        return {"name": self.name}

    def call(self, x):
        return x


def test_networks_that_cannot_be_built_are_refused(own):
    own.build = lambda shape: pooled(shape, Unsaved(3))
    message = refusal(build_network, "own_models:build", SHAPE, 2, 0, 0.9)
    assert message.startswith(
        'model "own_models:build": its layers cannot be built anew from what get_config returns: '
    )
    assert "'Unsaved'" in message
    assert refusal(build_network, "edge-cnn", (16, 16, 1), 1, 0, 0.9) == (
        "1 classes: a model has one logit a class, never fewer than two"
    )
    assert build_network("edge-cnn", (16, 16, 1), 2, 0, 0.9, "unit").layers[1].name == "edge-cnn"
    assert build_network("edge-cnn", (16, 16, 1), 2, 0, 0.9).layers[1].name == "scale"


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.Rescaling(1 / 255), [0.0, 127.5, 255.0]),
        (keras.layers.Rescaling(0.5, 0.5), [-1.0, 0.0, 1.0]),
        (keras.layers.Rescaling(1.0), [0.0, 0.5, 1.0]),
        (keras.layers.ReLU(), [0.0, 0.5, 1.0]),
    ],
)
def test_an_own_network_is_given_the_range_that_its_first_layers_take(layer, expected):
    inputs = keras.Input((1, 1, 3))
    scale = shown_scale(keras.Model(inputs, layer(inputs)))
    pixel = np.array([0.0, 0.5, 1.0], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.asarray(scale(pixel)).ravel(), expected, atol=1e-5)
    if expected[-1] != 1.0:
        assert keras.Model(inputs, scale(inputs)).layers[-1].name == "scale"
    else:
        assert scale(pixel) is pixel or expected[0] == -1.0


def test_imagenet_weights_are_those_of_keras_without_the_top(monkeypatch):
    network = build_network("edge-cnn", (16, 16, 3), 2, 0, 0.9)
    backbone = network.layers[-2]
    other = build_network("edge-cnn", (16, 16, 3), 2, 1, 0.9).layers[-2]
    asked = []
    monkeypatch.setattr(keras.applications, "Net", lambda **each: asked.append(each) or other, raising=False)
    described = SimpleNamespace(imagenet="Net")
    monkeypatch.setattr(pretrained, "architecture_named", lambda name: described)
    head = network.layers[-1].get_weights()
    load_backbone_weights(network, "net", "imagenet", None)
    assert asked == [
        {"include_top": False, "weights": "imagenet", "input_shape": (224, 224, 3), "pooling": "avg"}
    ]
    for one, two in zip(backbone.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(network.layers[-1].get_weights(), head, strict=True):
        np.testing.assert_array_equal(one, two)
    described.imagenet = ""
    assert refusal(load_backbone_weights, network, "net", "imagenet", None) == (
        'model.weights = "imagenet": net has none; choose "random" or a file'
    )

    def offline(**settings):
        raise Exception("no network")

    described.imagenet = "Net"
    monkeypatch.setattr(keras.applications, "Net", offline)
    assert refusal(load_backbone_weights, network, "net", "imagenet", None) == (
        'model.weights = "imagenet": the weights of net could not be downloaded (no network). Offline, give the path '
        "of a weights file, put one into weights/ below a data root, or Keras' file into ~/.keras/models"
    )


def test_a_weights_file_that_is_none_is_refused_with_the_setting_and_its_path(tmp_path):
    network = build_network("edge-cnn", (16, 16, 1), 2, 0, 0.9)
    path = tmp_path / "none.weights.h5"
    path.write_text("no weights")
    message = refusal(load_backbone_weights, network, "edge-cnn", "none.h5", path)
    assert message.startswith(
        f"model.weights = 'none.h5': {path} does not hold weights of edge-cnn without its top: "
    )
    assert not message.endswith(": None"), "Keras' own reason follows"
    backbone = architecture_named("edge-cnn").features((16, 16, 1))
    backbone.set_weights([np.full_like(array, np.inf) for array in backbone.get_weights()])
    backbone.save_weights(path)
    with pytest.raises(
        ModelFileError, match=rf"^model\.weights = 'none\.h5': {path}: 288 of 288 numbers of "
    ):
        load_backbone_weights(network, "edge-cnn", "none.h5", path)


def test_names_are_made_of_letters_that_graphs_take():
    assert keras_name("a-b_c.d9") == "a-b_c.d9"
    assert keras_name("-x") == "xx"
    assert keras_name("9x") == "9x"
    assert keras_name(".x") == ".x"
