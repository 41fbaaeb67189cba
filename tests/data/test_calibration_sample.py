import numpy as np
import pytest

from fedrobust.data import calibration_sample as module
from fedrobust.data.calibration_sample import MOST_IMAGES, calibration_count, calibration_sample
from fedrobust.data.dataset import Split


def split(counts, side=4):
    """Images sorted by class whose first two grey levels are their place in the split."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    images = np.zeros((len(labels), side, side, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(len(labels)), 256)
    return Split(images, labels)


def places(sample):
    return sample.images[:, 0, 0, 0].astype(int) * 256 + sample.images[:, 0, 1, 0]


def test_a_small_split_is_taken_whole():
    given = split([700, 324])
    assert len(given) == MOST_IMAGES
    assert calibration_sample(given, seed=3) is given


def test_a_large_split_is_drawn_from_end_to_end():
    """Of 5,000, 2,500 and 500 images: shares of 640, 320 and 64, spread over each class and not its first ones."""
    given = split([5000, 2500, 500])
    found = calibration_sample(given, seed=3)
    assert found.counts(3).tolist() == [640, 320, 64]
    rows = places(found)
    assert (np.diff(rows) > 0).all()
    assert (given.labels[rows] == found.labels).all()
    for label, (start, size) in enumerate(((0, 5000), (5000, 2500), (7500, 500))):
        inside = (rows[found.labels == label] - start) / size
        # The mean of k uniform numbers is 1/2, give or take 1 / sqrt(12 k).
        assert inside.mean() == pytest.approx(0.5, abs=3 / np.sqrt(12 * len(inside)))
        assert inside.max() > 0.9


def test_the_seed_says_which():
    given = split([3000, 1000])
    one, same, other = (places(calibration_sample(given, seed)) for seed in (1, 1, 2))
    assert one.tolist() == same.tolist()
    assert one.tolist() != other.tolist()


def test_large_images_are_fewer(monkeypatch):
    monkeypatch.setattr(module, "MOST_VALUES", 1000)
    assert calibration_count(split([100], side=4)) == 62
    assert len(calibration_sample(split([60, 40], side=4), 0)) == 62
    assert calibration_count(split([100], side=40)) == 1
