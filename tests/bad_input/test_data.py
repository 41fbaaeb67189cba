"""Data files that cannot be used: by the check of a file, and by a study that names them."""

import os
import zipfile

import numpy as np
import pytest
from bad_input_arrays import arrays

METHODS = ("ZIP_STORED", "ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA")


class Trap:
    """A pickle that leaves a file where it is loaded."""

    def __reduce__(self):
        return (open, ("marker", "w"))


SIZES = {"train": 60, "val": 12, "test": 12}
ARRAYS = {
    "objects": ({"train_images": np.array([Trap()] * 60, object)}, "holds pickled objects"),
    "objects as labels": ({"test_labels": np.array([Trap()] * 12, object)}, "holds pickled objects"),
    "objects as names": ({"label_names": np.array([Trap()] * 2, object)}, "holds pickled objects"),
    "float images": ({"train_images": np.zeros((60, 8, 8), np.float32)}, "has dtype float32; allowed: uint8"),
    "images of NaN": ({"train_images": np.full((60, 8, 8), np.nan)}, "some values are NaN or infinite"),
    "labels of NaN": ({"train_labels": np.full(60, np.nan)}, "has dtype float64"),
    "labels of text": ({"train_labels": np.array(["a"] * 60)}, "has dtype <U1"),
    "negative labels": ({"train_labels": np.arange(60) % 2 - 1}, "has values -1 to 0"),
    "labels out of range": ({"train_labels": np.arange(60) * 10**6}, "goes up to 59000000"),
    "labels beyond int64": ({"train_labels": np.full(60, 2**63, np.uint64)}, "9223372036854775808"),
    "a test label of no class": ({"test_labels": np.full(12, 5)}, "test_labels has the value 5"),
    "one class": ({f"{split}_labels": np.zeros(n, int) for split, n in SIZES.items()}, "1 class"),
    "an empty split": ({"test_images": np.zeros((0, 8, 8), np.uint8), "test_labels": np.zeros(0, int)}, "at least one"),
    "other lengths": ({"train_labels": np.arange(59) % 2}, "has 59 entries; allowed: 60"),
    "no training images": ({"train_images": None}, "no train_images"),
    "a single number": ({"train_images": np.uint8(3)}, "has shape ()"),
    "names of classes that are too many": ({"label_names": np.array(["a", "b", "c"])}, "one a class"),
    "a name twice": ({"label_names": np.array(["a", "a"])}, "label_names has 'a' twice"),
    "a name of a megabyte": ({"label_names": np.array(["a" * 10**6, "b"])}, "up to 200 printable characters"),
    "a name with terminal codes": ({"label_names": np.array(["\x1b[31mred", "b"])}, "up to 200 printable characters"),
    "a name of bytes": ({"label_names": np.array([b"\xff\xfe", b"b"])}, "no UTF-8 text"),
    "a site with a line end": ({"train_site": np.array(["a\nb"] * 60)}, "train_site has the value 'a\\nb'"),
    "sites of other length": ({"train_site": np.arange(3)}, "(60,), one a training image"),
    "a patient in two splits": ({"train_patient": np.arange(60), "test_patient": np.arange(12)}, "12 patients"),
    "a task that is none": ({"task": np.array("nonsense")}, "'nonsense'"),
    "a disease that is no class": ({"disease": np.array([9])}, "9"),
}  # fmt: skip

CHECK = ("data", "check", "mine.npz")
STUDY_ALONE = {
    "labels out of range",
    "a test label of no class",
    "one class",
    "a disease that is no class",
    "names of classes that are too many",
}
"""A hospital may lack classes: these files are refused as a study's own."""


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(refused, tmp_path, case):
    changes, message = ARRAYS[case]
    np.savez(tmp_path / "mine.npz", **arrays(**changes))
    command = ("run", "quickstart", "--set", "data.name=mine.npz") if case in STUDY_ALONE else CHECK
    refused(*command, message=message)
    assert not (tmp_path / "marker").exists(), "a pickle was loaded"


def test_a_hospitals_file_may_not_have_millions_of_classes(refused, tmp_path):
    """They would be counted and listed one by one."""
    np.savez(tmp_path / "mine.npz", **arrays(train_labels=np.arange(60) * 10**6))
    refused(*CHECK, message="labels go up to 59000000; allowed: up to 10,000 classes")


def with_header(path, text, method=zipfile.ZIP_DEFLATED):
    """Write a data file whose training images have this header."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, array in arrays().items():
            with archive.open(f"{name}.npy", "w") as file:
                if name == "train_images":
                    header = text.encode() + b"\n"
                    file.write(
                        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(3840)
                    )
                else:
                    np.lib.format.write_array(file, array)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 8, 8)}", "declares shape"),
        ("{'descr': '|V999999999', 'fortran_order': False, 'shape': (60, 8, 8)}", "declares shape"),
        ("{'descr': '<U99999999', 'fortran_order': False, 'shape': (60,)}", "declares shape"),
        ("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (60, 8, 8)}", "has dtype [('a', 'u1')]"),
        ("((((", "truncated or damaged"),
        ("{" * 3000, "truncated or damaged"),
    ],
)
def test_headers(refused, tmp_path, header, message):
    with_header(tmp_path / "mine.npz", header)
    refused("data", "check", "mine.npz", message=message)


@pytest.mark.parametrize("method", METHODS)
def test_cut_or_damaged_archives(refused, tmp_path, method):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", getattr(zipfile, method)) as archive:
        for name, array in arrays().items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    whole = path.read_bytes()
    for share in (0.0, 0.4, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        refused("data", "check", "mine.npz", message="truncated")
    for place in (0.1, 0.3, 0.5):
        damaged = bytearray(whole)
        for offset in range(8):
            damaged[int(place * len(whole)) + offset] ^= 0xA5
        path.write_bytes(damaged)
        refused("data", "check", "mine.npz", message="damaged")


@pytest.mark.slow  # four gigabytes are packed
def test_a_bomb(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays().items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                if name != "train_images":
                    np.lib.format.write_array(file, array)
                    continue
                about = {"descr": "|u1", "fortran_order": False, "shape": (100_000, 200, 200)}
                np.lib.format.write_array_header_1_0(file, about)
                for _ in range(1000):
                    file.write(bytes(4_000_000))
    refused("data", "check", "mine.npz", message="bytes that unpack to 4,000,0")


def test_what_is_no_archive(refused, tmp_path):
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "start.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    for name, message in (
        ("folder.npz", "a folder"),
        ("pipe.npz", "no such file"),
        ("none.npz", "no such file"),
        ("text.npz", "not an .npz file"),
        ("empty.npz", "not an .npz file"),
        ("start.npz", "not an .npz file"),
    ):
        refused("data", "check", name, message=message)
        refused("run", "quickstart", "--set", f"data.name={name}", message=message)


def test_a_published_file_with_another_digest_is_not_taken_for_it(refused, tmp_path, monkeypatch):
    """Neither a damaged download nor other images under a published name are used as the published set."""
    np.savez(tmp_path / "breastmnist.npz", **arrays(side=28))
    monkeypatch.setenv("FEDROBUST_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        "fedrobust.data.download.fetch", lambda *_, **__: pytest.fail("downloaded"), raising=False
    )
    refused("run", "quickstart", "--set", "data.name=breastmnist", message="MD5")
