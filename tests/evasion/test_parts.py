"""Small parts of attacks and of models under attack, by closed forms."""

import keras
import numpy as np
import pytest

from fedrobust.evasion import open_model
from fedrobust.evasion.attacks.query import directions, one_pixel
from fedrobust.evasion.models.predictor import Predictor, PredictorError
from fedrobust.evasion.rng import keys_of
from fedrobust.models.input_format import InputFormat
from fedrobust.models.interface import Interface

SHAPE = (4, 4, 1)


@pytest.mark.parametrize(
    ("count", "n", "parts"),
    [(7, 2, [3, 3, 1]), (6, 2, [3, 3]), (2, 2, [2]), (3, 100, [1, 1, 1]), (4, 0, [4])],
)
def test_directions_are_asked_in_parts_that_fit_and_add_up(monkeypatch, count, n, parts):
    monkeypatch.setattr(directions, "MOST_VALUES", 3 * 2 * 16)
    assert directions.parts_of(count, n, SHAPE) == parts


@pytest.mark.parametrize("population", [4, 5, 6, 50])
def test_a_child_has_three_different_parents_beside_its_own(population):
    one, two, three = one_pixel._others(keys_of(0, np.arange(40)), 3, population)
    parent = np.broadcast_to(np.arange(population), one.shape)
    four = np.stack([parent, one, two, three])
    assert four.min() == 0
    assert four.max() == population - 1
    assert (np.diff(np.sort(four, axis=0), axis=0) > 0).all()
    if population == 50:
        counts = np.bincount((three - parent).ravel() % population, minlength=population)[1:]
        assert counts.min() > 0, "every other member can be one"


def brightness(images):
    """Return two logits that tell images brighter than grey from darker ones."""
    score = images.mean(axis=(1, 2, 3)) - 0.5
    return np.stack([-score, score], axis=1)


def test_a_function_is_named_by_itself_and_answers_in_its_own_class_order():
    target = Predictor.of(brightness, SHAPE, 2, interface=Interface(labels=(1, 0)))
    assert target.name == "brightness"
    assert Predictor.of(brightness, SHAPE, 2, name="grey").name == "grey"
    bright = np.ones((3, *SHAPE), np.float32)
    assert target.labels == (1, 0)
    assert target.logits(bright).argmax(axis=1).tolist() == [0, 0, 0]
    assert Predictor.of(brightness, SHAPE, 2).logits(bright).argmax(axis=1).tolist() == [1, 1, 1]


def test_a_function_without_images_has_slopes_without_rows():
    def gradient(images, vectors):
        return np.broadcast_to(((vectors[:, 1] - vectors[:, 0]) / 16)[:, None, None, None], images.shape)

    target = Predictor.of(brightness, SHAPE, 2, gradient=gradient)
    none = target.gradient(np.zeros((0, *SHAPE), np.float32), np.zeros(0, np.int32), "margin")
    assert (none.logits.shape, none.losses.shape, none.gradients.shape) == ((0, 2), (0,), (0, *SHAPE))


def test_what_a_function_does_wrong_is_said_with_its_name():
    def broken(images):
        raise ValueError("no such layer")

    with pytest.raises(PredictorError, match=r"broken: predict .*no such layer"):
        Predictor.of(broken, SHAPE, 2)
    with pytest.raises(Exception, match="brightness"):
        Predictor.of(
            brightness, SHAPE, 2, interface=Interface(input=InputFormat.parse("mean=0.5 0.5,std=1 1"))
        )


@pytest.mark.parametrize("activation", ["linear", "softmax"])
def test_raw_logits_are_those_of_all_images_whatever_the_batch(activation, draw):
    inputs = keras.Input(SHAPE)
    dense = keras.layers.Dense(
        3, activation=activation, kernel_initializer=keras.initializers.RandomNormal(seed=2)
    )
    opened = open_model(keras.Model(inputs, dense(keras.layers.Flatten()(inputs))), SHAPE, 3)
    images = draw.random((130, *SHAPE)).astype(np.float32)
    logits = images.reshape(130, 16) @ dense.get_weights()[0]
    found = opened.raw(images, InputFormat.parse("0..1"))
    assert found.shape == (130, 3)
    centred = [each - each.mean(axis=1, keepdims=True) for each in (found, logits)]
    np.testing.assert_allclose(*centred, atol=1e-5)
    np.testing.assert_allclose(
        opened.raw(images[:2], InputFormat.parse("0..1"), batch_size=1), found[:2], atol=1e-6
    )
