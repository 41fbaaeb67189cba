"""Single images are prepared as an import prepares them, and classified as the model classifies them."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import ndtr
from typer.testing import CliRunner

import fedrobust
from fedrobust.cli import app
from fedrobust.config import ConfigError
from fedrobust.data.dataset import DataError
from fedrobust.data.importing.fit import fitted
from fedrobust.edge.about import About
from fedrobust.edge.export import export
from fedrobust.models.keras_file import ModelFileError
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import DatasetRecord, RunRecord


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder whose model says "dark" or "bright" by the mean pixel: logits 0 and 10 (mean - 0.5)."""
    place = RunFolder(tmp_path_factory.mktemp("run"))
    inputs = keras.Input((8, 8, 1))
    dense = keras.layers.Dense(2)
    model = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.set_weights([np.repeat([[0.0, 10 / 64]], 64, axis=0), np.array([0.0, -5.0])])
    model.save(place.file("model.keras"))
    export(model, place.path, ("float32",), stem="student")
    place.write_text("experiment.toml", 'name = "tiny"\n')
    record = RunRecord(status="finished", name="tiny", dataset=DatasetRecord(labels=("dark", "bright")))
    place.write_json("result.json", record.to_json())
    return place.path


def grey(level, height=8, width=8):
    return np.full((height, width), level, np.uint8)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("file", ["", "model.keras", "student.float32.tflite"])
def test_probabilities_are_the_softmax_of_the_logits(folder, file):
    found = fedrobust.predict(folder / file, grey(255), [grey(0), grey(102)])
    expected = [sigmoid(10 * (mean - 0.5)) for mean in (1.0, 0.0, 0.4)]
    assert [one.probabilities["bright"] for one in found] == pytest.approx(expected, abs=1e-5)
    assert [one.name for one in found] == ["bright", "dark", "dark"]
    assert [one.probability for one in found] == pytest.approx(
        [max(each, 1 - each) for each in expected], abs=1e-5
    )
    assert [one.changes for one in found] == [()] * 3


def test_images_are_prepared_as_an_import_prepares_them(folder, tmp_path, draw):
    wide = draw.integers(0, 256, (10, 30), dtype=np.uint8)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for fit, said in (("pad", "padded with black"), ("crop", "cropped to its centre")):
        (one,) = fedrobust.predict(folder, tmp_path / "wide.png", fit=fit)
        mean = fitted(wide, 8, fit).mean() / 255
        assert one.probabilities["bright"] == pytest.approx(sigmoid(10 * (mean - 0.5)), abs=1e-5)
        assert one.changes == (f"30 x 10 resized to 8 x 8, {said}",)


def test_deep_images_need_the_window_of_the_models_data(folder, tmp_path):
    """White that is guessed from the images of a call would give one image two answers."""
    low, high = (np.full((8, 8), value, np.uint16) for value in (900, 3000))
    with pytest.raises(DataError, match=r"image 0: deeper than 8 bits, values up to 900: .*--window 0:4095"):
        fedrobust.predict(folder, low)
    Image.fromarray(high).save(tmp_path / "deep.png")
    told = CliRunner().invoke(app, ["predict", str(folder), str(tmp_path / "deep.png")])
    assert told.exit_code != 0
    found = fedrobust.predict(folder, low, grey(255), tmp_path / "deep.png", low, window=(0, 4095))
    means = [round(value / 4095 * 255) / 255 for value in (900, 4095, 3000, 900)]
    expected = [sigmoid(10 * (mean - 0.5)) for mean in means]
    assert [one.probabilities["bright"] for one in found] == pytest.approx(expected, abs=1e-5)
    (alone,) = fedrobust.predict(folder, low, window=(0, 4095))
    assert alone.probabilities == found[0].probabilities


def test_colours_depth_and_windows_are_told(folder, tmp_path):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[..., 0] = 200
    Image.fromarray(colours).save(tmp_path / "red.png")
    Image.fromarray(grey(255).astype(np.uint16) * 8).save(tmp_path / "deep.png")
    (red,) = fedrobust.predict(folder, tmp_path / "red.png")
    assert red.changes == ("colours made grey",)
    (shown,) = fedrobust.predict(folder, tmp_path / "deep.png", window=(0, 2040))
    assert shown.probabilities["bright"] == pytest.approx(sigmoid(5), abs=1e-5)


