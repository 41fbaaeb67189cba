"""Prediction-time defences: what they do to an image, what attacks see of them, and that the file has them, too."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest

from fedrobust.checks import check_models
from fedrobust.config import ConfigError, Experiment
from fedrobust.defences import DEFENCES, BitDepth
from fedrobust.evasion import BoundModel, CompiledModel
from fedrobust.models.classifier import build_classifier
from fedrobust.spec import build
from fedrobust.study import Study


@dataclass(frozen=True)
class Darkened:
    """A defence with a gradient of its own."""

    factor: float = 0.5

    def __call__(self, images):
        return images * self.factor


def images(count=3, side=16):
    return np.random.default_rng(0).random((count, side, side, 1), dtype=np.float32)


def classifier(defence=None):
    return build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0, defence=defence)


def gradients(model, shown):
    labels = np.zeros(len(shown), np.int32)
    return BoundModel.of(CompiledModel.of(model), model.initial_weights()).gradient(
        shown, labels, "cross-entropy"
    )


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (1, [0.0, 0.0, 1.0, 1.0]),
        (2, [0.0, 1 / 3, 2 / 3, 1.0]),
        (8, [0.0, 102 / 255, 153 / 255, 1.0]),
    ],
)
def test_pixels_are_rounded_to_the_nearest_of_the_levels(bits, expected):
    rounded = np.asarray(BitDepth(bits=bits)(np.array([0.0, 0.4, 0.6, 1.0], np.float32)))
    np.testing.assert_allclose(rounded, expected, atol=1e-7)


def test_eight_bits_change_no_image_of_a_file():
    stored = np.arange(256, dtype=np.float32) / np.float32(255)
    np.testing.assert_allclose(np.asarray(BitDepth(bits=8)(stored)), stored, atol=1e-7)


def test_the_model_answers_for_the_defended_image():
    plain, defended = classifier(), classifier(BitDepth(bits=2))
    shown = images()
    expected = gradients(plain, np.asarray(BitDepth(bits=2)(shown))).logits
    np.testing.assert_allclose(gradients(defended, shown).logits, expected, atol=1e-5)


def test_attacks_follow_the_gradient_of_the_stand_in():
    """That of rounding is zero: it protects nobody."""
    plain, defended = classifier(), classifier(BitDepth(bits=2))
    shown = images()
    expected = gradients(plain, np.asarray(BitDepth(bits=2)(shown))).gradients
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(gradients(defended, shown).gradients, expected, atol=1e-6)


def test_a_defence_without_a_stand_in_is_differentiated_as_it_is():
    plain, defended = classifier(), classifier(Darkened(0.5))
    shown = images()
    np.testing.assert_allclose(
        gradients(defended, shown).gradients, 0.5 * gradients(plain, 0.5 * shown).gradients, atol=1e-6
    )


def test_the_keras_file_has_the_defence_and_opens_without_this_project(tmp_path):
    model = classifier(BitDepth(bits=2))
    model.deployable(model.initial_weights()).save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras", compile=False)
    shown = images()
    np.testing.assert_allclose(np.asarray(opened(shown)), gradients(model, shown).logits, atol=1e-5)
    assert model.weights_of(opened) is not None


def test_clients_train_without_it_and_the_study_s_model_has_it():
    study = Study.of(Experiment.quickstart(model__defence="bit-depth(bits=3)", data__samples=60))
    assert study.prediction_defence == BitDepth(bits=3)
    assert study.classifier.defence == study.initial()[0].defence == BitDepth(bits=3)
    shown = images(side=28)
    np.testing.assert_array_equal(np.asarray(study.classifier.preparation(shown)), shown)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model__defence": "bit-depht"}, 'model.defence = "bit-depht".*did you mean "bit-depth"'),
        ({"model__defence": "bit-depth(bits=0)"}, r"bits = 0: choose a whole number from 1"),
        (
            {"model__defence": "bit-depth", "evaluation__space": "prepared"},
            'evaluation.space = "prepared" with model.defence = "bit-depth"',
        ),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        check_models(Study.of(Experiment.quickstart(data__samples=60, **given)))


def test_it_is_in_its_registry():
    assert build(DEFENCES, "bit-depth(bits=5)") == BitDepth(bits=5)
