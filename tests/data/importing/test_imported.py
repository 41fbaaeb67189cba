"""A whole import: from images to an `.npz` that a study reads, and nothing where it fails."""

import csv

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fedrobust
from fedrobust import cli
from fedrobust.data.dataset import DataError
from fedrobust.data.importing.arrays import _name
from fedrobust.data.load import load
from fedrobust.paths import PathError

PER_CLASS = {"bern": 12, "chur": 8}


def noise(rng, height=20, width=30):
    return np.rint(np.kron(rng.uniform(0, 250, (height // 5, width // 5)), np.ones((5, 5)))).astype(np.uint8)


@pytest.fixture
def scans(tmp_path):
    """Two hospitals of PNGs of different sizes, two classes, two images a patient."""
    rng = np.random.default_rng(0)
    for site, count in PER_CLASS.items():
        for label in ("healthy", "ill"):
            folder = tmp_path / "scans" / site / label
            folder.mkdir(parents=True)
            for number in range(count):
                size = (20, 30) if site == "bern" else (40, 40)
                Image.fromarray(noise(rng, *size)).save(folder / f"p{number // 2}_{number}.png")
    return tmp_path / "scans"


def written(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_hospitals_become_a_file_with_sites_patients_and_splits(scans, tmp_path):
    found = fedrobust.import_images(
        scans, tmp_path / "mine.npz", sites=True, patient=r"(\w+/\w+/p\d+)", size=16, disease=["ill"]
    )
    assert written(tmp_path) == ["mine.csv", "mine.npz", "mine.png"]
    assert found.images == 40
    assert found.image_shape == (16, 16, 1)
    data = load(str(tmp_path / "mine.npz"))
    assert (data.label_names, data.disease, data.sites.names) == (("healthy", "ill"), (1,), ("bern", "chur"))
    assert found.classes["ill"] == {
        name: int((split.labels == 1).sum())
        for name, split in zip(("train", "val", "test"), data.splits.values(), strict=True)
    }
    with np.load(tmp_path / "mine.npz") as arrays:
        assert set(arrays["test_site"]) <= set(PER_CLASS)
        assert len(arrays["val_patient"]) == len(data.validation)
    with (tmp_path / "mine.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert rows[0] | {"split": ""} == {
        "path": "bern/healthy/p0_0.png",
        "label": "healthy",
        "site": "bern",
        "patient": "bern/healthy/p0",
        "split": "",
    }
    with Image.open(tmp_path / "mine.png") as sheet:
        assert sheet.mode == "RGB"
    assert "aspect ratio kept: 24 of 40 images are not square and were padded with black" in found.remarks


def test_the_table_of_an_import_gives_the_same_file_again(scans, tmp_path):
    fedrobust.import_images(scans, tmp_path / "one.npz", sites=True, size=16)
    fedrobust.import_images(tmp_path / "one.csv", tmp_path / "other.npz", images=scans, size=16)
    assert load(str(tmp_path / "one.npz")).digest == load(str(tmp_path / "other.npz")).digest


def test_unreadable_images_are_named_and_nothing_is_written(scans, tmp_path):
    (scans / "bern/ill/p0_0.png").write_bytes(b"no image")
    (scans / "chur/ill/p9_9.png").write_bytes(b"")
    with pytest.raises(DataError) as told:
        fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, size=16)
    lines = str(told.value).splitlines()
    assert lines[0].endswith("2 of 41 images cannot be used:")
    assert lines[1] == "  bern/ill/p0_0.png: no image format that Pillow knows, and not DICOM"
    assert lines[2] == "  chur/ill/p9_9.png: empty file"
    assert lines[3].endswith("unreadable = 0.05")
    assert written(tmp_path) == []
    found = fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, size=16, unreadable=0.05)
    assert found.images == 39
    assert "left out: chur/ill/p9_9.png: empty file" in found.remarks


@pytest.mark.parametrize(
    ("colour", "channels", "remark"),
    [
        ("auto", 3, "colour: RGB, because 1 of 41 images have colour (bern/ill/stain.png)"),
        ("grey", 1, "colour: grey, as asked; 1 of 41 images have colour"),
    ],
)
def test_one_image_with_colour_decides_and_is_named(scans, tmp_path, colour, channels, remark):
    stain = np.stack([noise(np.random.default_rng(1))] * 3, axis=2)
    stain[0, 0] = (255, 0, 0)
    Image.fromarray(stain).save(scans / "bern/ill/stain.png")
    found = fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, size=16, colour=colour)
    assert found.image_shape == (16, 16, channels)
    assert any(one.startswith(remark) for one in found.remarks)


def test_grey_images_saved_as_rgb_are_grey(scans, tmp_path):
    for path in scans.rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    found = fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, size=16)
    assert found.image_shape == (16, 16, 1)
    assert "colour: grey, because no image has colour" in found.remarks


def test_deep_images_share_black_and_white(tmp_path):
    images = [np.full((8, 8), 100 * row, np.uint16) for row in range(1, 31)]
    found = fedrobust.import_arrays(
        images, [0, 1] * 15, tmp_path / "mine.npz", size=8, splits=(8, 1, 1), duplicates="keep"
    )
    assert any("0 is black, 4095 is white" in one for one in found.remarks)
    data = load(str(tmp_path / "mine.npz"))
    values = sorted(split.images[row, 0, 0, 0] for split in data.splits.values() for row in range(len(split)))
    assert values == [round(100 * row / 4095 * 255) for row in range(1, 31)]


def test_duplicates_across_given_splits_are_moved_refused_or_kept(tmp_path):
    rng = np.random.default_rng(0)
    images = [noise(rng, 20, 20) for _ in range(20)]
    images[15] = images[0]
    names = ["train"] * 10 + ["val"] * 5 + ["test"] * 5
    made = [images, [0, 1] * 10, tmp_path / "mine.npz"]
    settings = {"image_splits": names, "size": 20}
    with pytest.raises(DataError, match=r"1 pairs .*image 0 \(train\) and image 15 \(test\)"):
        fedrobust.import_arrays(*made, **settings, duplicates="refuse")
    found = fedrobust.import_arrays(*made, **settings)
    assert sum(counts["train"] for counts in found.classes.values()) == 11
    assert any(one.startswith("1 of these pairs were in two splits: 1 images moved") for one in found.remarks)
    assert any(one.startswith("1 of these pairs have two different labels") for one in found.remarks)
    kept = fedrobust.import_arrays(*made, **settings, duplicates="keep", force=True)
    assert any(one.startswith("1 of these pairs are in two splits, as asked") for one in kept.remarks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 4}, "size = 4; allowed: 8 to 1024"),
        ({"fit": "stretch"}, "fit = 'stretch'; allowed: pad, crop"),
        ({"siez": 8}, 'siez: no option; .*did you mean "size"'),
        ({"splits": (1, 0, 1)}, "three numbers above 0"),
        ({"window": (5, 5)}, "black before white"),
        (
            {"classes": ["healthy", "sick"]},
            "not in classes = 'healthy', 'sick'. Name every class that occurs",
        ),
        (
            {"classes": ["healthy", "illl"]},
            "not in classes = 'healthy', 'illl', did you mean \"illl\"\\? Name",
        ),
        ({"classes": "healthy, healthy"}, "classes = 'healthy', 'healthy'; allowed: each class once"),
        ({"disease": ["sick"]}, "disease = 'sick': no class; allowed: 'healthy', 'ill'$"),
        ({"disease": ["ill", "ill"]}, "disease = 'ill', 'ill'; allowed: each class once"),
        ({"columns": {"label": "x"}}, "columns = .*a folder has no use for it"),
    ],
)
def test_options_that_cannot_be_are_refused(scans, tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, **options)
    assert written(tmp_path) == []


