import numpy as np
import pytest

from fedrobust.data.dataset import DataError
from fedrobust.data.npz import read_npz


def arrays(classes=3, shape=(6, 5), **changes):
    rng = np.random.default_rng(0)
    made = {}
    for name, number in (("train", 12), ("val", 4), ("test", 5)):
        made[f"{name}_images"] = rng.integers(0, 256, (number, *shape), np.uint8)
        made[f"{name}_labels"] = (np.arange(number) % classes).astype(np.uint8)[:, None]
    return made | changes


@pytest.fixture
def save(tmp_path):
    def write(**changes):
        path = tmp_path / "skin.npz"
        np.savez_compressed(
            path, **{key: value for key, value in arrays(**changes).items() if value is not None}
        )
        return path

    return write


def test_reads_grey_images_and_column_labels(save):
    dataset = read_npz(save())
    assert dataset.name == "skin"
    assert dataset.image_shape == (6, 5, 1)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 4, 5)
    np.testing.assert_array_equal(dataset.train.images[..., 0], arrays()["train_images"])
    np.testing.assert_array_equal(dataset.test.labels, [0, 1, 2, 0, 1])
    assert dataset.label_names == ("0", "1", "2")
    assert dataset.disease == ()


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)])
def test_reads_images_with_a_channel_axis(save, shape):
    assert read_npz(save(shape=shape)).image_shape == shape


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int64, np.uint64])
def test_reads_labels_of_any_integer_type_flat_or_in_a_column(save, dtype):
    labels = np.arange(12) % 3
    flat = read_npz(save(train_labels=labels.astype(dtype)))
    column = read_npz(save(train_labels=labels.astype(dtype)[:, None]))
    assert flat.train.labels.dtype == np.int32
    assert flat.digest == column.digest


def test_a_class_may_be_missing_from_validation_and_test(save):
    dataset = read_npz(save(val_labels=np.zeros(4, np.uint8), test_labels=np.full(5, 2)))
    assert dataset.test.counts(3).tolist() == [0, 0, 5]


def objects(number):
    return np.array([{"a": 1}] * number, dtype=object)


REFUSED = {
    "float images": (
        {"train_images": np.zeros((12, 6, 5), np.float32)},
        ["train_images", "float32", "allowed: uint8", "numpy.rint(images * 255)"],
    ),
    "wide integers": ({"val_images": np.zeros((4, 6, 5), np.uint16)}, ["val_images", "uint16", "uint8"]),
    "volumes": (
        {"test_images": np.zeros((5, 6, 5, 4), np.uint8)},
        ["test_images", "(5, 6, 5, 4)", "width, 3)"],
    ),
    "flat images": ({"test_images": np.zeros((5, 30), np.uint8)}, ["test_images", "(5, 30)"]),
    "no image": (
        {"val_images": np.zeros((0, 6, 5), np.uint8), "val_labels": np.zeros(0, np.uint8)},
        ["val_images", "(0, 6, 5, 1)", "at least one image"],
    ),
    "missing keys": (
        {"val_labels": None, "test_images": None},
        ["no val_labels, test_images", "found train_images", "allowed: train_images"],
    ),
    "unequal lengths": ({"train_labels": np.zeros(11, np.uint8)}, ["train_labels has 11", "allowed: 12"]),
    "other shape in test": (
        {"test_images": np.zeros((5, 7, 5), np.uint8)},
        ["test_images", "(7, 5, 1)", "allowed: (6, 5, 1)"],
    ),
    "several labels": (
        {"train_labels": np.zeros((12, 14), np.uint8)},
        ["train_labels", "(12, 14)", "several labels", "(n, 1)"],
    ),
    "float labels": ({"test_labels": np.zeros(5)}, ["test_labels", "float64", "integer"]),
    "yes or no labels": ({"test_labels": np.zeros(5, bool)}, ["test_labels", "bool", "integer"]),
    "negative labels": ({"train_labels": np.arange(12) % 3 - 1}, ["train_labels", "-1 to 1", "0 to C - 1"]),
    "huge labels": (
        {"train_labels": np.full(12, 2**63, np.uint64)},
        ["train_labels", str(2**63), "0 to C - 1"],
    ),
    "labels from 1": ({"train_labels": np.arange(12) % 3 + 1}, ["train_labels", "up to 3", "class 0"]),
    "a gap": ({"train_labels": np.arange(12) % 2 * 2}, ["train_labels", "up to 2", "class 1"]),
    "one class": (
        {
            f"{name}_labels": np.zeros(number, int)
            for name, number in (("train", 12), ("val", 4), ("test", 5))
        },
        ["train_labels has 1 class", "at least 2"],
    ),
    "a class that train lacks": ({"test_labels": np.full(5, 3)}, ["test_labels", "3", "allowed: 0 to 2"]),
    "pickled images": ({"test_images": objects(5)}, ["test_images", "pickled", "never loaded"]),
    "pickled labels": ({"train_labels": objects(12)}, ["train_labels", "pickled", "never loaded"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_and_names_file_key_found_and_allowed(save, case):
    changes, words = REFUSED[case]
    path = save(**changes)
    with pytest.raises(DataError) as refusal:
        read_npz(path)
    for word in [str(path), *words]:
        assert word in str(refusal.value)


def test_a_pickle_is_never_run(save, tmp_path):
    trace = tmp_path / "trace"

    class Trap:
        def __reduce__(self):
            return (open, (str(trace), "w"))

    with pytest.raises(DataError, match="pickled"):
        read_npz(save(train_images=np.array([Trap()], dtype=object)))
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_refuses_a_file_cut_short(save, share):
    path = save()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="truncated"):
        read_npz(path)


def test_refuses_a_file_with_a_flipped_byte(save):
    path = save()
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(DataError, match="damaged"):
        read_npz(path)


def test_refuses_an_archive_with_a_foreign_beginning(save):
    path = save()
    path.write_bytes(b"foreign" + path.read_bytes())
    with pytest.raises(DataError, match="damaged"):
        read_npz(path)


def test_refuses_other_kinds_of_files(tmp_path):
    single = tmp_path / "one.npz"
    with single.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"not an \.npz file"):
        read_npz(single)
    with pytest.raises(DataError, match="no such file"):
        read_npz(tmp_path / "none.npz")
