"""A run's model as the base of randomised smoothing: BatchNorm statistics of noisy images, the run's weights."""

import re
from importlib import import_module

import keras
import numpy as np
import pytest

import fedrobust
from fedrobust.data.dataset import DataError
from fedrobust.prediction.under_noise import under_noise
from fedrobust.runs.run import Run
from fedrobust.study import Study

SETTINGS = {
    "data__samples": 300,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 2,
    "federation__rounds": 2,
    "evaluation__attacks": [],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}
SIGMA = 0.3


def finished(folder, **settings) -> Run:
    return fedrobust.run("quickstart", out=folder, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("runs") / "one")


def parts(model):
    """Return the function before the first BatchNorm layer of a model without a preparation, and that layer."""
    (network,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    layers = [layer for inner in network.layers for layer in getattr(inner, "layers", [inner])]
    batchnorm = next(layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization))
    inner = next(each for each in network.layers if batchnorm in getattr(each, "layers", []))
    scaling = network.layers[1 : network.layers.index(inner)]
    before = keras.Model(inner.inputs, batchnorm.input)

    def shown(images):
        for layer in scaling:
            images = layer(images)
        return np.asarray(before(images))

    return shown, batchnorm


def test_weights_stay_and_statistics_are_those_of_noisy_images(run, draw):
    model, said = under_noise(run, SIGMA)
    before = run.model()
    for one, other in zip(before.trainable_variables, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    stored = Study.of(run.experiment).dataset.validation.images
    clean = stored.astype(np.float32) / 255
    noisy = clean + SIGMA * draw.standard_normal(clean.shape).astype(np.float32)
    for network, images in ((before, clean), (model, noisy)):
        shown, batchnorm = parts(network)
        values = shown(images)
        np.testing.assert_allclose(batchnorm.moving_mean.numpy(), values.mean((0, 1, 2)), atol=0.02)
        np.testing.assert_allclose(batchnorm.moving_variance.numpy(), values.var((0, 1, 2)), rtol=0.1)
    assert said == (
        f"BatchNorm statistics are moved to those of {len(stored)} validation images with noise of sigma 0.3"
    )


def same_images(run, path):
    """Write the images of a run into a file."""
    arrays = {}
    for name, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        part = Study.of(run.experiment).dataset.splits[split]
        arrays |= {f"{name}_images": part.images[..., 0], f"{name}_labels": part.labels[:, None]}
    np.savez(path, **arrays)
    return str(path)


def test_a_run_folder_is_smoothed_with_them_and_a_file_as_it_is(run, tmp_path):
    same_images(run, tmp_path / "same.npz")
    settings = {"sigma": SIGMA, "samples": 200, "images": 40}
    folder = fedrobust.certify_model(run.path, **settings)
    file = fedrobust.certify_model(run.path / "model.keras", str(tmp_path / "same.npz"), **settings)
    assert folder["unsmoothed"] == file["unsmoothed"]
    assert [one["share"] for one in folder["images"]] != [one["share"] for one in file["images"]]
    assert any(note.startswith("BatchNorm statistics are moved") for note in folder["notes"])
    assert not any("BatchNorm" in note for note in file["notes"])
    image = Study.of(run.experiment).dataset.test.images[0]
    found = fedrobust.predict(run.path, image, sigma=SIGMA, samples=200, seed=0)
    assert found.notes[0].startswith("BatchNorm statistics are moved")
    as_it_is = fedrobust.predict(run.path / "model.keras", image, sigma=SIGMA, samples=200, seed=0)
    assert as_it_is.notes == ()
    assert found[0].probabilities != as_it_is[0].probabilities


def test_statistics_stay_where_there_are_few_images_or_they_are_fitted_to_a_defence(
    run, tmp_path, monkeypatch
):
    defended = finished(tmp_path / "defended", model__defence="bit-depth(bits=3)")
    model, said = under_noise(defended, SIGMA)
    assert said == "BatchNorm statistics are the run's, fitted to bit-depth(bits=3), without noise"
    for one, other in zip(defended.model().get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr("fedrobust.prediction.under_noise.FEWEST_IMAGES", 10_000)
    said = under_noise(run, SIGMA)[1]
    assert re.match(
        r"BatchNorm statistics are the run's, of images without noise: \d+ validation images", said
    )


def test_a_vote_is_left_out_of_what_is_certified_and_a_file_that_holds_one_says_so(run, tmp_path, draw):
    """Else noise would be added to that of the copies, and the certificate be of another classifier."""
    spec = f"smoothing(sigma={SIGMA}, samples=4)"
    voting = finished(tmp_path / "voting", model__defence=spec)
    assert any(layer.name == "noisy_copies" for layer in voting.model().layers)
    model, said = under_noise(voting, SIGMA)
    assert not any(layer.name == "noisy_copies" for layer in model.layers)
    assert said.startswith(f"the vote of model.defence = {spec} is left out")
    assert "moved to those of" in said
    clean = Study.of(run.experiment).dataset.validation.images.astype(np.float32) / 255
    noisy = clean + SIGMA * draw.standard_normal(clean.shape).astype(np.float32)
    shown, batchnorm = parts(model)
    values = shown(noisy)
    np.testing.assert_allclose(batchnorm.moving_mean.numpy(), values.mean((0, 1, 2)), atol=0.02)
    np.testing.assert_allclose(batchnorm.moving_variance.numpy(), values.var((0, 1, 2)), rtol=0.1)
    image = Study.of(run.experiment).dataset.test.images[0]
    settings = {"sigma": SIGMA, "samples": 100, "seed": 0}
    assert fedrobust.predict(voting.path, image, **settings).notes == (said,)
    (note,) = fedrobust.predict(voting.path / "model.keras", image, **settings).notes
    assert "the file holds the vote of model.defence = smoothing" in note
    images = same_images(run, tmp_path / "same.npz")
    certified = fedrobust.certify_model(
        voting.path / "model.keras", images, sigma=SIGMA, samples=100, images=4
    )
    assert note in certified["notes"]
    assert fedrobust.predict(voting.path / "model.keras", image).notes == ()


def test_predictions_without_the_runs_images_say_what_to_give(run, monkeypatch):
    def gone(*given):
        raise DataError("breastmnist.npz is in none of the folders")

    monkeypatch.setattr(import_module("fedrobust.prediction.predict"), "under_noise", gone)
    with pytest.raises(DataError, match=r"in none of the folders; .*model.keras alone predicts with its own"):
        fedrobust.predict(run.path, np.zeros((28, 28), np.uint8), sigma=SIGMA)
