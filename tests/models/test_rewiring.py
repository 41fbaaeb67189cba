"""Models of others, rewired to one input, one output, any number of images, and logits."""

import keras
import numpy as np
import pytest

from fedrobust.models.ending import ending, last_operation
from fedrobust.models.keras_file import ModelFileError
from fedrobust.models.rewiring import (
    OWN_FUNCTION,
    with_one_head,
    with_one_input,
    with_open_input,
    without_activation,
)

COLOUR = (4, 4, 3)


@pytest.fixture
def images(draw):
    return draw.random((5, *COLOUR)).astype(np.float32)


def pooled(inputs, units=2, **settings):
    return keras.layers.Dense(units, **settings)(keras.layers.GlobalAveragePooling2D()(inputs))


def network(units=2, dtype="float32", batch=None, **settings):
    inputs = keras.Input(batch_shape=(batch, *COLOUR), dtype=dtype)
    return keras.Model(inputs, pooled(inputs, units, **settings))


class Own(keras.Model):
    """Shows nothing of its layers."""

    def __init__(self, fails=False):
        super().__init__()
        self.inner, self.fails = network(), fails

    def call(self, images):
        if self.fails:
            raise RuntimeError("volumes alone")
        return self.inner(images)


def refusal(function, *arguments):
    with pytest.raises(ModelFileError) as refused:
        function(*arguments)
    return str(refused.value)


def test_a_model_of_one_batch_of_images_is_passed_on_as_it_is():
    model = network()
    assert with_one_input(model, "net", COLOUR) is model
    never_called = keras.Sequential([keras.Input(COLOUR), keras.layers.Flatten()])
    assert with_one_input(never_called, "net", COLOUR) is never_called


def test_a_dictionary_of_one_entry_becomes_that_entry(images):
    scan = keras.Input(COLOUR, name="scan")
    model = keras.Model({"scan": scan}, pooled(scan))
    opened = with_one_input(model, "net", COLOUR)
    assert not isinstance(opened.input, dict)
    np.testing.assert_array_equal(opened(images), model({"scan": images}))


def test_a_model_that_shows_nothing_is_put_behind_an_input(images):
    model = Own()
    opened = with_one_input(model, "net", COLOUR)
    assert opened.inputs[0].shape == (None, *COLOUR)
    np.testing.assert_allclose(opened(images), model.inner(images), rtol=1e-6)


def test_other_inputs_are_refused_with_their_names_and_shapes():
    image, age = keras.Input(COLOUR, name="image"), keras.Input((1,), name="age")
    model = keras.Model([image, age], keras.layers.Concatenate()([pooled(image), age]))
    assert refusal(with_one_input, model, "net", COLOUR) == (
        "net: it takes 2 inputs ('image' (4, 4, 3), 'age' (1,)); one batch of images is wanted: fix the others in a "
        f"Keras model of the images alone, {OWN_FUNCTION}"
    )
    rows = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    assert refusal(with_one_input, rows, "net", COLOUR) == (
        "net: its input is (None, 5); one batch of images is wanted, (n, height, width, channels): put a Reshape layer "
        f"before it, {OWN_FUNCTION}"
    )
    assert refusal(with_one_input, Own(fails=True), "net", COLOUR) == (
        "net: a subclassed model, whose layers cannot be inspected and which does not take images of (4, 4, 3) "
        f"(volumes alone); build it with keras.Input and keras.Model, {OWN_FUNCTION}"
    )


def with_heads(*units, as_dictionary=False, names=()):
    inputs = keras.Input(COLOUR)
    names = names or [f"head{number}" for number in range(len(units))]
    heads = [pooled(inputs, each, name=name) for each, name in zip(units, names, strict=True)]
    return keras.Model(inputs, dict(zip("abcd", heads, strict=False)) if as_dictionary else heads)


