import keras
import numpy as np
import pytest

from fedrobust.errors import FedrobustError
from fedrobust.evasion import Threat, attack
from fedrobust.evasion.model_file import open_model

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
    views = [opened.target.victim.images(stored) for opened in (native, prepared)]
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
        (lambda: network(3), 2, "answers with 3 numbers, the data have 2 classes"),
        (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)]), 2, "one batch of images"),
        (lambda: network(shape=(12, 12, 2)), 2, "images of 2 channels"),
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
