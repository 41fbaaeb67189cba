"""`classify.py`, written beside the files, answers as the Keras model does, and needs no TensorFlow."""

import json
import os
import runpy
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import ExifTags, Image

from fedrobust.data.importing.fit import fitted
from fedrobust.edge.about import About
from fedrobust.edge.device_files import write_device_files
from fedrobust.edge.export import export
from fedrobust.edge.interpreter import Interpreter
from tests.data.importing.test_decode import png_of_16_bits

SCRIPT = Path(__file__).parents[2] / "fedrobust" / "edge" / "classify.py.txt"


def pictures(images, folder):
    """Write images (n, height, width, 1) in [0, 1] as PNG files."""
    paths = [folder / f"{number:03}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(np.rint(255 * image[..., 0]).astype(np.uint8)).save(path)
    return paths


def answers(python, file, paths, environment=None):
    """Return the label and its probability of each image, as the script prints them."""
    command = [str(python), str(file.parent / "classify.py"), str(file), *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=file.parent
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == list(map(str, paths))
    assert all(len(line) == 4 for line in lines)
    first = [line[1].rpartition("=") for line in lines]
    return [label for label, _, _ in first], np.array([float(chance) for _, _, chance in first])


def expected(study, n):
    logits = study.logits[:n].astype(np.float64)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return [("small", "large", "no disc")[each] for each in chances.argmax(axis=1)], chances.max(axis=1)


def test_the_script_says_what_keras_says(study, exported, tmp_path):
    paths = pictures(study.images[:100], tmp_path)
    labels, chances = expected(study, 100)
    # Without fedrobust on its path.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found, said = answers(sys.executable, exported["float32"], paths, environment)
    assert found == labels
    np.testing.assert_allclose(said, chances, atol=1e-3)
    found, _ = answers(sys.executable, exported["int8"], paths, environment)
    assert sum(one == other for one, other in zip(found, labels, strict=True)) >= 95


def test_images_are_seen_as_predict_sees_them(study, exported, tmp_path):
    """Turned by EXIF, with transparency, and deeper than 8 bits."""
    image = np.rint(255 * study.images[0, ..., 0]).astype(np.uint8)
    picture = Image.fromarray(image)
    picture.save(tmp_path / "as-is.png")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    picture.rotate(90).save(tmp_path / "turned.png", exif=turned)
    clear = np.dstack([image, image, image, np.full_like(image, 255)])
    clear[image == 0] = (255, 255, 255, 0)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    paths = [tmp_path / f"{name}.png" for name in ("as-is", "turned", "clear")]
    found, said = answers(sys.executable, exported["float32"], paths)
    assert len(set(found)) == 1
    np.testing.assert_allclose(said, said[0], atol=1e-3)
    Image.fromarray(image.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    png_of_16_bits(tmp_path / "colours.png", np.repeat(image[..., None], 3, axis=2).astype(np.uint16) * 16)
    for name in ("deep.png", "colours.png"):
        command = [sys.executable, "classify.py", exported["float32"], tmp_path / name]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=exported["float32"].parent
        )
        assert done.returncode == 1
        assert "deeper than 8 bits" in done.stderr


@pytest.mark.parametrize("side", [28, 31])
def test_oblong_images_lie_where_an_import_puts_them(tmp_path, monkeypatch, draw, side):
    seen, paths, images = [], [], []
    details = [{"index": 0, "quantization": (0.0, 0), "dtype": np.float32}]
    interpreter = SimpleNamespace(
        allocate_tensors=lambda: None,
        get_input_details=lambda: details,
        get_output_details=lambda: details,
        set_tensor=lambda index, pixels: seen.append(pixels),
        invoke=lambda: None,
        get_tensor=lambda index: np.zeros((1, 2), np.float32),
    )
    for height in range(20, 101):
        wide = draw.integers(0, 256, (height, 56), dtype=np.uint8)
        for image in (wide, wide.T):
            paths.append(tmp_path / f"{len(paths)}.png")
            images.append(image)
            Image.fromarray(image).save(paths[-1])
    about = {"input": {"shape": [side, side, 1]}, "labels": ["a", "b"], "task": "one label an image"}
    with zipfile.ZipFile(tmp_path / "model.tflite", "w") as archive:
        archive.writestr("about.json", json.dumps(about))
    fake = SimpleNamespace(Interpreter=lambda file: interpreter)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", fake)
    monkeypatch.setattr(sys, "argv", ["classify.py", *map(str, [tmp_path / "model.tflite", *paths])])
    runpy.run_path(str(SCRIPT))
    expected = [fitted(image, side, "pad")[None, ..., None] / np.float32(255) for image in images]
    np.testing.assert_array_equal(seen, expected)


def test_answers_that_are_alike_keep_the_order_of_the_labels(tmp_path):
    """As everywhere else, where the first of the largest counts."""
    inputs = keras.Input((28, 28, 1))
    tied = keras.Model(
        inputs, keras.layers.Dense(3, kernel_initializer="zeros")(keras.layers.Flatten()(inputs))
    )
    file = export(tied, tmp_path, ["float32"], about=About(("a", "b", "c"), (28, 28, 1)))["float32"]
    found, _ = answers(sys.executable, file, pictures(np.full((1, 28, 28, 1), 0.5), tmp_path))
    assert found == ["a"]


def test_several_labels_are_told_with_a_probability_each(exported, bare, tmp_path):
    about = About(("a", "b", "c"), (28, 28, 1), multilabel=True)
    file = tmp_path / "findings.float32.tflite"
    file.write_bytes(about.behind(bare(exported["float32"])))
    write_device_files(tmp_path, about)
    assert (tmp_path / "labels.txt").read_text() == "a\nb\nc\n"
    (path,) = pictures(np.full((1, 28, 28, 1), 0.5), tmp_path)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "classify.py"), str(file), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = dict(each.split("=") for each in done.stdout.split("\t")[1:])
    logits = Interpreter.open(file).logits(np.full((1, 28, 28, 1), 128 / 255, np.float32))[0]
    wanted = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert {name: float(value) for name, value in shown.items()} == pytest.approx(
        dict(zip("abc", wanted, strict=True)), abs=1e-3
    )


@pytest.mark.slow
def test_it_agrees_with_keras_on_100_images_where_there_is_no_tensorflow(study, exported, tmp_path):
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    wanted = ["ai-edge-litert>=2.1,<3", "numpy>=2,<3", "pillow>=11,<14"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"pip cannot install {', '.join(wanted)} here: {done.stderr.strip().splitlines()[-1]}")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for module in ("tensorflow", "keras", "fedrobust"):
        there = subprocess.run(
            [python, "-c", f"import {module}"], capture_output=True, check=False, env=clean, cwd=tmp_path
        )
        assert there.returncode, f"{module} is installed"
    paths = pictures(study.images[:100], tmp_path)
    labels, chances = expected(study, 100)
    found, said = answers(python, exported["float32"], paths, clean)
    assert found == labels
    np.testing.assert_allclose(said, chances, atol=1e-3)
    found, _ = answers(python, exported["int8"], paths, clean)
    assert sum(one == other for one, other in zip(found, labels, strict=True)) >= 97


def test_the_script_is_short():
    code = SCRIPT.read_text().split('"""')[2]
    assert len([line for line in code.splitlines() if line.strip() and "import" not in line]) <= 25
