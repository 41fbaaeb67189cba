"""Heterogeneity: distances in closed form, invariances, and the rate of clients that differ by chance."""

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.data.heterogeneity import (
    appearance,
    gini,
    heterogeneity,
    image_distance,
    label_distance,
    within_class,
)


def clients(draw, sizes, shift=None, side=12, classes=3, channels=1):
    """Return splits of random images; those of client 0 are `shift` grey levels brighter."""
    splits = []
    for client, n in enumerate(sizes):
        images = draw.integers(60, 120, (n, side, side, channels))
        images += shift if client == 0 and shift else 0
        splits.append(Split(images.astype(np.uint8), draw.integers(0, classes, n).astype(np.int32)))
    return splits, np.array([split.counts(classes) for split in splits], np.float64)


def test_label_distance_is_half_the_sum_of_absolute_differences():
    counts = np.array([[8.0, 2.0, 0.0], [2.0, 8.0, 0.0], [5.0, 5.0, 10.0]])
    whole = counts.sum(0) / 40
    expected = [np.abs(row / row.sum() - whole).sum() / 2 for row in counts]
    np.testing.assert_allclose(label_distance(counts), expected)


@pytest.mark.parametrize("shape", [(5, 28, 28, 1), (3, 30, 17, 3), (4, 5, 6, 1)])
def test_brightness_and_detail_are_means_of_areas(shape, draw):
    images = draw.integers(0, 256, shape).astype(np.uint8)
    found = appearance(images)
    areas = min(7, shape[1]) * min(7, shape[2]) * shape[3]
    assert found.shape == (shape[0], 2 * areas)
    flat = np.full(shape, 204, np.uint8)
    np.testing.assert_allclose(appearance(flat)[:, :areas], 0.8, rtol=1e-6)
    assert not appearance(flat)[:, areas:].any()
    if shape[1] == 28:  # areas of 4 x 4 pixels
        corner = images[:, :4, :4, 0].mean((1, 2)) / 255
        np.testing.assert_allclose(found[:, 0], corner, rtol=1e-6)


def test_stripes_have_detail_and_a_blurred_image_has_less():
    stripes = np.tile(np.array([0, 255], np.uint8), (1, 28, 14)).reshape(1, 28, 28, 1)
    detail = appearance(stripes)[0, 49:].reshape(7, 7)
    np.testing.assert_allclose(detail[:, 1:], 0.5)
    np.testing.assert_allclose(detail[:, 0], 0.375)  # the first column has no neighbour before it


def test_differences_between_classes_are_no_distance_of_images(draw):
    features = draw.normal(size=(300, 4))
    labels = np.repeat([0, 1], 150).astype(np.int32)
    features[150:] += 5
    deviations = within_class(features, labels)
    np.testing.assert_allclose(deviations.std(0), 1)
    np.testing.assert_allclose(deviations[:150].mean(0), 0, atol=1e-12)
    sizes = np.array([150, 150])
    np.testing.assert_allclose(image_distance(deviations, sizes), 0, atol=1e-12)
    constant = within_class(np.ones((4, 2)), np.zeros(4, np.int32))
    assert not image_distance(constant, np.array([2, 2])).any()


def test_image_distance_by_hand():
    deviations = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, -1.0], [0.0, -1.0]])
    np.testing.assert_allclose(image_distance(deviations, np.array([2, 2])), np.sqrt([4 / 2, 1 / 2]))


def test_gini_is_that_of_pairs(draw):
    sizes = draw.integers(1, 200, 30).astype(float)
    pairs = np.abs(sizes[:, None] - sizes).sum() / (2 * len(sizes) ** 2 * sizes.mean())
    assert gini(sizes) == pytest.approx(pairs)


def test_a_random_division_lies_among_random_divisions(draw):
    splits, counts = clients(draw, [30] * 60)
    found = heterogeneity(counts, splits, np.random.default_rng(1))
    for distances, random in (
        (found.label_distance, found.random_label_distance),
        (found.image_distance, found.random_image_distance),
    ):
        assert random.shape == (40, 60)
        assert distances.mean() == pytest.approx(random.mean(), rel=0.1)
        beyond = np.mean(distances > np.quantile(random, 0.95, axis=0))
        assert beyond < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_a_client_with_another_scanner_stands_out_and_labels_do_not(draw):
    splits, counts = clients(draw, [40] * 10, shift=10)
    found = heterogeneity(counts, splits, np.random.default_rng(1))
    assert found.image_distance.argmax() == 0
    assert found.image_distance[0] > 2 * found.image_distance[1:].max()
    assert found.image_distance[0] > found.random_image_distance.max()
    assert found.label_distance[0] < found.random_label_distance.max()


def test_the_same_seed_gives_the_same_divisions(draw):
    splits, counts = clients(draw, [10, 20, 5])
    one, two = (heterogeneity(counts, splits, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.random_image_distance, two.random_image_distance)
    np.testing.assert_array_equal(one.random_label_distance, two.random_label_distance)