def test_folders_and_archives_hold_several_images(folder, tmp_path):
    (tmp_path / "scans" / "deeper").mkdir(parents=True)
    Image.fromarray(grey(255)).save(tmp_path / "scans" / "a.png")
    Image.fromarray(grey(0)).save(tmp_path / "scans" / "deeper" / "b.bmp")
    (tmp_path / "scans" / "notes.txt").write_text("not an image")
    np.savez(tmp_path / "data.npz", test_images=np.stack([grey(0), grey(255)]))
    found = fedrobust.predict(folder, tmp_path / "scans", tmp_path / "data.npz")
    assert [one.name for one in found] == ["bright", "dark", "dark", "bright"]
    assert found[1].image.endswith("scans/deeper/b.bmp")
    with pytest.raises(DataError, match="no train_images in it; it holds test_images"):
        fedrobust.predict(folder, tmp_path / "data.npz", split="train")


def test_findings_of_multi_label_models_do_not_exclude_each_other(folder, tmp_path):
    for name in ("model.keras", "experiment.toml"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    data = DatasetRecord(labels=("mass", "nodule"), task="multi-label, binary-class")
    RunFolder(tmp_path).write_json("result.json", RunRecord(dataset=data).to_json())
    found = fedrobust.predict(tmp_path, grey(255), grey(0))
    assert [one.name for one in found] == ["nodule", "no finding"], "a logit of 0 is no finding"
    assert found[1].probabilities == pytest.approx({"mass": 0.5, "nodule": sigmoid(-5)}, abs=1e-5)


def test_a_litert_file_names_its_labels_itself(folder, tmp_path):
    about = About(("mass", "nodule"), (8, 8, 1), multilabel=True)
    alone = tmp_path / "alone.float32.tflite"
    alone.write_bytes(about.behind((folder / "student.float32.tflite").read_bytes()))
    found = fedrobust.predict(alone, grey(255), grey(0))
    assert [one.name for one in found] == ["nodule", "no finding"], "a logit of 0 is no finding"
    assert found[1].probabilities == pytest.approx({"mass": 0.5, "nodule": sigmoid(-5)}, abs=1e-5)


def test_an_onnx_file_names_its_labels_itself(folder, tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    model = keras.models.load_model(folder / "model.keras")
    export(model, tmp_path, ("onnx",), stem="alone", about=About(("shadow", "light"), (8, 8, 1)))
    found = fedrobust.predict(tmp_path / "alone.onnx", grey(255), grey(0))
    assert [one.name for one in found] == ["light", "shadow"]
    assert found[0].probabilities["light"] == pytest.approx(sigmoid(5), abs=1e-5)


def test_what_cannot_be_used_is_named_with_what_can(folder, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "alone.keras").write_bytes((folder / "model.keras").read_bytes())
    (tmp_path / "empty").mkdir()
    cases = [
        (DataError, "text.png: no image format", (folder, tmp_path / "text.png"), {}),
        (DataError, "no such file", (folder, tmp_path / "missing.png"), {}),
        (DataError, "no image in this folder", (folder, tmp_path / "empty"), {}),
        (DataError, "none given", (folder,), {}),
        (DataError, "fit = 'stretch'; allowed: pad, crop", (folder, grey(0)), {"fit": "stretch"}),
        (DataError, "black before white", (folder, grey(0)), {"window": (9, 3)}),
        (DataError, "dtype float64", (folder, grey(0) / 255), {}),
        (ModelFileError, "no result.json beside it", (tmp_path / "alone.keras", grey(0)), {}),
        (ModelFileError, "a folder, but not a run's", (tmp_path / "empty", grey(0)), {}),
        (ModelFileError, "allowed: a run folder, or a .keras", (folder / "result.json", grey(0)), {}),
    ]
    for kind, message, given, settings in cases:
        with pytest.raises(kind, match=message):
            fedrobust.predict(*given, **settings)


def test_the_command_writes_json_and_csv(folder, tmp_path):
    Image.fromarray(grey(255)).save(tmp_path / "a.png")
    model, image, table = (
        str(folder / "student.float32.tflite"),
        str(tmp_path / "a.png"),
        tmp_path / "out.csv",
    )
    done = CliRunner().invoke(app, ["predict", model, image, "--json", "--csv", str(table)])
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)["predictions"]
    assert (one["name"], one["label"]) == ("bright", 1)
    assert table.read_text().splitlines()[0] == "image,class,probability,p(dark),p(bright),changes"
    shown = CliRunner().invoke(app, ["predict", model, image])
    assert "bright" in shown.stdout
    assert "99.3%" in shown.stdout


@pytest.mark.parametrize("file", ["", "student.float32.tflite"])
def test_a_smoothed_model_answers_with_the_radius_of_a_linear_one_or_abstains(folder, file):
    # The mean of 64 pixels decides: noise moves it by sigma / 8, and its distance to 0.5 is |mean - 0.5| * 8 in l2.
    # An exported file clips at 0 and 1, which a sigma of 0.1 hardly reaches.
    sigma, samples, levels = (0.1, 500, (131, 124, 127)) if file else (0.5, 2000, (144, 115, 127))
    found = fedrobust.predict(folder / file, *map(grey, levels), sigma=sigma, samples=samples, seed=0)
    assert [one.name for one in found] == ["bright", "dark", "abstains"]
    assert [one.label for one in found] == [1, 0, -1]
    for one, level in zip(found, levels, strict=True):
        truth = abs(level / 255 - 0.5) * 8
        share = float(ndtr(truth / sigma))
        assert one.probability == pytest.approx(share, abs=0.05)
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert truth - 0.1 < one.radius < truth if one.label >= 0 else one.radius == 0
    assert found.table.columns.tolist()[:4] == ["image", "class", "probability", "radius"]


def test_noise_is_drawn_anew_unless_a_seed_is_given(folder):
    def shares(**settings):
        (one,) = fedrobust.predict(folder, grey(130), sigma=0.5, **settings)
        return one.probability

    assert shares(seed=3) == shares(seed=3)
    assert len({shares() for _ in range(4)}) > 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sigma": -1.0}, "sigma = -1.0: choose a number above 0"),
        ({"sigma": 0.1, "samples": 0}, "samples = 0: choose a whole number from 1"),
        ({"sigma": 0.1, "alpha": 0.5}, "alpha = 0.5: choose a number above 0, below 0.5"),
        ({"samples": 50}, "samples = 50, alpha = 0.001: they are of the smoothed model; set sigma, too"),
    ],
)
def test_settings_of_smoothing_out_of_range_are_refused(folder, settings, said):
    with pytest.raises(ConfigError, match=said):
        fedrobust.predict(folder, grey(3), **settings)


