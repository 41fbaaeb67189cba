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


ADVICE = {
    "float in [0, 1]": ({"val_images": np.linspace(0, 1, 120).reshape(4, 6, 5)}, "rint(images * 255)"),
    "float in [-1, 1]": ({"val_images": np.linspace(-1, 1, 120).reshape(4, 6, 5)}, "(images + 1) * 127.5"),
    "float to 255": ({"val_images": np.linspace(0, 255, 120).reshape(4, 6, 5)}, "numpy.rint(images).astype"),
    "float NaN": ({"val_images": np.full((4, 6, 5), np.nan)}, "NaN or infinite"),
    "Hounsfield units": (
        {"val_images": np.linspace(-1000, 3000, 120).reshape(4, 6, 5)},
        "from -1000 to 3000",
    ),
    "uint16 beyond 255": ({"test_images": np.full((5, 6, 5), 4095, np.uint16)}, "from 4095 to 4095"),
    "uint16 to 255": ({"test_images": np.full((5, 6, 5), 200, np.uint16)}, ": images.astype(numpy.uint8)"),
    "bool images": ({"test_images": np.ones((5, 6, 5), bool)}, "astype(numpy.uint8) * 255"),
    "channels first": ({"train_images": np.zeros((12, 3, 6, 5), np.uint8)}, "numpy.moveaxis(images, 1, -1)"),
    "grey channel first": ({"train_images": np.zeros((12, 1, 6, 5), np.uint8)}, "numpy.moveaxis"),
    "transparency": ({"train_images": np.zeros((12, 6, 5, 4), np.uint8)}, "images[..., :3]"),
    "volumes": ({"train_images": np.zeros((12, 6, 5, 4, 1), np.uint8)}, "volumes"),
    "flat rows": ({"train_images": np.zeros((12, 30), np.uint8)}, "images.reshape"),
    "no validation": ({"val_images": None, "val_labels": None}, "train_images[::10]"),
    "no test": ({"test_images": None, "test_labels": None}, "not trained on"),
    "other names": (
        {f"{split}_{part}": None for split in ("train", "val", "test") for part in ("images", "labels")}
        | {"x_train": np.zeros(3), "y_train": np.zeros(3)},
        "found x_train, y_train",
    ),
    "one-hot": (
        {"train_labels": np.eye(3, dtype=np.uint8)[np.arange(12) % 3]},
        "numpy.argmax(labels, axis=1)",
    ),
    "one-hot floats": ({"train_labels": np.eye(3)[np.arange(12) % 3]}, "numpy.argmax(labels, axis=1)"),
    "float labels": ({"train_labels": np.arange(12) % 3 + 0.0}, "labels.astype(numpy.int64)"),
    "names as labels": ({"train_labels": np.array(["a", "b", "c"] * 4)}, "numpy.unique"),
    "bool labels": ({"train_labels": np.arange(12) % 2 > 0}, "labels.astype(numpy.uint8)"),
    "NaN labels": ({"train_labels": np.full(12, np.nan)}, "leave out images without a label"),
    "no label as -1": ({"train_labels": np.arange(12) % 3 - 1}, "leave out"),
    "counted from 1": ({"train_labels": np.arange(12) % 3 + 1}, "renumber"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_the_message_says_what_to_do(save, case):
    changes, advice = ADVICE[case]
    with pytest.raises(DataError) as refusal:
        read_npz(save(**changes))
    assert advice in str(refusal.value)
    assert "\n" not in str(refusal.value)


def bomb(path, method, member="train_images", shape=(40_000, 200, 200)):
    """A file that declares images of one grey level: 1.6 GB in few bytes."""
    import io
    import zipfile

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", method, allowZip64=True) as archive:
        for key, array in arrays().items():
            if key != member:
                with archive.open(f"{key}.npy", "w") as file:
                    np.lib.format.write_array(file, array)
        with archive.open(f"{member}.npy", "w", force_zip64=True) as file:
            file.write(head.getvalue())
            left, zeros = int(np.prod(shape)), bytes(2**24)
            while left:
                left -= file.write(zeros[: min(left, len(zeros))])


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    import zipfile

    path = tmp_path / "bomb.npz"
    monkeypatch.setattr("fedrobust.data.archive.MOST_UNPACKED", 2**24)
    bomb(path, zipfile.ZIP_DEFLATED, shape=(1000, 200, 200))
    monkeypatch.setattr("fedrobust.data.npz.unpacked", lambda *_: pytest.fail("unpacked"))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(DataError, match=r"bytes that unpack to 40,\d{3},\d{3}, \d+ times as many"):
        read_npz(path)


def test_a_large_member_that_is_not_asked_for_costs_nothing(tmp_path, monkeypatch):
    import zipfile

    path = tmp_path / "more.npz"
    monkeypatch.setattr("fedrobust.data.archive.MOST_UNPACKED", 2**24)
    bomb(path, zipfile.ZIP_DEFLATED, member="extra", shape=(1000, 200, 200))
    assert len(read_npz(path).train) == 12


@pytest.mark.parametrize("method", ["ZIP_STORED", "ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"])
@pytest.mark.parametrize("place", [0.1, 0.35, 0.6, 0.97])
def test_damage_in_every_kind_of_packing_is_one_sentence(tmp_path, method, place):
    import zipfile

    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w", getattr(zipfile, method)) as archive:
        for key, array in arrays(shape=(40, 40)).items():
            with archive.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    assert len(read_npz(path).train) == 12
    whole = bytearray(path.read_bytes())
    for offset in range(7):
        whole[int(place * len(whole)) + offset] ^= 0xA5
    path.write_bytes(whole)
    with pytest.raises(DataError, match=str(path)):
        read_npz(path)


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("((((", "damaged"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (10**30,)}", "damaged"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}", "declares shape"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-5, 6, 5)}", "declares shape"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (12,)}", "pickled"),
        ("{'descr': [('a', '|O'), ('b', '<f4')], 'fortran_order': False, 'shape': (12,)}", "pickled"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (12, 6, 5), 'more': 1}", "damaged"),
        ("nonsense", "damaged"),
        ("[" * 3000, "damaged"),
    ],
)
def test_made_up_headers(tmp_path, header, word):
    import zipfile

    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in arrays().items():
            with archive.open(f"{key}.npy", "w") as file:
                if key == "train_images":
                    text = header.encode() + b"\n"
                    file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(360))
                else:
                    np.lib.format.write_array(file, array)
    with pytest.raises(DataError, match=word):
        read_npz(path)