@pytest.mark.parametrize(
    ("units", "as_dictionary", "head", "classes", "index", "name"),
    [
        ((3, 2), False, "", 3, 0, "head0"),
        ((3, 2), False, "", 2, 1, "head1"),
        ((3, 1), False, "", 2, 1, "head1"),
        ((3, 1), True, "", 3, 0, "a"),
        ((1, 3), True, "", 3, 1, "b"),
        ((2, 2), False, "1", 2, 1, "head1"),
        ((2, 2), False, "0", 5, 0, "head0"),
        ((2, 2), False, "head0", 2, 0, "head0"),
        ((2, 2), True, "b", 2, 1, "b"),
        ((2, 2, 2), True, "2", 2, 2, "c"),
        ((2,), False, "", 2, 0, ""),
        ((2,), True, "", 2, 0, ""),
        ((2,), True, "0", 2, 0, ""),
        ((2,), True, "a", 2, 0, ""),
    ],
)
def test_the_head_that_was_told_or_fits_the_data_alone_is_taken(
    images, units, as_dictionary, head, classes, index, name
):
    model = with_heads(*units, as_dictionary=as_dictionary)
    opened, taken = with_one_head(model, "net", head, classes)
    assert taken == name
    np.testing.assert_array_equal(opened(images), keras.tree.flatten(model(images))[index])
    assert not isinstance(opened.output, dict | list | tuple)


def test_a_model_of_one_bare_output_is_passed_on_and_may_be_told_its_head():
    model = network(5)
    opened, taken = with_one_head(model, "net", "", 2)
    assert (opened is model, taken) == (True, "")
    _, taken = with_one_head(model, "net", "0", 2)
    assert taken == ""


def test_maps_and_vectors_of_other_lengths_fit_no_data():
    inputs = keras.Input(COLOUR)
    model = keras.Model(
        inputs, [pooled(inputs, 1, name="risk"), keras.layers.Conv2D(3, 1, name="map")(inputs)]
    )
    assert refusal(with_one_head, model, "net", "", 3) == (
        "net: it has 2 outputs, 0: 'risk' (1,), 1: 'map' (4, 4, 3); name the one that tells the data's 3 classes: "
        "--head risk"
    )


def test_heads_that_are_not_there_or_not_alone_are_refused_with_a_list():
    listed = "0: 'head0' (3,), 1: 'head1' (2,), 2: 'head2' (2,)"
    model = with_heads(3, 2, 2)
    assert refusal(with_one_head, model, "net", "", 2) == (
        f"net: it has 3 outputs, {listed}; name the one that tells the data's 2 classes: --head head1"
    )
    for head in ("3", "other", "-1"):
        assert refusal(with_one_head, model, "net", head, 2) == (
            f"net: head = {head!r}: it has no such output; choose one of {listed}"
        )


def test_outputs_of_one_name_go_by_their_numbers(images):
    """One layer called twice gives two outputs of its name."""
    inputs = keras.Input(COLOUR)
    layer = keras.layers.Dense(2, name="twice")
    means, greatest = keras.layers.GlobalAveragePooling2D()(inputs), keras.layers.GlobalMaxPooling2D()(inputs)
    model = keras.Model(inputs, [layer(means), layer(greatest)])
    opened, taken = with_one_head(model, "net", "1", 2)
    assert taken == "1"
    np.testing.assert_array_equal(opened(images), model(images)[1])
    with pytest.raises(ModelFileError, match=r"0: '0' \(2,\), 1: '1' \(2,\)"):
        with_one_head(model, "net", "", 2)


def test_a_nested_dictionary_has_numbers_for_names():
    inputs = keras.Input(COLOUR)
    model = keras.Model(inputs, {"a": {"b": pooled(inputs, 2), "c": pooled(inputs, 3)}})
    assert with_one_head(model, "net", "", 3)[1] == "1"


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("dtype", "batch"), [("float32", 5), ("uint8", None), ("int32", 3), ("float16", 2)])
def test_closed_inputs_are_opened_and_the_layers_shared(images, dtype, batch, nested):
    inputs = keras.Input(batch_shape=(batch, *COLOUR), dtype=dtype)
    model = keras.Model(inputs, pooled(keras.layers.Rescaling(1 / 255)(inputs)))
    if nested:
        outer = keras.Input(COLOUR)
        model = keras.Model(outer, model(outer))
    opened = with_open_input(model, "net")
    assert (opened.inputs[0].shape, opened.inputs[0].dtype) == ((None, *COLOUR), "float32")
    assert [id(variable) for variable in opened.variables] == [id(variable) for variable in model.variables]
    kernel, bias = (variable.numpy() for variable in model.variables)
    np.testing.assert_allclose(opened(images), images.mean((1, 2)) / 255 @ kernel + bias, atol=1e-6)
    assert opened(np.tile(images, (2, 1, 1, 1))).shape == (10, 2)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_open_input_of_floats_stays(dtype):
    model = network(dtype=dtype)
    assert with_open_input(model, "net") is model


