import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.errors import FedrobustError
from fedrobust.evasion import Threat, attack
from fedrobust.evasion.models.model_file import open_model
from fedrobust.models.input_format import InputFormat
from fedrobust.models.interface import Interface

GREY = (12, 12, 1)


def network(classes=2, shape=GREY, activation=None, noise=False) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    if noise:
        x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(x))


@pytest.fixture
def images(draw):
    return draw.random((9, *GREY)).astype(np.float32)


def test_a_file_answers_as_its_model(tmp_path, images):
    model = network()
    path = tmp_path / "model.keras"
    model.save(path)
    opened = open_model(path, GREY, 2)
    assert (opened.name, opened.output) == ("model.keras", "logits")
    np.testing.assert_allclose(opened.target.logits(images), model(images), atol=1e-5)
    np.testing.assert_allclose(opened.answers(images), model(images), atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_activation_at_the_end_is_taken_off(tmp_path, images, activation):
    classes = 1 if activation == "sigmoid" else 3
    model = network(classes, activation=activation)
    path = tmp_path / "model.keras"
    model.save(path)
    probabilities = np.asarray(model(images))
    opened = open_model(path, GREY, max(2, classes))
    logits = opened.target.logits(images)
    assert opened.output == "unwrapped"
    again = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(again[:, 1] if classes == 1 else again, probabilities.squeeze(), atol=1e-5)
    assert logits.min() < 0, "probabilities are not"


def test_a_sequential_model_and_an_activation_layer(images):
    model = keras.Sequential(
        [keras.Input(GREY), keras.layers.Flatten(), keras.layers.Dense(2), keras.layers.Activation("softmax")]
    )
    assert open_model(model, GREY, 2).output == "unwrapped"
    assert open_model(model, GREY, 2).target.logits(images).shape == (9, 2)


def test_a_softmax_of_keras_operations_and_one_in_a_model_inside_are_taken_off(images):
    bare, closed = network(), network(activation="softmax")
    expected = np.asarray(bare(images))
    inputs = keras.Input(GREY)
    inside = keras.Sequential([keras.Input(GREY), keras.layers.Rescaling(1.0), closed])
    for model in (keras.Model(inputs, keras.ops.softmax(bare(inputs))), inside):
        opened = open_model(model, GREY, 2)
        assert opened.output == "unwrapped"
        np.testing.assert_allclose(opened.target.logits(images), expected, atol=1e-5)


def test_what_follows_a_softmax_stays(images):
    """The mean of two networks' probabilities is no network's softmax."""
    inputs = keras.Input(GREY)
    x = keras.layers.Flatten()(inputs)
    heads = [keras.layers.Dense(2, activation="softmax")(x) for _ in range(2)]
    model = keras.Model(inputs, (heads[0] + heads[1]) / 2)
    opened = open_model(model, GREY, 2)
    assert opened.output == "probabilities"
    np.testing.assert_allclose(opened.target.logits(images), np.log(model(images)), atol=1e-5)


def test_a_model_in_memory_stays_as_it_is(images):
    model = network(3, activation="softmax")
    before = np.asarray(model(images))
    assert open_model(model, GREY, 3).output == "unwrapped"
    np.testing.assert_array_equal(model(images), before)


def test_a_hidden_sigmoid_that_is_sure_has_finite_logits(images):
    inputs = keras.Input(GREY)
    sure = keras.layers.Lambda(lambda z: keras.ops.sigmoid(1000 * z))(network(1)(inputs))
    opened = open_model(keras.Model(inputs, sure), GREY, 2)
    assert opened.output == "probabilities"
    logits = opened.target.logits(images)
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(logits.argmax(1), np.asarray(opened.keras(images))[:, 0] > 0.5)
    in_training = opened.answers(images, training=True).argmax(1)
    np.testing.assert_array_equal(in_training, np.asarray(opened.keras(images, training=True))[:, 0] > 0.5)


def test_one_logit_that_is_small_on_noise_is_no_probability():
    """All noise looks alike: its mean is 0.5, and so is this model's logit; of a white image it is 3."""
    inputs = keras.Input(GREY)
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Rescaling(5.0, offset=-2.0)(mean))
    assert open_model(model, GREY, 2).output == "logits"


def test_grey_data_fit_a_colour_model(draw):
    model = network(shape=(16, 16, 3))
    stored = draw.integers(0, 256, (5, *GREY)).astype(np.uint8)
    native = open_model(model, GREY, 2)
    prepared = open_model(model, GREY, 2, space="prepared")
    assert native.target.shape == GREY
    assert prepared.target.shape == (16, 16, 3)
    views = [opened.target.compiled.images(stored) for opened in (native, prepared)]
    np.testing.assert_allclose(native.target.logits(views[0]), prepared.target.logits(views[1]), atol=1e-4)
    done = attack(prepared.target, views[1], np.zeros(5, int), "fgsm", Threat(space="prepared"), [0.1])
    assert done.images.shape == (1, 5, 16, 16, 3)


