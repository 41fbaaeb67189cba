"""What a hospital's engineer is told of a file before it joins a study."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

import fedrobust
from fedrobust import cli
from fedrobust.data.dataset import DataError

LABELS = np.arange(12) % 2
NAMES = np.array(["healthy", "ill"])


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a small file, without the arrays that are None, and returns its path."""

    def write(name="own", **changes):
        rng = np.random.default_rng(len(name))
        arrays = {
            f"{split}_images": rng.integers(0, 256, (12, 8, 8), np.uint8)
            for split in ("train", "val", "test")
        }
        arrays |= {f"{split}_labels": LABELS for split in ("train", "val", "test")}
        arrays |= {"label_names": NAMES, **changes}
        np.savez(tmp_path / f"{name}.npz", **{key: each for key, each in arrays.items() if each is not None})
        return tmp_path / f"{name}.npz"

    return write


def test_a_good_file_has_counts_and_no_warning(written):
    found = fedrobust.check_dataset(written(train_site=np.repeat(["a", "b"], [4, 8])))
    assert found.usable
    assert (found.whole, found.warnings) == ("", ())
    assert found.classes["ill"] == {"train": 6, "val": 6, "test": 6}
    assert found.sites == {"a": {"train": 4}, "b": {"train": 8}}
    every = {f"{split}_site": np.repeat(["a", "b"], [4, 8]) for split in ("train", "val", "test")}
    assert fedrobust.check_dataset(written(**every)).sites["b"] == {"train": 8, "val": 8, "test": 8}
    assert found.named
    assert not fedrobust.check_dataset(written(label_names=None)).named
    assert found.values == (0, 255)
    assert not found.patients
    patients = {
        f"{split}_patient": np.arange(12) + 100 * place
        for place, split in enumerate(("train", "val", "test"))
    }
    assert fedrobust.check_dataset(written(**patients)).patients


def test_a_hospital_may_lack_splits_and_classes_a_study_may_not(written):
    path = written(
        train_labels=np.zeros(12, int), val_images=None, val_labels=None, test_images=None, test_labels=None
    )
    found = fedrobust.check_dataset(path)
    assert found.usable
    assert "no val_images, val_labels" in found.whole
    assert found.classes == {"healthy": {"train": 12}, "ill": {"train": 0}}
    assert found.warnings == ("no image of class ill in train",)


def images(*changed):
    """Return twelve random images, some replaced."""
    made = np.random.default_rng(9).integers(0, 256, (12, 8, 8), np.uint8)
    for place, image in changed:
        made[place] = image
    return made


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"label_names": None}, "does not name its classes"),
        ({"val_images": images((3, 7), (4, 200))}, "constant images: 2, such as val 3, val 4"),
        ({"test_images": images() // 250}, "test_images has values up to 1 of 255"),
        (
            {"train_images": images(), "test_images": images()[::-1]},
            "exact duplicates in two splits, which flatter test figures: 12, such as train 0 and test 11",
        ),
        (
            {"train_images": images(), "test_images": images()[::-1]},
            "duplicates with different labels: 12, such as train 0 and test 11",
        ),
    ],
)
def test_what_should_be_looked_at_is_told(written, changes, warning):
    assert any(warning in told for told in fedrobust.check_dataset(written(**changes)).warnings)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"label_names": NAMES[::-1]},
            "classes 'ill', 'healthy', .* has 'healthy', 'ill', in this order: .*classes = 'healthy,ill'",
        ),
        (
            {split + "_images": np.zeros((12, 9, 9), np.uint8) for split in ("train", "val", "test")},
            r"\(9, 9, 1\)",
        ),
        ({"label_names": None, "train_labels": LABELS * 4}, "labels go up to 4, .* has 0 to 1"),
    ],
)
def test_another_size_or_other_classes_do_not_fit_a_study(written, changes, reason):
    study = written("study")
    found = fedrobust.check_dataset(written(**changes), like=study)
    assert not found.usable
    assert re.search(reason, found.hospital)
    assert fedrobust.check_dataset(study, like=study).usable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": None}, "no train_images"),
        ({"val_labels": None}, "val_images without val_labels; allowed: both, or neither"),
        (
            {"test_images": np.zeros((12, 9, 9), np.uint8)},
            r"test_images has images of shape \(9, 9, 1\); allowed: \(8",
        ),
        (
            {"test_labels": LABELS * 2},
            "test_labels has the value 2; allowed: 0 to 1, which label_names names",
        ),
        (
            {"train_patient": np.arange(12), "test_patient": np.arange(12)},
            "12 patients are in train and in test",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(written, changes, message):
    with pytest.raises(DataError, match=message):
        fedrobust.check_dataset(written(**changes))


def test_the_command_line_exits_with_2_where_a_file_does_not_fit(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written("study")
    written("other", label_names=NAMES[::-1])
    study = tmp_path / "study.toml"
    study.write_text('[data]\nname = "study.npz"\n')
    fits = CliRunner().invoke(cli.app, ["data", "check", "study.npz", "--like", "study.toml"])
    assert fits.exit_code == 0, fits.output
    assert "it fits study.toml" in fits.output
    assert CliRunner().invoke(cli.app, ["data", "check", "other.npz", "--like", "study.toml"]).exit_code == 2
    alone = CliRunner().invoke(cli.app, ["data", "check", "other.npz", "--exact"])
    assert alone.exit_code == 0
    assert "as data.name of a study: yes" in alone.output


def test_init_makes_each_site_a_client(written, tmp_path):
    path = written(train_site=np.repeat(["a", "b", "c"], 4))
    done = CliRunner().invoke(cli.app, ["init", str(tmp_path / "s.toml"), "--data", str(path)])
    assert done.exit_code == 0, done.output
    found = fedrobust.Experiment.load(tmp_path / "s.toml")
    assert (found.data.partition, found.federation.clients) == ("site", 3)
