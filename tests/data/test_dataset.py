import hashlib

import numpy as np
import pytest

from fedrobust.data.dataset import DataError, Dataset, Split, digest


def split(labels, shape=(4, 4, 1)):
    labels = np.asarray(labels, np.int32)
    return Split(np.zeros((len(labels), *shape), np.uint8), labels)


def dataset(**changes):
    fields = {
        "name": "toy",
        "train": split([0, 1, 1]),
        "validation": split([0]),
        "test": split([1]),
        "label_names": ("a", "b"),
        "task": "binary-class",
        "disease": (1,),
        "source": "",
        "licence": "",
        "digest": "",
    }
    return Dataset(**(fields | changes))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (
            np.zeros((2, 4, 4), np.uint8),
            np.zeros(2, np.int32),
            ["images", "(2, 4, 4)", "height, width, channels"],
        ),
        (np.zeros((2, 4, 4, 2), np.uint8), np.zeros(2, np.int32), ["images", "(2, 4, 4, 2)", "1 or 3"]),
        (np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int32), ["images", "float32", "uint8"]),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros((2, 1), np.int32), ["labels", "(2, 1)", "(n,)"]),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64), ["labels", "int64", "int32"]),
        (np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, np.int32), ["0 images", "at least 1"]),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int32), ["labels has 3", "2"]),
        (np.zeros((2, 4, 4, 1), np.uint8), np.array([0, -1], np.int32), ["labels", "-1", "0 and above"]),
    ],
)
def test_a_split_refuses_what_is_not_its_shape_and_says_what_is(images, labels, words):
    with pytest.raises(DataError) as refusal:
        Split(images, labels)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_names": ("a",), "train": split([0])}, ["1 names", "at least 2"]),
        ({"test": split([2])}, ["test", "2", "0 to 1"]),
        ({"train": split([0, 0])}, ["train", "class 1"]),
        ({"validation": split([0], shape=(5, 4, 1))}, ["validation", "(5, 4, 1)", "(4, 4, 1)"]),
        ({"disease": (2,)}, ["disease", "2", "0 to 1"]),
    ],
)
def test_a_dataset_refuses_splits_that_do_not_belong_together(changes, words):
    with pytest.raises(DataError) as refusal:
        dataset(**changes)
    for word in words:
        assert word in str(refusal.value)


def test_classes_may_be_missing_outside_of_train():
    assert dataset(test=split([0, 0])).test.counts(2).tolist() == [2, 0]


def test_digest_is_the_sha256_of_types_shapes_and_bytes():
    one = Split(np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1), np.array([0, 1], np.int32))
    by_hand = hashlib.sha256(
        b"|u1(2, 2, 2, 1)" + bytes(range(8)) + b"<i4(2,)" + b"\0\0\0\0\1\0\0\0"
    ).hexdigest()
    assert digest(one) == by_hand


def test_digest_sees_one_pixel_one_label_and_the_shape():
    images, labels = np.zeros((2, 2, 2, 1), np.uint8), np.zeros(2, np.int32)
    plain = digest(Split(images, labels))
    other_image = images.copy()
    other_image[1, 1, 1, 0] = 1
    changed = [
        Split(other_image, labels),
        Split(images, np.array([0, 1], np.int32)),
        Split(images.reshape(2, 1, 4, 1), labels),
    ]
    assert len({plain, *map(digest, changed)}) == 4
    # A view with other strides holds the same contents.
    assert digest(Split(np.asfortranarray(images), labels)) == plain


@pytest.mark.parametrize("count", [1, 7, 50, 99])
def test_a_sample_has_every_class_by_its_share_even_if_a_split_is_sorted(count):
    labels = np.repeat(np.arange(3, dtype=np.int32), [60, 30, 10])
    images = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    sample = Split(images, labels).sample(count)
    assert len(sample) == count
    assert (np.abs(sample.counts(3) - count * np.array([0.6, 0.3, 0.1])) < 1).all()
    rows = sample.images[:, 0, 0, 0]
    assert (np.diff(rows.astype(int)) > 0).all()
    assert (labels[rows] == sample.labels).all()


@pytest.mark.parametrize("count", [0, 4, 9])
def test_a_sample_of_none_or_of_more_than_there_are_is_the_whole_split(count):
    split = Split(np.zeros((4, 2, 2, 1), np.uint8), np.array([1, 0, 1, 0], np.int32))
    assert split.sample(count) is split
