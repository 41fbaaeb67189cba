"""Folders and tables of images: what is listed, and what is refused."""

import re

import numpy as np
import pytest
from PIL import Image

from fedrobust.data.dataset import DataError
from fedrobust.data.importing.entry import ImageError
from fedrobust.data.importing.folder import of_folder
from fedrobust.data.importing.table import of_table


def drawn(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6), len(str(path)) % 256, np.uint8)).save(path)


def listed(source):
    return [(entry.name, entry.label, entry.site, entry.patient, entry.split) for entry in source.entries]


def test_classes_are_folders_and_images_lie_at_any_depth(tmp_path):
    for name in ("ill/deep/b.png", "healthy/a.png", "ill/.hidden.png", "__MACOSX/ill/c.png"):
        drawn(tmp_path / name)
    (tmp_path / "ill/notes.txt").write_text("seen")
    (tmp_path / "ill/Thumbs.db").write_bytes(b"x")
    drawn(tmp_path / "loose.png")
    source = of_folder(tmp_path)
    assert listed(source) == [("healthy/a.png", "healthy", "", "", ""), ("ill/deep/b.png", "ill", "", "", "")]
    assert source.remarks == (
        "1 file left out, no image by its extension: ill/notes.txt",
        "1 file left out, beside the folders of classes: loose.png",
    )
    assert source.entries[0].read().pixels.shape == (4, 6)


def test_splits_stand_above_classes_and_hospitals_above_splits(tmp_path):
    for name in ("bern/Training/ill/p1_a.png", "bern/valid/ill/p2_b.png", "chur/ill/p1_c.png"):
        drawn(tmp_path / name)
    assert listed(of_folder(tmp_path, sites=True, patient=r"(p\d)_")) == [
        ("bern/Training/ill/p1_a.png", "ill", "bern", "p1", "train"),
        ("bern/valid/ill/p2_b.png", "ill", "bern", "p2", "val"),
        ("chur/ill/p1_c.png", "ill", "chur", "p1", ""),
    ]


HOSPITALS = ("bern/ill/a.png", "bern/well/b.png", "chur/ill/c.png")
LEVELS = {
    "hospitals": (
        HOSPITALS,
        "'bern', 'chur' are taken as the classes, .* the first level are hospitals, .* --sites",
    ),
    "hospitals in splits": (
        tuple(f"{split}/{name}" for split in ("train", "test") for name in HOSPITALS),
        "'bern', 'chur' are taken .* put the hospitals above the splits",
    ),
    "splits": (
        tuple(f"{label}/{split}/a.png" for label in ("ill", "well") for split in ("train", "test")),
        "folders called 'test', 'train' below the classes are not read as splits",
    ),
    "patients": (("ill/p1/a.png", "ill/p2/a.png", "well/p3/a.png"), ""),
    "one folder in each class": (("ill/images/a.png", "well/images/a.png"), ""),
    "some patients of two classes": (
        (
            *(f"ill/p{number}/a.png" for number in range(5)),
            *(f"well/p{number}/a.png" for number in range(4, 9)),
        ),
        "",
    ),
    "most classes without folders": (("a/x/1.png", "b/y/1.png", "b/x/1.png", "c/1.png", "d/1.png"), ""),
}


@pytest.mark.parametrize(("files", "remark"), LEVELS.values(), ids=LEVELS)
def test_levels_that_look_like_others_are_told(tmp_path, files, remark):
    for name in files:
        drawn(tmp_path / name)
    told = of_folder(tmp_path).remarks
    assert len(told) == bool(remark)
    assert all(re.search(remark, one) for one in told)


def test_hospitals_that_are_taken_as_such_are_not_told(tmp_path):
    for name in HOSPITALS:
        drawn(tmp_path / name)
    assert of_folder(tmp_path, sites=True).remarks == ()


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ((), {}, "no folders in it; allowed: a folder of images for each class; for a table"),
        (("a.png",), {}, "no folders in it"),
        (("train/ill/a.png", "other/ill/b.png"), {}, r"splits \(train\) beside others \(other\)"),
        (("ill/a.png",), {"patient": "("}, r"patient = '\(': .*allowed: a regular expression with a group"),
        (("ill/a.png",), {"patient": "ill"}, "no such group.*allowed: a regular expression with a group"),
        (("ill/a.png",), {"patient": r"(\d+)"}, r"not in ill/a.png; allowed"),
        (
            ("train/ill/a.png", "Test/ill/b.png"),
            {"sites": True},
            "they are called Test, train; .*leave --sites out",
        ),
    ],
)
def test_what_is_no_folder_of_classes_is_refused(tmp_path, files, options, message):
    for name in files:
        drawn(tmp_path / name)
    with pytest.raises(DataError, match=message):
        of_folder(tmp_path, **options)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "ill").mkdir()
    with pytest.raises(DataError, match=r"no image in it; .*; found the folders ill"):
        of_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        of_folder(tmp_path / "none")


def table(folder, text):
    (folder / "t.csv").write_bytes(text.encode("utf-8"))
    return folder / "t.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_images_classes_sites_patients_and_splits(tmp_path, separator):
    drawn(tmp_path / "a, 1.png")
    rows = [
        ("path", "diagnosis", "site", "patient", "split", "age"),
        ('"a, 1.png"', "ill", "Bern", "7", "Validation", "40"),
        ("b.png", "well", "Chur", "8", "", "50"),
    ]
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows) + "\r\n\r\n"
    source = of_table(table(tmp_path, text), columns={"label": "diagnosis"})
    assert listed(source) == [("a, 1.png", "ill", "Bern", "7", "val"), ("b.png", "well", "Chur", "8", "")]
    assert source.remarks == ("columns not read: age",)
    assert source.entries[0].read().pixels.shape == (4, 6)
    with pytest.raises(ImageError, match="no such file"):
        source.entries[1].read()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("file,label\na,b\n", {}, "no column 'path'; found file, label; .*--column path=NAME"),
        ("path,label\na,b\n", {"columns": {"site": "where"}}, "no column 'where'.*--column site=NAME"),
        ("path,label\na,b\n", {"columns": {"lable": "x"}}, "'lable' is none; .*did you mean \"label\""),
        ("path,label\na,\n", {}, "line 2: no label"),
        ("path,label,split\na,b,holdout\n", {}, "line 2: split = 'holdout'; allowed: train, val, test"),
        ("path,label\na,b,c\n", {}, "line 2: 3 cells; allowed: 2"),
        ("path,label\n", {}, "no images in it"),
        ("path,label,label\na,b,c\n", {}, "two columns are called 'label'"),
        ('path,label\n"a,b\n', {}, "unexpected end of data"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, text, options, message):
    with pytest.raises(DataError, match=message):
        of_table(table(tmp_path, text), **options)


def test_a_table_of_another_encoding_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("path,label\nä.png,x\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 \(byte 11\)"):
        of_table(tmp_path / "t.csv")