def test_inference_is_inference_and_training_mode_is_asked_for(images):
    opened = open_model(network(noise=True), GREY, 2)
    np.testing.assert_array_equal(opened.target.logits(images), opened.target.logits(images))
    assert np.abs(opened.answers(images, training=True) - opened.answers(images)).max() > 1e-3


@pytest.mark.parametrize(
    ("make", "classes", "message"),
    [
        (lambda: network(3), 2, "has 3 outputs, the data have 2 classes"),
        (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]), 2, "one batch of images"),
        (lambda: network(shape=(12, 12, 2)), 2, "its input has 2 channels"),
    ],
)
def test_models_that_do_not_fit_are_refused(make, classes, message):
    with pytest.raises(FedrobustError, match=message):
        open_model(make(), GREY, classes)


def test_files_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(FedrobustError, match="no such file"):
        open_model(tmp_path / "none.keras", GREY, 2)
    (tmp_path / "no.keras").write_bytes(b"nothing")
    with pytest.raises(FedrobustError, match="cannot open it"):
        open_model(tmp_path / "no.keras", GREY, 2)


COLOUR = (12, 12, 3)


@pytest.fixture(scope="module")
def core():
    """Two logits of colour images in [0, 1]."""
    return network(shape=COLOUR)


def behind(core, *layers, shape=COLOUR, dtype="float32", batch=None, after=()) -> keras.Model:
    """Return a model of `layers`, the core, and the layers `after`."""
    inputs = x = keras.Input(batch_shape=(batch, *shape), dtype=dtype, name="image")
    for layer in (*layers, core, *after):
        x = layer(x)
    return keras.Model(inputs, x)


def scaled(factor, offset=0.0) -> keras.layers.Layer:
    """Return a convolution that computes factor * pixel + offset: nothing shows that it is a scaling."""
    layer = keras.layers.DepthwiseConv2D(1)
    layer.build((None, *COLOUR))
    kernel = np.broadcast_to(np.asarray(factor, np.float32), (3,)).reshape(1, 1, 3, 1)
    layer.set_weights([kernel, np.broadcast_to(np.asarray(offset, np.float32), (3,))])
    return layer


def one_unit(core, activation) -> keras.Model:
    """Return the core's difference of logits as one unit."""
    difference = keras.layers.Dense(1, activation=activation)
    difference.build((None, 2))
    difference.set_weights([np.array([[-1.0], [1.0]], np.float32), np.zeros(1, np.float32)])
    return behind(core, after=[difference])


def with_two_heads(core, named) -> keras.Model:
    inputs = keras.Input(COLOUR)
    logits, sides = core(inputs), keras.layers.Dense(2, name="side")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, {"diagnosis": logits, "side": sides} if named else [sides, logits])


def of_a_dictionary(core) -> keras.Model:
    inputs = {"scan": keras.Input(COLOUR, name="scan")}
    return keras.Model(inputs, {"diagnosis": keras.layers.Softmax()(core(inputs["scan"]))})


def nested_in_whole_numbers(core) -> keras.Model:
    inner = behind(core, keras.layers.Rescaling(1 / 255), dtype="uint8", batch=4)
    return behind(inner, dtype="uint8")


def divided(core) -> keras.Model:
    inputs = keras.Input(COLOUR)
    return keras.Model(inputs, core(inputs / 127.5 / 2.0))


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISED = "mean=0.485 0.456 0.406, std=0.229 0.224 0.225"

