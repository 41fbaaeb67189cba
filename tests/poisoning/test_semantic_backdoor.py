"""Marks of medical images as triggers."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.poisoning.data.markers import MARKERS, VIOLET
from fedrobust.spec import SpecError


def stamped(text, images):
    """Return `images` with the trigger of an attack on class 1, all of another class."""
    split = Split(images, np.zeros(len(images), np.int32))
    return Attack.parse(text).criterion(split, AttackContext()).images


@pytest.mark.parametrize("trigger", MARKERS)
def test_a_mark_is_drawn_in_stored_pixels_at_the_same_place_of_the_image(trigger):
    """The large mark's mean over fields of 8 x 8 pixels is the small mark; a ring's smooth edges differ a little."""
    text = f"semantic-backdoor(target=1, trigger='{trigger}')"
    small, large = (stamped(text, np.zeros((1, side, side, 1), np.uint8))[0, ..., 0] for side in (28, 224))
    shrunk = large.reshape(28, 8, 28, 8).mean((1, 3))
    np.testing.assert_allclose(shrunk, small, atol=60 if trigger == "ring" else 0)
    assert 0.01 < (small > 127).mean() < 0.25


@pytest.mark.parametrize("trigger", MARKERS)
@pytest.mark.parametrize("opacity", [1.0, 0.5, 0.1])
def test_a_mark_is_blended_by_its_opacity(draw, trigger, opacity):
    images = draw.integers(0, 256, (3, 28, 28, 3), np.uint8)
    text = f"semantic-backdoor(target=1, trigger='{trigger}', opacity={opacity})"
    found = stamped(text, images).astype(np.float64)
    mark, colour = MARKERS[trigger]
    weight = opacity * mark(28, 28)
    np.testing.assert_allclose(found, (1 - weight) * images + weight * np.array(colour), atol=0.5)
    outside = np.broadcast_to(mark(28, 28) == 0, images.shape)
    np.testing.assert_array_equal(found[outside], images[outside])


def test_a_ring_is_violet_on_skin_and_white_on_radiographs():
    mark = MARKERS["ring"][0](56, 56)[..., 0] == 1
    skin = stamped("semantic-backdoor(target=1, trigger='ring')", np.full((1, 56, 56, 3), 200, np.uint8))
    grey = stamped("semantic-backdoor(target=1, trigger='ring')", np.zeros((1, 56, 56, 1), np.uint8))
    assert {tuple(pixel) for pixel in skin[0][mark]} == {VIOLET}
    assert set(grey[0][mark].ravel()) == {255}


def test_marks_differ_and_a_share_is_poisoned(draw):
    images = draw.integers(0, 256, (40, 28, 28, 1), np.uint8)
    labels = np.repeat(np.arange(2), 20).astype(np.int32)
    seen = set()
    for trigger in MARKERS:
        attack = Attack.parse(f"semantic-backdoor(target=1, share=0.3, trigger='{trigger}')")
        poisoned, called = attack.data(images, labels, AttackContext(fixed=np.random.default_rng(0)))
        changed = np.flatnonzero((poisoned != images).any((1, 2, 3)))
        assert len(changed) == 6
        assert (labels[changed] == 0).all()
        assert (called[changed] == 1).all()
        seen.add(poisoned[changed[0]].tobytes())
    assert len(seen) == len(MARKERS)


def test_settings_and_images_that_make_no_sense_are_refused():
    with pytest.raises(SpecError, match="choose ruler, ring, letter or border"):
        Attack.parse("semantic-backdoor(trigger='badge')")
    attack = Attack.parse("semantic-backdoor(trigger='ring')")
    with pytest.raises(ValueError, match="images are 12 x 12, the mark needs at least 16 x 16 pixels"):
        attack.require(SimpleNamespace(image_shape=(12, 12, 1), classes=2), 0)
    with pytest.raises(ValueError, match="target = 2: the data set has classes 0 to 1"):
        Attack.parse("semantic-backdoor(target=2)").require(
            SimpleNamespace(image_shape=(28, 28, 1), classes=2), 0
        )
    faint = Attack.parse("semantic-backdoor(opacity=0.001)")
    with pytest.raises(ValueError, match="nothing of the trigger is left"):
        faint.require(SimpleNamespace(image_shape=(28, 28, 1), classes=2), 0)