def test_images_that_do_not_fit_into_memory_are_refused_with_numbers(save, monkeypatch):
    class Memory:
        available = 100

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    with pytest.raises(DataError, match=r"take [\d,]+ bytes, 100 are free"):
        read_npz(save())


def test_an_own_file_with_a_published_name_is_said_to_be_one(tmp_path, save):
    from fedrobust.audit.images import official
    from fedrobust.data.load import load

    own = save(classes=2).rename(tmp_path / "breastmnist.npz")
    dataset = load(str(own))
    assert dataset.name == "breastmnist (own file)"
    assert official(dataset) is None
    assert load(str(own.rename(tmp_path / "mine.npz"))).name == "mine"


def test_a_published_file_by_its_path_is_the_published_set(real_data):
    from fedrobust.audit.images import official
    from fedrobust.data.load import load
    from fedrobust.data.medmnist import find

    path = find("breastmnist", 28, real_data)
    if path is None:
        pytest.skip("BreastMNIST is not here")
    by_path, by_name = load(str(path)), load("breastmnist", root=real_data)
    assert (by_path.name, by_path.label_names, by_path.disease) == ("breastmnist", by_name.label_names, (0,))
    assert official(by_path) == 156


def test_folders_and_other_files_are_told_apart(tmp_path, monkeypatch):
    from fedrobust.data.load import load

    (tmp_path / "images").mkdir()
    (tmp_path / "set.npz").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n")
    monkeypatch.chdir(tmp_path)
    for name, word in (
        ("images", "a folder, but data come as one .npz file"),
        ("table.csv", "a file, but data come as one .npz file"),
        ("set.npz", "a folder; name a file"),
        ("~nobody-of-this-name/set.npz", "no such user"),
        ("none.npz", "no such file; searched"),
        ("a\0b.npz", "no such file"),
    ):
        with pytest.raises(DataError, match=word):
            load(name)