@pytest.mark.parametrize(
    ("out", "message"), [("mine.zip", "ends in .npz"), ("no/mine.npz", "there is no folder")]
)
def test_places_that_cannot_be_are_refused(scans, tmp_path, out, message):
    with pytest.raises((DataError, PathError), match=message):
        fedrobust.import_images(scans, tmp_path / out, sites=True)


def test_files_are_replaced_by_force_alone(scans, tmp_path):
    (tmp_path / "mine.png").write_text("mine")
    with pytest.raises(DataError, match=r"mine\.png exists already"):
        fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, size=16)
    fedrobust.import_images(scans, tmp_path / "mine.npz", sites=True, size=16, force=True)
    assert written(tmp_path) == ["mine.csv", "mine.npz", "mine.png"]


def test_a_class_without_an_image_in_a_split_is_told_with_its_counts(tmp_path):
    rng = np.random.default_rng(0)
    labels = ["ill"] * 12 + ["healthy"] * 12 + ["rare, very"] * 2
    found = fedrobust.import_arrays(
        [noise(rng, 20, 20) for _ in labels], labels, tmp_path / "mine.npz", size=20, splits=(60, 10, 30)
    )
    assert found.classes["rare, very"] == {"train": 1, "val": 0, "test": 1}
    (said,) = [one for one in found.remarks if one.startswith("class ")]
    assert said.startswith(
        "class 'rare, very': 2 images (train 1, val 0, test 1), none in val: what validation"
    )
    assert not any("no training image" in one for one in found.remarks)