WRAPPINGS = {
    "as it is": (lambda core: core, {}),
    "rescaling": (lambda core: behind(core, keras.layers.Rescaling(1 / 255)), {}),
    "rescaling inside": (lambda core: behind(behind(core, keras.layers.Rescaling(1 / 255))), {}),
    "divided": (divided, {}),
    "centred": (lambda core: behind(core, keras.layers.Rescaling(0.5, 0.5)), {}),
    "normalization": (
        lambda core: behind(
            core,
            keras.layers.Normalization(mean=[124.0, 116, 104], variance=[3410.0, 3263, 3292]),
            scaled(np.sqrt([3410, 3263, 3292]) / 255, np.array([124, 116, 104]) / 255),
        ),
        {},
    ),
    "whole numbers": (lambda core: behind(core, keras.layers.Rescaling(1 / 255), dtype="uint8"), {}),
    "whole numbers inside": (nested_in_whole_numbers, {}),
    "fixed batch": (lambda core: behind(core, batch=5), {}),
    "half precision": (lambda core: behind(core, keras.layers.Rescaling(1.0), dtype="float16"), {}),
    "channels first": (
        lambda core: behind(core, keras.layers.Permute((2, 3, 1)), shape=(3, 12, 12)),
        {},
    ),
    "0..255": (lambda core: behind(core, scaled(1 / 255)), {"input": "0..255"}),
    "-1..1": (lambda core: behind(core, scaled(0.5, 0.5)), {"input": "[-1, 1]"}),
    "normalised": (lambda core: behind(core, scaled(STD, MEAN)), {"input": NORMALISED}),
    "bgr": (
        lambda core: keras.Model(inputs := keras.Input(COLOUR), core(keras.ops.flip(inputs, axis=-1))),
        {"input": "0..1 bgr"},
    ),
    "softmax": (lambda core: behind(core, after=[keras.layers.Softmax()]), {}),
    "sigmoid": (lambda core: one_unit(core, "sigmoid"), {}),
    "one logit": (lambda core: one_unit(core, "linear"), {}),
    "two heads": (lambda core: with_two_heads(core, named=False), {"head": "1"}),
    "two named heads": (lambda core: with_two_heads(core, named=True), {"head": "diagnosis"}),
    "dictionaries": (of_a_dictionary, {}),
    "other order": (
        lambda core: keras.Model(core.inputs, keras.ops.flip(core.outputs[0], axis=-1)),
        {"labels": "1, 0"},
    ),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_network_in_any_wrapping_has_the_same_margins_and_gradients(tmp_path, core, draw, wrapping):
    stored = draw.integers(0, 256, (9, *COLOUR)).astype(np.uint8)
    images = stored.astype(np.float32) / np.float32(255)
    make, told = WRAPPINGS[wrapping]
    path = tmp_path / "model.keras"
    make(core).save(path)
    opened = open_model(path, COLOUR, 2, interface=Interface.parse(**told))
    expected, slopes = margins_and_slopes(core, images)
    found = margins_and_slopes(
        lambda images: opened.logits_of(opened.keras(opened.prepared(images), training=False)), images
    )
    np.testing.assert_allclose(found[0], expected, atol=2e-3)
    np.testing.assert_allclose(found[1], slopes, atol=2e-3)
    np.testing.assert_allclose(np.diff(opened.target.logits(images))[:, 0], expected, atol=2e-3)


def margins_and_slopes(model, images):
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = model(images)
        margins = logits[:, 1] - logits[:, 0]
    return margins, tape.gradient(margins, images)


def test_what_was_recognised_is_said(core):
    whole = open_model(WRAPPINGS["whole numbers"][0](core), COLOUR, 2)
    assert whole.notes[0] == "input format uint8: as its first layers show"
    assert "BPDA" in whole.notes[1]
    assert open_model(core, COLOUR, 2).notes == ()
    first = open_model(WRAPPINGS["channels first"][0](core), COLOUR, 2)
    assert first.notes == ("input format 0..1 channels-first: as its first layers show",)
    interface = Interface.parse("0..1", "1,0", "diagnosis")
    told = open_model(with_two_heads(core, named=True), COLOUR, 2, interface=interface)
    assert told.notes == (
        "of its outputs, 'diagnosis' was taken",
        "class order 1, 0: as given",
    )
    scaled_inside = keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=2)
    assert open_model(scaled_inside, (28, 28, 1), 2).format == InputFormat(0.0, 255.0)


@pytest.mark.parametrize("mode", ["mobilenet_v2", "resnet", "densenet"])
def test_the_preprocessing_of_keras_applications_is_recognised(mode):
    inputs = keras.Input(COLOUR)
    x = getattr(keras.applications, mode).preprocess_input(keras.layers.RandomFlip()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert open_model(model, COLOUR, 2).format == InputFormat(0.0, 255.0)


def test_a_model_that_shows_none_of_its_layers_is_put_behind_an_input(core, draw):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.core = core

        def call(self, images):
            return self.core(images)

    images = draw.random((3, *COLOUR)).astype(np.float32)
    np.testing.assert_allclose(open_model(Own(), COLOUR, 2).answers(images), core(images), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "told", "message"),
    [
        (lambda core: with_two_heads(core, True), {}, r"it has 2 outputs, 0: 'diagnosis' \(2,\), 1: 'side'"),
        (lambda core: with_two_heads(core, True), {"head": "third"}, "head = 'third': it has no such output"),
        (
            lambda core: keras.Model(
                [core.inputs[0], age := keras.Input((1,), name="age")],
                keras.layers.Dense(2)(keras.layers.Concatenate()([core.outputs[0], age])),
            ),
            {},
            r"it takes 2 inputs \(.*'age' \(1,\)\); one batch of images is wanted",
        ),
        (WRAPPINGS["whole numbers"][0], {"input": "0..1"}, "its input is uint8, whole numbers from 0 to 255"),
        (lambda core: core, {"input": "mean=0.5 0.5"}, "2 numbers in mean; .* takes images of 3 channels"),
    ],
)
def test_what_was_told_and_does_not_fit_is_refused(core, make, told, message):
    with pytest.raises(FedrobustError, match=message):
        open_model(make(core), COLOUR, 2, interface=Interface.parse(**told))
