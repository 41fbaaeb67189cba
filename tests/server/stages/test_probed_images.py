"""The images that are attacked after a round: rare classes count where each weighs the same."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from server.stages.probed_images import PROBED, ProbedImages

DERMA = [33, 52, 110, 12, 111, 671, 14]
"""Validation images of DermaMNIST by class."""


def split(counts) -> Split:
    """Return a split with so many images of each class, each of which is one of a kind, in random order."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(len(labels)), 256)
    return Split(images, labels)


def by_class(probed: ProbedImages, classes: int) -> list[int]:
    return np.bincount(probed.images.labels, minlength=classes).tolist()


def test_rare_classes_are_probed_as_much_as_there_are_images():
    assert by_class(ProbedImages.of(split(DERMA)), 7) == [4, 7, 14, 1, 14, 86, 2]
    assert by_class(ProbedImages.of(split(DERMA), evenly=True), 7) == [20, 20, 20, 12, 21, 86, 14]


@pytest.mark.parametrize("recall", [0.2, 0.34, 0.5])
def test_the_balanced_accuracy_varies_less_than_half_as_much(recall):
    plain, evenly = (ProbedImages.of(split(DERMA), one) for one in (False, True))
    draw, found = np.random.default_rng(1), {False: [], True: []}
    for _ in range(2000):
        for one, probed in ((False, plain), (True, evenly)):
            right = draw.random(len(probed.images)) < recall
            found[one].append(probed.accuracies(right)[1])
    assert np.std(found[False]) > 0.075
    assert np.std(found[True]) < 0.045


@pytest.mark.parametrize(
    "counts", [DERMA, [900, 80, 20], [1, 5000], [64, 64], [10, 20], [300, 0, 3], [2] * 90]
)
def test_at_most_twice_as_many_images_and_the_accuracy_is_that_of_the_same_ones(counts):
    images = split(counts)
    plain, evenly = ProbedImages.of(images), ProbedImages.of(images, evenly=True)
    sample = images.sample(PROBED)
    np.testing.assert_array_equal(plain.images.images, sample.images)
    np.testing.assert_array_equal(evenly.images.images[: evenly.plain], sample.images)
    assert plain.plain == evenly.plain == len(sample)
    assert len(evenly.images) <= 2 * PROBED
    assert len(np.unique(evenly.images.images.reshape(-1, 4), axis=0)) == len(evenly.images), "none twice"
    classes = np.count_nonzero(counts)
    least = [min(count, PROBED // classes) for count in counts]
    assert all(np.greater_equal(by_class(evenly, len(counts)), least))


def test_each_accuracy_is_that_of_its_images():
    """Of 900, 80 and 20 images the sample in proportion has 115, 10 and 3; evenly there are 44 and 17 more."""
    probed = ProbedImages.of(split([900, 80, 20]), evenly=True)
    right = probed.images.labels == 2
    assert probed.accuracies(right) == (3 / 128, pytest.approx(1 / 3))
    later = np.arange(len(right)) >= probed.plain
    assert probed.accuracies(later) == (0.0, pytest.approx((0 / 115 + 44 / 54 + 17 / 20) / 3))