def test_a_class_without_any_image_is_told_once(tmp_path):
    rng = np.random.default_rng(0)
    found = fedrobust.import_arrays(
        [noise(rng, 20, 20) for _ in range(30)],
        ["ill", "healthy"] * 15,
        tmp_path / "mine.npz",
        size=20,
        classes=["healthy", "ill", "rare, very"],
    )
    (said,) = [one for one in found.remarks if "rare" in one]
    assert said.startswith("no training image of 'rare, very': the file can be one hospital's")


class Rows(list):
    """A split of Hugging Face's `datasets`, as far as it is used: columns by name, rows by number."""

    def __init__(self, rows, names):
        super().__init__(rows)
        self.column_names = list(rows[0])
        self.features = {"label": type("ClassLabel", (), {"names": names})}

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def test_a_hugging_face_data_set_becomes_a_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {"image": Image.fromarray(noise(rng, 20, 20)), "label": row % 2, "who": row // 2} for row in range(40)
    ]
    names = ["healthy", "ill"]
    dataset = {"train": Rows(rows[:30], names), "test": Rows(rows[30:], names)}
    found = fedrobust.import_huggingface(dataset, tmp_path / "mine.npz", patient="who", size=16)
    assert found.classes == {
        "healthy": {"train": 13, "val": 2, "test": 5},
        "ill": {"train": 13, "val": 2, "test": 5},
    }
    with pytest.raises(DataError, match="no column 'pixels' in the data set; found image, label, who"):
        fedrobust.import_huggingface(dataset, tmp_path / "other.npz", image="pixels")
    with pytest.raises(DataError, match="split 'holdout'"):
        fedrobust.import_huggingface({"holdout": rows}, tmp_path / "other.npz")


def test_the_command_line_prints_counts_and_decisions(scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        cli.app,
        ["data", "import", "scans", "--out", "mine.npz", "--sites", "--size", "16", "--splits", "60/20/20"],
    )
    assert done.exit_code == 0, done.output
    assert done.output.startswith("mine.npz: 40 images of 16 x 16 pixels, grey")
    assert "splits: drawn 60/20/20 by class, site, seed 0" in done.output
    assert done.output.rstrip().endswith("fedrobust init study.toml --data mine.npz")
    for wrong in (["--splits", "70/30"], ["--window", "5"], ["--column", "label"]):
        assert (
            CliRunner().invoke(cli.app, ["data", "import", "scans", "--out", "b.npz", *wrong]).exit_code == 2
        )


def test_the_command_line_takes_a_class_with_a_comma_as_one_class(scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for site in PER_CLASS:
        (scans / site / "ill").rename(scans / site / "ill, very")
    words = ["data", "import", "scans", "--out", "mine.npz", "--sites", "--size", "16"]
    done = CliRunner().invoke(cli.app, [*words, "--disease", "ill, very", "--classes", "healthy; ill, very"])
    assert done.exit_code == 0, done.output
    data = load(str(tmp_path / "mine.npz"))
    assert (data.label_names, data.disease) == (("healthy", "ill, very"), (1,))


def test_progress_is_told_image_by_image_and_other_files_are_no_source(scans, tmp_path):
    told = []
    fedrobust.import_images(
        scans,
        tmp_path / "mine.npz",
        sites=True,
        size=16,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 40) for done in range(1, 41)]
    with pytest.raises(DataError, match=r"p0_0\.png: neither a folder nor a table"):
        fedrobust.import_images(scans / "bern/ill/p0_0.png", tmp_path / "other.npz")


def test_images_without_a_label_are_refused_and_without_a_patient_are_told(tmp_path):
    rng = np.random.default_rng(0)
    images = [noise(rng, 20, 20) for _ in range(20)]
    with pytest.raises(DataError, match="label nan: an image without a label"):
        fedrobust.import_arrays(images, [0.0, np.nan] * 10, tmp_path / "mine.npz")
    found = fedrobust.import_arrays(
        images, [0, 1] * 10, tmp_path / "mine.npz", patients=["", *map(str, range(1, 20))], size=20
    )
    assert "patients: not known of 1 images, each of which counts as a patient of its own" in found.remarks


def test_where_no_image_can_be_used_the_first_is_named(tmp_path):
    with pytest.raises(
        DataError, match="none of its 6 images can be used, the first is image 0: dtype float64"
    ):
        fedrobust.import_arrays(np.zeros((6, 8, 8)), [0, 1] * 3, tmp_path / "mine.npz")


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_missing_patients_and_sites_are_none(missing):
    assert _name(missing) == ""
    assert _name(7) == "7"
