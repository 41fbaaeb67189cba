import numpy as np
import pytest

from fedrobust.data.dataset import DataError
from fedrobust.data.file_check import check_file
from fedrobust.data.hospitals import joined
from fedrobust.data.label_sets import MOST_FINDINGS, packed, unpacked
from fedrobust.data.load import describe, load
from fedrobust.data.npz import read_npz

NUMBERS = {"train": 12, "val": 4, "test": 5}


def findings(split, count=3):
    draw = np.random.default_rng(len(split))
    found = draw.integers(0, 2, (NUMBERS[split], count), np.uint8)
    found[0], found[1] = 1, 0
    return found


@pytest.fixture
def save(tmp_path):
    def write(name="chest", count=3, **changes):
        arrays = {f"{split}_labels": findings(split, count) for split in NUMBERS}
        for split, number in NUMBERS.items():
            arrays[f"{split}_images"] = np.zeros((number, 6, 5), np.uint8)
        path = tmp_path / f"{name}.npz"
        np.savez_compressed(path, **(arrays | changes))
        return path

    return write


@pytest.mark.parametrize("count", [2, 14, MOST_FINDINGS])
def test_label_sets_hold_every_finding(count, draw):
    found = draw.integers(0, 2, (50, count))
    found[0] = 1
    sets = packed(found)
    assert sets.dtype == np.int32
    assert sets.min() >= 0
    np.testing.assert_array_equal(unpacked(sets, count), found)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.int64])
def test_a_file_of_findings_is_multi_label(save, dtype):
    labels = {f"{split}_labels": findings(split).astype(dtype) for split in NUMBERS}
    dataset = read_npz(save(**labels, label_names=np.array(["mass", "nodule", "effusion"])))
    assert (dataset.multilabel, dataset.classes, dataset.task) == (True, 3, "multi-label, binary-class")
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        np.testing.assert_array_equal(unpacked(dataset.splits[split].labels, 3), findings(name))
    assert describe(dataset)["counts"]["train"] == dict(
        zip(("mass", "nodule", "effusion"), findings("train").sum(0).tolist(), strict=True)
    )


def test_the_constant_classifier_gives_the_more_frequent_answer_to_each_finding(save):
    rates = findings("test").mean(0)
    assert describe(read_npz(save()))["test_majority"] == pytest.approx(np.maximum(rates, 1 - rates).mean())


def one_hot(number, classes=3):
    return np.eye(classes, dtype=np.uint8)[np.arange(number) % classes]


def test_one_hot_labels_are_findings_only_if_the_file_says_so(save):
    labels = {f"{split}_labels": one_hot(number) for split, number in NUMBERS.items()}
    with pytest.raises(DataError, match=r'one-hot.*argmax.*task = "multi-label"'):
        read_npz(save(**labels))
    dataset = read_npz(save(**labels, task=np.array("multi-label")))
    np.testing.assert_array_equal(unpacked(dataset.test.labels, 3), one_hot(5))


def test_a_split_may_look_one_hot_where_another_does_not(save):
    assert read_npz(save(val_labels=one_hot(4))).multilabel


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": findings("val", 4)}, r"val_labels \(4, 4\) uint8.*same two or more findings in each"),
        (
            {"train_labels": findings("train") * 2},
            r"train_labels has shape \(12, 3\).*0 and 1 in every split",
        ),
        (
            {"task": np.array("multi-label"), "test_labels": np.zeros(5, int)},
            r"test_labels \(5,\).*allowed in a multi",
        ),
        ({"train_labels": findings("train") & [1, 0, 1]}, "no image with finding 1; allowed: every finding"),
        (
            {"task": np.array("segmentation")},
            "task has .*segmentation.*allowed: a text, one of 'binary-class'",
        ),
        ({"task": np.array(3)}, "task has dtype int64.*allowed: a text"),
        ({"label_names": np.array(["a", "b"])}, r"label_names has .*\(3,\), one a class"),
        ({"test_labels": np.zeros(5, int)}, r"train_labels has shape \(12, 3\): several labels"),
    ],
)
def test_what_is_no_multi_label_file_is_refused(save, changes, message):
    with pytest.raises(DataError, match=message):
        read_npz(save(**changes))


def test_too_many_findings_are_refused(save):
    with pytest.raises(DataError, match="32 findings; allowed: up to 31"):
        read_npz(save(count=32))


def test_a_file_may_say_that_its_classes_are_grades(save):
    labels = {f"{split}_labels": np.arange(number) % 3 for split, number in NUMBERS.items()}
    assert read_npz(save(**labels, task=np.array("ordinal"))).ordinal
    assert read_npz(save(**labels, task=np.array(["ordinal-regression"]))).task == "ordinal-regression"
    assert not read_npz(save(**labels)).ordinal


def test_hospitals_with_findings_are_joined_and_checked(save):
    north, south = save("north"), save("south")
    together = joined([north, south])
    np.testing.assert_array_equal(unpacked(together.test.labels, 3), np.tile(findings("test"), (2, 1)))
    assert check_file(north, near=False).classes["1"] == {
        split: int(findings(split)[:, 1].sum()) for split in NUMBERS
    }
    with pytest.raises(DataError, match=r"4 findings, .*north.npz has 3"):
        joined([north, save("west", count=4)])
    classes = {f"{split}_labels": np.arange(number) % 3 for split, number in NUMBERS.items()}
    with pytest.raises(DataError, match=r"multi-class, .*north.npz is multi-label"):
        joined([north, save("east", **classes)])


def test_the_phantom_draws_findings(draw):
    dataset = load("phantom", classes=4, samples=400, multilabel=True)
    assert dataset.multilabel
    shares = dataset.counts(dataset.train) / 400
    assert (np.abs(shares - 0.3) < 0.1).all(), shares
    present = unpacked(dataset.train.labels, 4)
    assert (present.sum(1) == 0).any()
    assert (present.sum(1) > 1).any()
    with pytest.raises(DataError, match=r"data.classes = 8: the phantom set has 2 to 7 findings"):
        load("phantom", classes=8, multilabel=True)


def test_the_phantom_of_one_lesion_an_image_is_drawn_as_before():
    assert load("phantom", samples=50).digest == load("phantom", samples=50, multilabel=False).digest


def test_a_stratified_sample_of_label_sets_keeps_their_shares():
    split = load("phantom", classes=3, samples=300, multilabel=True).train
    sample = split.sample(30)
    values, counts = np.unique(split.labels, return_counts=True)
    for value, count in zip(values, counts, strict=True):
        assert abs(int((sample.labels == value).sum()) - count / 10) < 1
