"""Splits: stratified, by patient, with duplicates together; and duplicates across them."""

import numpy as np
import pytest

from fedrobust.data.dataset import DataError
from fedrobust.data.duplicates import duplicates
from fedrobust.data.importing.fit import fitted
from fedrobust.data.importing.splits import assigned

NONE = np.zeros((0, 2), np.int64)
SHARES = (0.7, 0.1, 0.2)


def texts(values):
    return np.array(list(values), str)


def drawn(labels, sites=None, patients=None, pairs=NONE, given=None, seed=0):
    n = len(labels)
    blank = np.full(n, "")
    return assigned(
        blank if given is None else texts(given),
        np.asarray(labels),
        blank if sites is None else texts(sites),
        blank if patients is None else texts(patients),
        np.asarray(pairs).reshape(-1, 2),
        SHARES,
        seed,
    )


def test_each_class_is_split_by_the_shares_and_each_site_nearly():
    labels, sites = np.repeat([0, 1], [100, 50]), np.tile(["a", "b"], 75)
    found = drawn(labels, sites)
    assert found.drawn == 150
    for label, counts in ((0, [70, 10, 20]), (1, [35, 5, 10])):
        assert [
            ((found.splits == split) & (labels == label)).sum() for split in ("train", "val", "test")
        ] == counts
    for site in "ab":
        shares = [
            ((found.splits == split) & (sites == site)).mean() * 2 for split in ("train", "val", "test")
        ]
        assert np.allclose(shares, SHARES, atol=0.03)


def test_the_seed_draws():
    labels = np.repeat([0, 1], 30)
    assert np.array_equal(drawn(labels).splits, drawn(labels).splits)
    assert not np.array_equal(drawn(labels).splits, drawn(labels, seed=1).splits)


def test_a_patient_and_duplicates_stay_in_one_split():
    patients = [f"p{row // 3}" for row in range(90)]
    pairs = [(0, 50), (50, 89)]
    found = drawn(np.arange(90) % 2, patients=patients, pairs=pairs).splits
    assert all(len(set(found[row : row + 3])) == 1 for row in range(0, 90, 3))
    assert found[0] == found[50] == found[89]


def test_validation_is_drawn_from_train_where_only_test_is_given():
    given = ["train"] * 80 + ["test"] * 20
    found = drawn(np.arange(100) % 2, given=given)
    assert (found.splits[80:] == "test").all()
    assert (found.splits == "val").sum() == 10  # 0.1 of 0.8 in 80 images
    assert found.drawn == 80


def test_a_duplicate_in_two_given_splits_is_moved_to_train():
    given = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    found = drawn(np.arange(12) % 2, given=given, pairs=[(0, 9), (6, 10)])
    assert found.splits[[0, 9, 6, 10]].tolist() == ["train", "train", "val", "val"]
    assert found.moved.tolist() == [9, 10]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"given": ["train", "test"] * 6, "patients": ["p"] * 12}, "patient p is in train and in test"),
        ({"given": ["val", "test"] * 6}, "no training images: every image is given as test or val"),
        ({"patients": ["p"] * 12}, "no image is left for val"),
        ({"pairs": [(0, row) for row in range(1, 12)]}, "12 of 12 images are chained"),
    ],
)
def test_splits_that_cannot_be_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        drawn(np.arange(12) % 2, **settings)


@pytest.fixture(scope="module")
def pictures():
    """Smooth random images, uint8 (6, 64, 64, 1)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (6, 8, 8), np.uint8)
    return np.stack([fitted(one, 64, "pad") for one in coarse])[..., None]


def test_other_brightness_noise_and_size_are_near_duplicates(pictures):
    one = pictures[0]
    rng = np.random.default_rng(1)
    noisy = np.clip(one + rng.normal(0, 2, one.shape), 0, 255).astype(np.uint8)
    smaller = fitted(fitted(one[..., 0], 40, "pad"), 64, "pad")[..., None]
    found = duplicates(np.stack([*pictures, noisy, smaller, one + 30, one]))
    assert found.exact.tolist() == [[0, 9]]
    assert {0, 6, 7, 8} == set(found.near.ravel().tolist())
    assert found.across(np.array(["a"] * 6 + ["b"] * 4)).exact.tolist() == [[0, 9]]


def test_other_images_and_constant_ones_are_none(pictures):
    flat = [np.full((64, 64, 1), level, np.uint8) for level in (0, 9, 255)]
    assert len(duplicates(np.stack([*pictures, 255 - pictures[0], *flat])).pairs) == 0


def test_near_ones_are_left_out_where_only_exact_ones_are_asked(pictures):
    assert len(duplicates(np.stack([pictures[0], pictures[0] + 9]), near=False).pairs) == 0


def test_the_rest_of_a_patient_follows_its_given_split():
    patients = [f"p{row // 4}" for row in range(80)]
    own = ["train", "test", "val", "train"]
    given = [own[row // 4 % 4] if row % 4 == 0 else "" for row in range(80)]
    found = drawn(np.arange(80) % 2, patients=patients, given=given).splits
    assert all(len(set(found[row : row + 4])) == 1 for row in range(0, 80, 4))
    assert [found[row] for row in range(0, 80, 4)] == own * 5
