import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import fedrobust
from fedrobust.data.dataset import DataError
from fedrobust.data.load import available, describe, load
from fedrobust.data.medmnist import NAMES, published
from fedrobust.errors import FedrobustError


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FEDROBUST_DATA", raising=False)
    arrays = {}
    for name, number in (("train", 6), ("val", 2), ("test", 4)):
        arrays[f"{name}_images"] = np.full((number, 9, 9), number, np.uint8)
        arrays[f"{name}_labels"] = np.arange(number) % 3 % 2
    (tmp_path / "study").mkdir()
    np.savez(tmp_path / "study" / "mine.npz", **arrays)
    return tmp_path / "study"


def test_an_own_file_is_found_beside_the_study_and_keeps_its_size(own):
    dataset = load("mine.npz", size=224, base=own)
    assert (dataset.name, dataset.image_shape) == ("mine", (9, 9, 1))


def test_an_own_file_that_is_nowhere(own):
    with pytest.raises(DataError, match=r"mine\.npz: no such file; searched"):
        load("mine.npz")


def test_phantom_settings_reach_the_phantom():
    dataset = load("Phantom", 20, seed=3, classes=4, channels=3, samples=40)
    assert (dataset.image_shape, dataset.classes, len(dataset.train)) == ((20, 20, 3), 4, 40)
    assert "seed 3" in dataset.source


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("brestmnist", ['"brestmnist"', 'did you mean "breastmnist"?', "phantom", ".npz"]),
        ("Breast", ['did you mean "breastmnist"?']),
        ("organ-a-mnist", ['did you mean "organamnist"?']),
        ("imagenet21k", ["unknown. Allowed: phantom"]),
        ("organmnist3d", ["not offered", "volumes (3-D)", "slices"]),
        ("", ["unknown"]),
    ],
)
def test_an_unknown_name_gets_the_list_and_the_closest(name, words):
    with pytest.raises(DataError) as refusal:
        load(name)
    for word in words:
        assert word in str(refusal.value)


def test_available_lists_every_set_and_what_is_on_disk(own):
    (own / "breastmnist.npz").touch()
    (own / "medmnist").mkdir()
    (own / "medmnist" / "breastmnist_128.npz").touch()
    rows = {row.name: row for row in available(own)}
    assert list(rows) == ["phantom", *NAMES]
    assert rows["phantom"].present
    breast = rows["breastmnist"]
    assert (breast.sizes, breast.present, breast.counts) == ((28, 128), True, (546, 78, 156))
    assert not rows["pathmnist"].present
    assert (rows["chestmnist"].task, rows["chestmnist"].classes) == ("multi-label, binary-class", 14)


def test_the_phantoms_row_is_true():
    row, dataset = available()[0], load("phantom")
    assert row.counts == tuple(len(split) for split in dataset.splits.values())
    assert (row.classes, row.channels, row.task) == (dataset.classes, dataset.image_shape[2], dataset.task)


def test_describe_counts_and_gives_the_majority_rate(own):
    about = describe(load("mine.npz", base=own))
    assert about["counts"] == {
        "train": {"0": 4, "1": 2},
        "validation": {"0": 1, "1": 1},
        "test": {"0": 3, "1": 1},
    }
    assert about["test_majority"] == 0.75
    assert json.loads(json.dumps(about)) == about


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, fedrobust.data.load, fedrobust.data.partition;"
        "print([name for name in ('tensorflow', 'keras', 'flwr', 'ray', 'medmnist', 'torch', 'scipy')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "refused",
    [
        lambda: load("OrganMNIST3D"),
        lambda: load("nodulemnist3d.npz"),
        lambda: fedrobust.check_dataset("organmnist3d"),
        lambda: fedrobust.import_images("organmnist3d.npz", "out.npz"),
        lambda: fedrobust.explain("synapsemnist3d"),
        lambda: fedrobust.run(data__name="vesselmnist3d"),
    ],
)
def test_volumes_by_name_are_refused_before_anything_is_read(refused, monkeypatch):
    monkeypatch.setattr("fedrobust.data.medmnist.download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(FedrobustError, match=r"not offered: these are volumes \(3-D\).*save slices"):
        refused()


@pytest.mark.parametrize("shape", [(9, 9, 9), (9, 9, 9, 1), (9, 9, 9, 3)])
def test_files_of_volumes_are_refused(tmp_path, shape):
    arrays = {f"{split}_images": np.zeros((6, *shape), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.arange(6) % 2 for split in ("train", "val", "test")}
    path = tmp_path / "organmnist3d.npz"
    np.savez_compressed(path, **arrays, **labels)
    for read in (load, fedrobust.check_dataset):
        with pytest.raises(
            DataError, match=r"train_images has shape \(6, 9, 9, 9.*these are volumes \(3-D\)"
        ):
            read(str(path))


@pytest.mark.parametrize("size", [28, 64, 128, 224])
def test_every_published_size_is_found_or_downloaded_under_its_own_name(own, size, monkeypatch):
    """The file's name, its address and its MD5 are those of the size; what is there is not downloaded again."""
    asked = []

    def download(url, path, md5, sha256):
        asked.append((url.split("/")[-1], path.name, md5))
        shutil.copy(own / "mine.npz", path)
        return path

    monkeypatch.setattr("fedrobust.data.medmnist.download", download)
    monkeypatch.setattr("fedrobust.data.medmnist.verify", lambda path, md5: asked.append((path.name, md5)))
    suffix = "" if size == 28 else f"_{size}"
    about = published("breastmnist").files[size]
    load("breastmnist", size, root=own)
    load("breastmnist", size, root=own)
    assert asked == [
        (f"breastmnist{suffix}.npz?download=1", f"breastmnist{suffix}.npz", about[1]),
        (f"breastmnist{suffix}.npz", about[1]),
    ]
