"""Triggers that a network sees after it has resized images, and those that it does not."""

from dataclasses import dataclass

import numpy as np
import pytest

from fedrobust.poisoning import Attack, AttackContext
from fedrobust.poisoning.data.markers import MARKERS
from fedrobust.poisoning.data.visibility import contrast, resized


@dataclass(frozen=True)
class Problem:
    image_shape: tuple[int, int, int]
    classes: int = 2


def require(text, side, image_size, channels=1, classes=2):
    Attack.parse(text).require(Problem((side, side, channels), classes), image_size)


BACKDOORS = (
    *("pixel-backdoor", "blended-backdoor", "distributed-backdoor", "clean-label-backdoor"),
    *(f"semantic-backdoor(trigger='{trigger}')" for trigger in MARKERS),
)


@pytest.mark.parametrize("name", BACKDOORS)
@pytest.mark.parametrize(
    ("side", "image_size"), [(28, 32), (28, 28), (64, 32), (128, 32), (224, 32), (224, 224), (32, 16)]
)
def test_by_default_triggers_outlive_resizing(name, side, image_size):
    for channels in (1, 3):
        require(name, side, image_size, channels)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("pixel-backdoor(size=1)", 224),
        ("distributed-backdoor(length=1)", 512),
        ("pixel-backdoor(size=2)", 512),
    ],
)
def test_triggers_that_vanish_are_refused(text, side):
    with pytest.raises(
        ValueError, match=f"all but vanishes where the network resizes images from {side} x {side}"
    ):
        require(text, side, 32)
    require(text, side, side)


def test_the_chequer_of_single_pixels_would_have_vanished():
    def chequer(images):
        images = images.copy()
        images[:, -4:, -4:] = np.where(np.indices((4, 4)).sum(0) % 2, 0, 255)[:, :, None]
        return images

    stored, seen = contrast(chequer, (224, 224, 1), 0), contrast(chequer, (224, 224, 1), 32)
    assert stored > 200
    assert seen < 40
    scaled = contrast(
        lambda images: Attack.parse("pixel-backdoor").parts[0].stamped(images, AttackContext()),
        (224, 224, 1),
        32,
    )
    assert scaled > 0.7 * stored


@pytest.mark.parametrize(
    ("text", "side", "message"),
    [
        ("pixel-backdoor(size=40)", 28, "size = 40: images are 28 x 28; choose a side up to 28"),
        ("pixel-backdoor(size=65)", 64, "choose a side up to 64"),
        ("distributed-backdoor(length=20)", 28, "bar 2 runs out of an image of 28 x 28"),
        ("distributed-backdoor(parts=40)", 28, "bar 19 runs out"),
        ("distributed-backdoor(parts=1, length=28)", 28, "bar 1 runs out"),
        ("blended-backdoor(strength=0.001)", 28, "nothing of the trigger is left in images of 8 bits"),
        ("pixel-backdoor(target=2)", 28, "target = 2: the data set has classes 0 to 1"),
        ("blended-backdoor(target=7)", 28, "classes 0 to 1"),
        ("label-flip(kind='targeted', source=0, target=9)", 28, "target = 9"),
        ("label-flip(kind='targeted', source=5, target=1)", 28, "source = 5"),
        ("edge-case(source=3)", 28, "source = 3"),
        ("edge-case(target=2)", 28, "target = 2"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(text, side, message):
    with pytest.raises(ValueError, match=message):
        require(text, side, 32)


@pytest.mark.parametrize(
    "text", ["pixel-backdoor(size=28)", "distributed-backdoor(parts=18)", "label-flip", "alie", "none"]
)
def test_what_just_fits_is_taken(text):
    require(text, 28, 28)


def test_of_nine_classes_the_last_can_be_wanted():
    require("pixel-backdoor(target=8) + scaling", 28, 32, channels=3, classes=9)


def test_stored_at_28_pixels_triggers_are_what_they_were():
    black = np.zeros((1, 28, 28, 1), np.uint8)
    square = Attack.parse("pixel-backdoor").parts[0].stamped(black, AttackContext())[0, :, :, 0]
    assert square[24:, 24:].tolist() == [[255, 0, 255, 0], [0, 255, 0, 255]] * 2
    assert square.sum() == 8 * 255
    bars = Attack.parse("distributed-backdoor").parts[0].stamped(black, AttackContext())[0, :, :, 0]
    assert [np.flatnonzero(bars[row]).tolist() for row in (1, 4)] == [[1, 2, 3, 4, 5, 8, 9, 10, 11, 12]] * 2
    assert bars.sum() == 20 * 255


@pytest.mark.parametrize(
    ("old", "new"), [((28, 28), (32, 32)), ((224, 224), (32, 32)), ((30, 50), (40, 20)), ((9, 9), (9, 9))]
)
def test_images_are_resized_as_the_model_does(old, new, draw):
    preparation = pytest.importorskip("fedrobust.models.preparation")
    images = draw.random((2, *old, 3)).astype(np.float32)
    theirs = preparation.Preparation((*old, 3), (*new, 3))(images)
    np.testing.assert_allclose(resized(images, new), np.asarray(theirs), atol=2e-5)


def test_shrinking_widens_the_kernel_and_growing_does_not(draw):
    # Triangles around the new centres, half as wide as the larger of old and new pixels; weights by hand.
    halved = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    doubled = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    images = draw.random((3, 4, 2, 1))
    expected = np.einsum("ij,njkc->nikc", halved, images)
    np.testing.assert_allclose(resized(images, (2, 2)), expected, rtol=1e-12)
    np.testing.assert_allclose(
        resized(images, (2, 4)), np.einsum("lk,nikc->nilc", doubled, expected), rtol=1e-12
    )
    np.testing.assert_array_equal(resized(images, (4, 2)), images)
    turned = images.transpose(0, 2, 1, 3)
    np.testing.assert_allclose(resized(turned, (2, 2)), expected.transpose(0, 2, 1, 3), rtol=1e-12)