def test_a_certificate_of_several_findings_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "findings")
    place = RunFolder(tmp_path / "findings")
    record = place.record()
    several = replace(record, dataset=replace(record.dataset, task="multi-label, binary-class"))
    place.write_json("result.json", several.to_json())
    assert place.record().dataset.multilabel
    with pytest.raises(DataError, match=r"sigma = 0.5: .*may have several findings in an image"):
        fedrobust.predict(place.path, grey(3), sigma=0.5)


def test_the_command_says_the_radius(folder, tmp_path):
    Image.fromarray(grey(255)).save(tmp_path / "bright.png")
    middle = grey(127)
    middle[:4] = 128  # the mean is one half: a command cannot seed the noise, and either class is as probable
    Image.fromarray(middle).save(tmp_path / "middle.png")
    command = ["predict", str(folder), str(tmp_path / "bright.png"), str(tmp_path / "middle.png")]
    # alpha is also the probability that the second image is given a class
    command += ["--sigma", "0.25", "--alpha", "1e-6"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    assert "abstains" in told.output
    assert "0.551" in told.output  # sigma times the quantile of 1e-6 ** (1 / 1000)
    assert "except with probability 1e-06 an image" in " ".join(told.output.split())
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert found["smoothing"]["samples"] == 1000
    assert [one["label"] for one in found["predictions"]] == [1, -1]


def test_all_images_that_cannot_be_read_are_named_and_left_out_if_asked(folder, tmp_path):
    Image.fromarray(grey(255)).save(tmp_path / "b.png")
    for name in ("a.png", "c.png"):
        (tmp_path / name).write_bytes((tmp_path / "b.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"2 of 3 images cannot be read: .*a\.png.*c\.png.*skip_unreadable"):
        fedrobust.predict(folder, tmp_path)
    found = fedrobust.predict(folder, tmp_path, skip_unreadable=True)
    assert [one.name for one in found] == ["bright"]
    assert len(found.unreadable) == 2
    told = CliRunner().invoke(app, ["predict", str(folder), str(tmp_path), "--skip-unreadable"])
    assert told.exit_code == 0
    assert told.output.count("left out: ") == 2
    (tmp_path / "b.png").unlink()
    with pytest.raises(DataError, match="2 of 2 images cannot be read"):
        fedrobust.predict(folder, tmp_path, skip_unreadable=True)
