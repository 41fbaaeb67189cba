import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.preparation import Preparation


@pytest.mark.parametrize(
    ("native", "prepared", "replicates", "resizes", "shrinks"),
    [
        ((8, 8, 1), (8, 8, 1), False, False, False),
        ((8, 8, 1), (8, 8, 3), True, False, False),
        ((8, 8, 3), (8, 8, 3), False, False, False),
        ((8, 8, 3), (9, 8, 3), False, True, False),
        ((8, 8, 1), (8, 9, 1), False, True, False),
        ((9, 8, 1), (8, 8, 1), False, True, True),
        ((8, 9, 1), (8, 8, 3), True, True, True),
        ((8, 9, 1), (9, 8, 1), False, True, True),
    ],
)
def test_what_an_image_goes_through(native, prepared, replicates, resizes, shrinks):
    preparation = Preparation(native, prepared)
    assert (preparation.replicates, preparation.resizes, preparation.shrinks) == (
        replicates,
        resizes,
        shrinks,
    )
    assert preparation(tf.zeros((2, *native))).shape == (2, *prepared)


def test_an_image_that_fits_is_passed_on_as_it_is(draw):
    images = tf.constant(draw.random((2, 8, 8, 3)), tf.float32)
    assert Preparation((8, 8, 3), (8, 8, 3))(images) is images


def test_grey_becomes_three_equal_channels(draw):
    images = draw.random((2, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(Preparation((8, 8, 1), (8, 8, 3))(images), np.tile(images, (1, 1, 1, 3)))


def test_growing_interpolates_and_shrinking_smooths():
    """Bilinear weights of half-pixel centres; shrinking by half averages with the triangle 1, 3, 3, 1."""
    ramp = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1)
    grown = Preparation((1, 2, 1), (1, 4, 1))(ramp).numpy().ravel()
    np.testing.assert_allclose(grown, [0.0, 0.25, 0.75, 1.0], atol=1e-6)
    step = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32).reshape(1, 1, 8, 1)
    shrunk = Preparation((1, 8, 1), (1, 4, 1))(step).numpy().ravel()
    np.testing.assert_allclose(shrunk, [0, 1 / 8, 7 / 8, 1], atol=1e-6)
