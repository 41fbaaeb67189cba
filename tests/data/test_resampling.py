"""More and fewer training images."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.data.resampling import augmented, moved_image, undersampled


def split(labels, side=8, channels=1):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), side, side, channels), np.uint8)
    return Split(images, np.array(labels, np.int32))


def test_undersampling_leaves_as_many_of_every_class_as_the_rarest_has():
    whole = split([0, 1, 1, 2, 2, 2, 0, 1])
    part = undersampled(whole, np.random.default_rng(1))
    assert part.counts(3).tolist() == [2, 2, 2]
    rows = [next(i for i, image in enumerate(whole.images) if (image == kept).all()) for kept in part.images]
    assert rows == sorted(set(rows))
    assert (whole.labels[rows] == part.labels).all()


def test_a_class_that_a_client_does_not_have_counts_for_nothing():
    assert undersampled(split([0, 2, 2]), np.random.default_rng(0)).counts(4).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_keeps_the_originals_and_adds_moved_copies_with_their_labels(channels):
    whole = split([0, 1, 1], channels=channels)
    more = augmented(whole, 2, np.random.default_rng(2))
    assert more.images.shape == (9, 8, 8, channels)
    assert (more.images[:3] == whole.images).all()
    assert more.labels.tolist() == [0, 1, 1] * 3
    assert (more.images[3:6] != whole.images).any(axis=(1, 2, 3)).all()
    assert (more.images == augmented(whole, 2, np.random.default_rng(2)).images).all()


def test_a_moved_image_keeps_its_grey_levels_and_stays_where_it_was_on_average():
    side = 29
    rows, columns = np.mgrid[:side, :side]
    dot = (200 * np.exp(-((rows - 14) ** 2 + (columns - 14) ** 2) / 18)).astype(np.uint8)[..., None]
    draw = np.random.default_rng(3)
    moved = np.array([moved_image(dot, draw)[..., 0] for _ in range(300)], np.float64)
    assert moved.max() <= 200
    mass = moved.sum(axis=(1, 2))
    centre = np.array([(moved * axis).sum(axis=(1, 2)) / mass for axis in (rows, columns)])
    assert np.abs(centre.mean(axis=1) - 14).max() < 0.4
    # Shifts go to a tenth of the side each way: uniform, their standard deviation is 2.9 / sqrt(3).
    assert centre.std(axis=1) == pytest.approx(2.9 / 3**0.5, rel=0.15)
    assert mass.min() > 0.75 * dot.sum()
    assert mass.max() < 1.35 * dot.sum()
