"""New images are converted as an import converted those of the model's data: fit, window and white are recorded."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import fedrobust
from fedrobust.data.conversion import Conversion, common
from fedrobust.data.dataset import DataError
from fedrobust.data.hospitals import joined
from fedrobust.data.load import describe, load
from fedrobust.edge.about import About
from fedrobust.edge.device_files import write_device_files
from fedrobust.edge.export import export
from fedrobust.prediction.pictures import listed, prepared
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import RunRecord
from server.recorder import described

SIZE = 12


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A folder of oblong images of 12 bits, whose class shows in their brightness."""
    draw, place = np.random.default_rng(5), tmp_path_factory.mktemp("scans")
    for label, level in (("dark", 200), ("bright", 2500)):
        (place / label).mkdir()
        for number in range(12):
            deep = draw.integers(level, level + 1400, (20, 33)).astype(np.uint16)
            Image.fromarray(deep).save(place / label / f"{number}.png")
    return place


def imported(scans, place, **options):
    file = place / "mine.npz"
    fedrobust.import_images(scans, file, size=SIZE, **options)
    return load(str(file))


def told_to_the_network(path, conversion):
    unreadable = []
    ((_, image),) = prepared(listed([path], "test"), (SIZE, SIZE, 1), conversion, unreadable)
    assert not unreadable
    return image


@pytest.mark.parametrize(
    ("options", "conversion"),
    [
        ({}, Conversion("pad", white=4095.0)),
        ({"fit": "crop"}, Conversion("crop", white=4095.0)),
        ({"window": (500, 3000)}, Conversion("pad", (500.0, 3000.0))),
    ],
)
def test_an_image_becomes_the_pixels_that_its_import_made_of_it(scans, tmp_path, options, conversion):
    data = imported(scans, tmp_path, **options)
    assert data.conversion == conversion
    assert describe(data)["conversion"] == conversion.to_json()
    record = described(data).conversion
    assert (record.fit, record.window, record.white) == (conversion.fit, conversion.window, conversion.white)
    rows = (tmp_path / "mine.csv").read_text().splitlines()[1:]
    names = [row.split(",")[0] for row in rows if row.endswith(",train")]
    assert len(names) == len(data.train)
    for name, pixels in zip(names, data.train.images, strict=True):
        np.testing.assert_array_equal(told_to_the_network(scans / name, data.conversion).pixels, pixels)


def test_images_of_eight_bits_tell_no_window(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(24, 1, 1, 1) * np.ones((1, SIZE, SIZE, 1), np.uint8)
    fedrobust.import_arrays(images, np.arange(24) % 2, tmp_path / "mine.npz", size=SIZE, duplicates="keep")
    assert load(str(tmp_path / "mine.npz")).conversion == Conversion("pad")


@pytest.fixture(scope="module")
def model(scans, tmp_path_factory):
    """A run folder of a model of such images, with a file for devices; its data were cropped."""
    place = tmp_path_factory.mktemp("run")
    data = imported(scans, place, fit="crop")
    inputs = keras.Input((SIZE, SIZE, 1))
    dense = keras.layers.Dense(2)
    network = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.set_weights([np.repeat([[10 / SIZE**2, 0.0]], SIZE**2, axis=0), np.array([-5.0, 0.0])])
    network.save(place / "model.keras")
    about = About(data.label_names, data.image_shape, conversion=data.conversion)
    export(network, place, ("float32",), stem="student", about=about)
    write_device_files(place, about)
    (place / "experiment.toml").write_text('name = "tiny"\n')
    record = RunRecord(status="finished", name="tiny", dataset=described(data))
    RunFolder(place).write_json("result.json", record.to_json())
    return place


@pytest.mark.parametrize("file", ["", "model.keras", "student.float32.tflite"])
def test_a_model_converts_new_images_as_those_that_it_learnt_from(model, scans, file):
    scan = scans / "bright" / "3.png"
    (found,) = fedrobust.predict(model / file, scan)
    mean = told_to_the_network(scan, Conversion("crop", white=4095.0)).pixels.mean() / 255
    assert found.probabilities["bright"] == pytest.approx(1 / (1 + np.exp(5 - 10 * mean)), abs=1e-4)
    assert found.changes == (
        "shown from 0 to 4095, as the model's images",
        f"33 x 20 resized to {SIZE} x {SIZE}, cropped to its centre",
    )
    asked = fedrobust.predict(model / file, scan, fit="pad", window=(0, 65535))
    assert asked.notes == (
        "the model's images were made square by crop, these by pad, as asked",
        "deep pixels of the model's images were shown from 0 to 4095, these from 0 to 65535, as asked",
    )
    assert asked[0].probabilities["bright"] < found.probabilities["bright"]


def test_the_script_for_devices_crops_as_the_import_did(model, scans, tmp_path, draw):
    paths = []
    for height, width in ((20, 33), (33, 20), (21, 40), (12, 12), (40, 21)):
        paths.append(tmp_path / f"{len(paths)}.png")
        Image.fromarray(draw.integers(0, 256, (height, width), dtype=np.uint8)).save(paths[-1])
    file = model / "student.float32.tflite"
    done = subprocess.run(
        [sys.executable, model / "classify.py", file, *paths], capture_output=True, text=True, check=True
    )
    found = fedrobust.predict(file, *paths)
    for line, one in zip(done.stdout.splitlines(), found, strict=True):
        shown = dict(each.split("=") for each in line.split("\t")[1:])
        assert float(shown["bright"]) == pytest.approx(one.probabilities["bright"], abs=6e-4)


def test_a_file_without_a_record_asks_for_the_window(model, scans, tmp_path):
    copy = shutil.copytree(model, tmp_path / "old")
    record = json.loads((copy / "result.json").read_text())
    del record["dataset"]["conversion"]
    (copy / "result.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="deeper than 8 bits, values up to"):
        fedrobust.predict(copy, scans / "dark" / "0.png")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("import_fit", "stretch", "fit = 'stretch'; allowed: pad, crop"),
        ("import_window", [400, -1000], "allowed: two numbers, black before white"),
        ("import_window", [1, 2, 3], "too many values"),
        ("import_white", [0.0], "allowed: a number above 0"),
        ("import_white", ["light"], "could not convert"),
    ],
)
def test_a_file_that_tells_nonsense_is_refused(scans, tmp_path, key, value, said):
    imported(scans, tmp_path)
    with np.load(tmp_path / "mine.npz") as file:
        arrays = {**file, key: np.array(value)}
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(DataError, match=f"odd.npz: .*{key}.*{said}"):
        load(str(tmp_path / "odd.npz"))


def test_hospitals_with_different_windows_are_told(scans, tmp_path):
    for name, window in (("north", None), ("south", (0, 65535))):
        fedrobust.import_images(scans, tmp_path / f"{name}.npz", size=SIZE, window=window, duplicates="keep")
    data = joined([tmp_path / "north.npz", tmp_path / "south.npz"])
    assert data.conversion == Conversion("pad")
    (said,) = data.remarks
    assert "(north 0:4095, south 0:65535)" in said


def test_what_agrees_is_common():
    first, other = Conversion("pad", white=4095.0), Conversion("crop", (0.0, 4095.0))
    assert common([first, other]) == Conversion("", (0.0, 4095.0), 4095.0)
    assert common([first, replace(first, fit="")]) == first
    assert common([]) == Conversion()