class OnlyOf(keras.layers.Layer):
    """Refuses what it was not built for."""

    def __init__(self, shape, dtype_name):
        super().__init__(autocast=False)
        self.only = (*shape, dtype_name)

    def call(self, x):
        if (*x.shape, keras.backend.standardize_dtype(x.dtype)) != self.only:
            raise ValueError("made for a fixed number")
        return keras.ops.mean(keras.ops.cast(x, "float32"), axis=(1, 2))


@pytest.mark.parametrize(
    ("batch", "dtype", "number"), [(7, "float32", "7"), (None, "uint8", "any number of")]
)
def test_what_depends_on_the_number_or_the_kind_is_refused(batch, dtype, number):
    inputs = keras.Input(batch_shape=(batch, *COLOUR), dtype=dtype)
    model = keras.Model(inputs, OnlyOf((batch, *COLOUR), dtype)(inputs))
    assert refusal(with_open_input, model, "net") == (
        f"net: it takes batches of exactly {number} images of {dtype} (made for a fixed number); save it with an input "
        "of float32 whose batch is None"
    )


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


ENDINGS = {
    "Dense softmax": (lambda x: pooled(x, 3, activation="softmax"), "softmax"),
    "Dense sigmoid": (lambda x: pooled(x, 1, activation="sigmoid"), "sigmoid"),
    "Softmax": (lambda x: keras.layers.Softmax()(pooled(x, 3)), "softmax"),
    "Activation": (lambda x: keras.layers.Activation("softmax")(pooled(x, 3)), "softmax"),
    "ops.softmax": (lambda x: keras.ops.softmax(pooled(x, 3)), "softmax"),
    "ops.sigmoid": (lambda x: keras.ops.sigmoid(pooled(x, 1)), "sigmoid"),
    "inside": (lambda x: network(3, activation="softmax")(x), "softmax"),
    "deep inside": (
        lambda x: keras.Sequential([keras.Input(COLOUR), network(3, activation="softmax")])(x),
        "softmax",
    ),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_softmax_and_sigmoid_are_seen_and_taken_off_wherever_they_are(images, kind):
    make, expected = ENDINGS[kind]
    inputs = keras.Input(COLOUR)
    model = keras.Model(inputs, make(inputs))
    assert ending(model) == expected
    before = np.asarray(model(images))
    bare, was_taken = without_activation(model)
    logits = np.asarray(bare(images))
    assert was_taken
    assert ending(bare) == ""
    again = softmax(logits) if expected == "softmax" else 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(again, before, rtol=1e-5)
    kernel, bias = (variable.numpy() for variable in model.variables)
    np.testing.assert_allclose(logits, images.mean((1, 2)) @ kernel + bias, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model(images), before, err_msg="the model given stays")


def test_the_first_of_two_calls_keeps_its_own_input(images):
    """What a shared layer is given in the call that computes the output, not in its other one."""
    inputs = keras.Input(COLOUR)
    head = keras.layers.Dense(2, activation="softmax")
    means, greatest = keras.layers.GlobalAveragePooling2D()(inputs), keras.layers.GlobalMaxPooling2D()(inputs)
    first, _ = head(means), head(greatest)
    bare, _ = without_activation(keras.Model(inputs, first))
    kernel, bias = (variable.numpy() for variable in head.variables)
    np.testing.assert_allclose(bare(images), images.mean((1, 2)) @ kernel + bias, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_other_endings_stay(activation):
    model = network(activation=activation)
    assert ending(model) == ""
    opened, was_taken = without_activation(model)
    assert (opened is model, was_taken) == (True, False)


def test_a_model_that_shows_no_output_has_no_last_operation():
    assert last_operation(Own()) is None
    assert ending(Own()) == ""
    model = network()
    assert last_operation(model) is model.layers[-1]
