"""From hospitals' PNGs to a federated, audited report, as a user does it."""

import json

import numpy as np
import pytest
from PIL import Image
from test_cli import fedrobust as command

import fedrobust

HOSPITALS = {"bern": (40, 30, 40), "chur": (24, 48, 36), "genf": (50, 28, 28)}
"""Images, height and width in pixels."""

QUICK = {
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "training__learning_rate": 0.01,
    "training__batch_size": 8,
    "evaluation__epsilons": ["2/255"],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def lesion(rng, ill, height, width):
    """Return a grey disc, bright where the patient is ill, on noise."""
    down, across = np.mgrid[:height, :width]
    image = rng.normal(60, 10, (height, width))
    centre = rng.uniform(0.4, 0.6, 2) * (height, width)
    image[np.hypot(down - centre[0], across - centre[1]) < min(height, width) / 4] = 220 if ill else 110
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Return a folder of PNGs of three hospitals, each with images of its own size, two a patient."""
    folder, rng = tmp_path_factory.mktemp("hospitals") / "scans", np.random.default_rng(0)
    for hospital, (count, height, width) in HOSPITALS.items():
        for label in ("benign", "malignant"):
            place = folder / hospital / label
            place.mkdir(parents=True)
            for number in range(count // 2):
                image = lesion(rng, label == "malignant", height, width)
                Image.fromarray(image).save(place / f"{number // 2:03}_{number % 2}.png")
    return folder


def edited(path, *lines):
    """Change lines of a study file, each of which stands there once."""
    text = path.read_text()
    for before, after in lines:
        assert text.count(f"\n{before} ") == 1, before
        text = text.replace(f"\n{before} ", f"\n{after} ")
    path.write_text(text)


@pytest.mark.slow
def test_from_a_folder_of_three_hospitals_to_an_audited_report_with_five_edited_lines(scans, tmp_path):
    done = command(
        "data",
        "import",
        scans,
        "--out",
        "mine.npz",
        "--size",
        32,
        "--sites",
        "--disease",
        "malignant",
        folder=tmp_path,
    )
    assert "mine.npz: 114 images of 32 x 32 pixels, grey" in done.stdout
    done = command("init", "mine.toml", "--data", "mine.npz", folder=tmp_path)
    assert "3 sites, each a client" in done.stdout
    # Two hospitals train, one is new to the model, which is a small one from random weights.
    edited(
        tmp_path / "mine.toml",
        ('name = "mobilenetv2"', 'name = "edge-cnn"'),
        ('weights = "imagenet"', 'weights = "random"'),
        ("rounds = 30", "rounds = 10"),
        ("clients = 3", "clients = 2"),
        ("held-out-sites = []", 'held-out-sites = ["genf"]'),
    )
    done = command("run", "mine.toml", "--out", "run", folder=tmp_path)
    assert "unseen site genf" in done.stdout
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "finished"
    assert result["unseen"]["genf"]["n"] == 50
    assert result["unseen"]["genf"]["accuracy"] > 0.8
    assert result["audit"]["verdict"]["word"]
    report = (tmp_path / "run/report.html").read_text()
    assert "Is it robust?" in report
    assert "Unseen site" in report


def test_hospitals_with_a_file_each_train_together_and_an_unseen_one_is_measured(scans, tmp_path):
    files = []
    for hospital in HOSPITALS:
        found = fedrobust.import_images(scans / hospital, tmp_path / f"{hospital}.npz", size=28)
        files.append(str(found.file))
    run = fedrobust.run(
        out=tmp_path / "run",
        data__clients=files,
        data__partition="site",
        data__held_out_sites=["bern"],
        federation__clients=2,
        federation__rounds=4,
        **QUICK,
    )
    assert run.record.dataset.name == "3 hospitals: bern, chur, genf, without bern"
    assert set(run.record.unseen) == {"bern"}
    assert run.record.unseen["bern"].n == 40
    assert run.record.unseen["bern"].accuracy > 0.8
    shown = json.loads((tmp_path / "run/partition.json").read_text())
    assert shown["settings"] == {"names": ["chur", "genf"]}
    whole = fedrobust.run(
        out=tmp_path / "whole",
        data__clients=files,
        data__partition="site",
        federation__clients=3,
        federation__rounds=1,
        **QUICK,
    )
    assert whole.record.unseen is None
