"""Certified accuracy of models of any origin, beside an attack at the same radius."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import fedrobust
from fedrobust.cli import app
from fedrobust.config import ConfigError


def bright(images):
    """Class 1 where the upper half is brighter than the lower one."""
    half = images.shape[1] // 2
    value = 8 * (images[:, :half].mean((1, 2, 3)) - images[:, half:].mean((1, 2, 3)))
    return np.stack([-value, value], axis=1)


@pytest.fixture(scope="module")
def found():
    return fedrobust.certify_model(bright, "phantom", 0.2, samples=200, images=60, name="bright")


def test_shares_are_of_the_images_and_fall_with_the_radius(found):
    accuracies = [one["accuracy"]["successes"] for one in found["certified"]]
    assert found["n"] == 60
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == found["smoothed"]["successes"]
    radii = np.array([one["radius"] for one in found["images"]])
    right = np.array([one["answer"] == one["label"] for one in found["images"]])
    for one in found["certified"]:
        assert one["accuracy"]["successes"] == (right & (radii >= one["radius"])).sum()
        assert one["radius"] <= found["smoothing"]["largest-radius"]
    assert found["majority"]["value"] >= 0.5


def test_no_attack_within_the_radius_changes_the_smoothed_answer(found):
    """The classifier is linear: its strongest l2 perturbation is known, and so is the smoothed classifier's answer."""
    data = fedrobust.load_dataset("phantom").test.sample(60)
    images = data.images.astype(np.float32) / 255
    pixels = images[0].size
    slope = np.full(images.shape[1:], 2.0 / pixels)
    slope[images.shape[1] // 2 :] *= -1
    distance = bright(images)[:, 1] / 8 / np.linalg.norm(slope)
    for one, signed in zip(found["images"], distance, strict=True):
        if one["answer"] >= 0:
            assert one["answer"] == int(signed > 0)
            assert one["radius"] <= abs(signed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": 0.0}, "sigma = 0.0: choose a number above 0"),
        ({"samples": 0}, "samples = 0: choose a whole number from 1"),
        ({"alpha": 0.5}, "alpha = 0.5: choose a number above 0, below 0.5"),
        ({"radii": [-1.0]}, "choose numbers from 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        fedrobust.certify_model(bright, "phantom", name="bright", **settings)


def test_the_command_says_what_stands_beside_the_certificate(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    given = [
        "certify",
        str(tmp_path / "model.keras"),
        "--data",
        "phantom",
        "--images",
        "10",
        "--samples",
        "20",
    ]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 0, shown.output
    assert "A constant classifier is certified at every radius" in shown.output
    plain = CliRunner().invoke(app, [*given, "--json"])
    assert json.loads(plain.stdout)["n"] == 10
