"""Detectors: their scores, the model that abstains, and the measure of both."""

from collections import defaultdict
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from scipy.spatial.distance import mahalanobis

from fedrobust import api
from fedrobust.api import detectors, model_request
from fedrobust.audit import detection as audit_detection
from fedrobust.audit.detection import detection
from fedrobust.audit.from_file import audit_file
from fedrobust.audit.plan import Plan
from fedrobust.checks import check_models
from fedrobust.checks.settings import detector_measured
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.load import load
from fedrobust.detectors import DETECTORS, Seen
from fedrobust.detectors.feature_squeezing import FeatureSqueezing
from fedrobust.detectors.guard import features_of, guarded, threshold_of
from fedrobust.detectors.mahalanobis import Mahalanobis
from fedrobust.evasion import Threat
from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.registry import UnknownNameError
from fedrobust.runs.codec import read
from fedrobust.runs.record import DetectorRecord
from fedrobust.study import Study
from fedrobust.terminal.detectors import detection_table


class NeverSuspicious:
    """A detector whose score is the same for all images."""

    def fitted(self, to):
        return lambda images: tf.zeros(tf.shape(images)[0])


def flat(images):
    return tf.reshape(images, (-1, 4))


def test_the_mahalanobis_score_is_scipy_s_distance_to_the_nearest_class():
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40).astype(np.int32)
    values = draw.normal(size=(80, 4)) @ draw.normal(size=(4, 4)) + 5 * labels[:, None]
    images = values.astype(np.float32).reshape(80, 2, 2, 1)
    score = Mahalanobis(ridge=1e-9).fitted(Seen(images, labels, flat, flat))
    means = [values[labels == label].mean(0) for label in (0, 1)]
    apart = values - np.stack(means)[labels]
    inverse = np.linalg.inv(apart.T @ apart / 80)
    expected = [min(mahalanobis(one, mean, inverse) ** 2 for mean in means) for one in values]
    np.testing.assert_allclose(np.asarray(score(tf.constant(images))), expected, rtol=2e-3)


def test_squeezed_images_that_are_answered_alike_are_not_suspicious():
    """Plain images of 4-bit grey levels: neither squeezer changes them."""
    plain = np.ones((3, 6, 6, 1), np.float32) * np.array([0, 7 / 15, 1], np.float32)[:, None, None, None]
    spot = plain.copy()
    spot[:, 3, 3] = 1 - spot[:, 3, 3]

    def answers(images):
        largest = tf.reduce_max(tf.reshape(images, (-1, 36)), axis=1)
        return 5 * tf.stack([largest, -largest], axis=1)

    score = FeatureSqueezing(bits=4).fitted(Seen(plain, np.zeros(3, np.int32), answers, answers))
    np.testing.assert_allclose(np.asarray(score(tf.constant(plain))), 0, atol=1e-6)
    assert np.asarray(score(tf.constant(spot)))[0] > 0.9, "the median takes the spot away"


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.5])
def test_the_threshold_is_exceeded_by_no_more_than_the_rate_and_a_smaller_one_is(rate):
    scores = np.random.default_rng(3).random(240)
    threshold = threshold_of(scores, rate)
    assert (scores > threshold).mean() <= rate
    lower = np.sort(scores)[np.sort(scores) < threshold][-1]
    assert (scores > lower).mean() > rate


def test_the_last_output_is_the_largest_exactly_where_the_score_is_above_the_threshold():
    scores = tf.constant([0.1, 0.49, 0.51, 3.0])
    logits = tf.constant(np.random.default_rng(0).normal(size=(4, 3)), tf.float32)
    found = guarded(lambda images: logits, lambda images: scores, threshold=0.5)(scores)
    assert (np.asarray(found).argmax(1) == 3).tolist() == [False, False, True, True]
    np.testing.assert_array_equal(np.asarray(found)[:, :3], logits)


def test_features_are_the_inputs_of_the_last_dense_layer_of_a_nested_model():
    classifier = build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0)
    model = classifier.deployable(classifier.initial_weights())
    images = np.random.default_rng(0).random((3, 16, 16, 1), dtype=np.float32)
    kernel, bias = (
        next(each for each in model.layers if isinstance(each, keras.Model)).layers[-1].get_weights()
    )
    features = np.asarray(features_of(model, "model")(images))
    np.testing.assert_allclose(features @ kernel + bias, np.asarray(model(images)), atol=1e-5)


def test_a_model_without_a_last_dense_layer_is_refused():
    inputs = keras.Input((4, 4, 1))
    with pytest.raises(ModelError, match="choose feature-squeezing"):
        features_of(keras.Model(inputs, keras.layers.Flatten()(inputs)), "model")


@pytest.fixture(scope="module")
def trained():
    """Return phantoms, and a small network that learnt them."""
    dataset = api.load_dataset("phantom")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(dataset.image_shape),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(dataset.classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(dataset.train.images / 255, dataset.train.labels, epochs=8, verbose=0)
    return dataset, model


@pytest.mark.slow
@pytest.mark.parametrize("detector", [FeatureSqueezing(), Mahalanobis()])
def test_abstaining_costs_what_the_counts_say_and_attacks_that_know_the_detector_leave_less(
    trained, detector
):
    dataset, model = trained
    found = detection(model, dataset, detector, Threat(), 8 / 255, images=60)
    clean, attacked = (
        {name: each["successes"] for name, each in found[part].items()} for part in ("clean", "attacked")
    )
    assert clean["coverage"] + clean["false-alarms"] == found["n"] == 60
    assert 0.75 * 60 <= clean["coverage"] <= 60
    assert clean["right"] == clean["right-of-answered"] <= min(clean["coverage"], clean["without-detector"])
    assert attacked["robust"] <= attacked["robust-unaware"] <= clean["right"]


@pytest.mark.slow
def test_a_detector_that_is_never_suspicious_changes_nothing(trained):
    dataset, model = trained
    found = detection(model, dataset, NeverSuspicious(), Threat(), 8 / 255, images=40)
    assert found["clean"]["coverage"]["value"] == 1.0
    assert found["clean"]["right"] == found["clean"]["without-detector"]
    assert found["attacked"]["robust-unaware"] == found["attacked"]["robust-without-detector"]
    assert found["attacked"]["fooled-and-detected"]["successes"] == 0


class SecondPixel:
    """A detector whose score is how far the second pixel is from a middle grey."""

    def fitted(self, to):
        return lambda images: tf.abs(images[:, 0, 1, 0] - 0.5)


@pytest.fixture(scope="module")
def two_pixels(tmp_path_factory):
    """Return data whose class is whether the first pixel is bright, and a model that adds the second to it."""
    labels = np.arange(40) % 2
    images = np.full((40, 1, 2), 127, np.uint8)
    images[:, 0, 0] = np.where(labels == 1, 148, 107)
    path = tmp_path_factory.mktemp("data") / "pixels.npz"
    np.savez(
        path,
        **{f"{split}_images": images for split in ("train", "val", "test")},
        **{f"{split}_labels": labels.astype(np.uint8) for split in ("train", "val", "test")},
    )
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(), dense])
    dense.set_weights([20 * np.array([[-1.0, 1.0], [-1.0, 1.0]], np.float32), 20 * np.array([1.0, -1.0])])
    return load(str(path)), model


@pytest.mark.slow
@pytest.mark.parametrize(("epsilon", "left"), [(0.1, 0), (0.05, 40)])
def test_an_attack_that_knows_the_detector_leaves_alone_what_it_looks_at(two_pixels, epsilon, left):
    """Both pixels together change the answer from 0.04 on, the first alone from 0.08 on; the second is watched."""
    dataset, model = two_pixels
    found = detection(model, dataset, SecondPixel(), Threat(), epsilon)
    clean, attacked = (
        {name: each["successes"] for name, each in found[part].items()} for part in ("clean", "attacked")
    )
    assert clean == {
        "without-detector": 40,
        "coverage": 40,
        "false-alarms": 0,
        "right": 40,
        "right-of-answered": 40,
    }
    assert attacked["robust-without-detector"] == 0
    # A random start may leave the second pixel where it was by chance.
    assert attacked["robust-unaware"] == attacked["fooled-and-detected"] >= 37
    assert left - 3 <= attacked["robust"] <= left


def test_a_detector_does_not_hide_that_a_rounding_before_the_model_is_no_defence(two_pixels):
    """The gradient of the rounding is zero; 0.1 is two steps of its grey levels."""
    dataset, model = two_pixels
    inputs = keras.Input((1, 2, 1))
    rounds = keras.Model(inputs, model(keras.ops.round(inputs * 20) / 20))
    found = detection(rounds, dataset, NeverSuspicious(), Threat(), 0.1)
    assert found["clean"]["without-detector"]["successes"] == 40
    for left in ("robust-without-detector", "robust-unaware", "robust"):
        assert found["attacked"][left]["successes"] == 0, left


def test_few_validation_images_are_refused(two_pixels):
    dataset, model = two_pixels
    few = replace(dataset, validation=dataset.validation.sample(19))
    with pytest.raises(
        ConfigError, match="19 validation images: detector and threshold are fitted to 20 or more"
    ):
        detection(model, few, SecondPixel(), Threat(), 0.1)


@pytest.mark.slow
def test_an_audit_has_the_detector_beside_a_verdict_that_stays_the_models_own(two_pixels, tmp_path):
    dataset, model = two_pixels
    settings = {"effort": "quick", "epsilon": 0.1, "data": dataset.source}
    with_it = api.audit_model(
        model, detector="mahalanobis", detector_rate=0.1, out=tmp_path / "with", **settings
    )
    alone = api.audit_model(model, out=tmp_path / "alone", **settings)
    assert with_it["verdict"] == alone["verdict"]
    assert "detector" not in alone
    assert with_it["detector"]["detector"]["rate"] == 0.1
    assert with_it["notes"][-1].startswith(
        "verdict, checks and attacks are of the model without its detector"
    )
    page = (tmp_path / "with" / "card.html").read_text()
    assert "With the detector" in page
    assert "Robust, the attacker knows the detector" in page


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"audit__enabled": False}, "audit.enabled = false with model.detector"),
        ({"evaluation__space": "prepared"}, 'evaluation.space = "prepared" with model.detector'),
    ],
)
def test_a_study_whose_detector_nobody_would_measure_is_refused(setting, said):
    given = Experiment.of(model__detector="mahalanobis", **setting)
    assert [one for one in detector_measured(given.model, given.evaluation, given.audit) if said in one]
    assert not list(detector_measured(Experiment.of(**setting).model, given.evaluation, given.audit))


@pytest.mark.parametrize(
    ("detector", "defence", "images", "said"),
    [
        ("mahalanobis", "smoothing(samples=2)", 20, 'ends in a vote; choose "feature-squeezing"'),
        ("mahalanobis", "none", 19, "20 validation images or more, the data have 19"),
        ("mahalanobis", "median", 20, ""),
        ("feature-squeezing", "smoothing(samples=2)", 20, ""),
        ("none", "smoothing(samples=2)", 19, ""),
    ],
)
def test_a_detector_that_could_not_be_fitted_is_refused_before_the_first_round(
    detector, defence, images, said
):
    given = {"model__detector": detector, "model__defence": defence, "data__samples": 60}
    study = Study(Experiment.of(**given, model__name="edge-cnn", model__image_size=28))
    vars(study)["dataset"] = replace(study.dataset, validation=study.dataset.validation.sample(images))
    if not said:
        check_models(study)
        return
    with pytest.raises(ConfigError, match=f'^model.detector = "mahalanobis".*{said}'):
        check_models(study)


def test_what_a_detector_costs_is_told_in_two_sentences():
    share = {"value": 0.5, "successes": 5, "n": 10, "interval": [0.24, 0.76]}
    found = read(
        DetectorRecord,
        {
            "detector": {
                "settings": "D()",
                "rate": 0.05,
                "threshold": 1.0,
                "fitted-on": 9,
                "threshold-on": 8,
            },
            "n": 10,
            "clean": {"false-alarms": share, "right": share, "without-detector": share},
            "attacked": {"robust": share, "robust-unaware": None, "robust-without-detector": share},
        },
    )
    costs, left = found.sentences()
    assert costs.startswith(
        "detector D(): the model abstains on 5 of 10 (50.0 %, 95 % 24.0 to 76.0) clean images"
    )
    assert "no images where it does not" in left


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"rate": 1.0}, ConfigError, "rate = 1.0: choose a number above 0"),
        ({"norm": "l0"}, ConfigError, "choose linf or l2"),
        ({"rate": -0.1}, ConfigError, "rate = -0.1: choose a number above 0"),
        (
            {"split": "validation"},
            ConfigError,
            'split = "validation": .* fitted to these images; choose "test"',
        ),
        ({"detector": "mahalanobi"}, UnknownNameError, 'did you mean "mahalanobis"'),
        (
            {"detector": "none"},
            ConfigError,
            'detector = "none": there is nothing to measure; name one of feature-sq',
        ),
    ],
)
def test_wrong_settings_are_refused_before_the_model_is_opened(given, error, message):
    with pytest.raises(error, match=message):
        api.detect_attacks("nowhere.keras", "phantom", **given)


def test_an_audit_with_a_detector_is_not_of_the_images_that_it_is_fitted_to():
    plan = Plan(epsilon=0.01, threat=Threat(), effort="quick", seed=0)
    with pytest.raises(ConfigError, match='split = "validation": detector and threshold are fitted'):
        audit_file("nowhere.keras", None, plan, split="validation", detector=NeverSuspicious())


OWN = {"model__detector": "mahalanobis(ridge=0.5)", "model__detector_rate": 0.2}


@pytest.mark.parametrize(
    ("study", "given", "settings", "rate", "chosen"),
    [
        (OWN, {}, Mahalanobis(ridge=0.5), 0.2, "the run's own (model.detector)"),
        (OWN, {"rate": 0.1}, Mahalanobis(ridge=0.5), 0.1, "the run's own (model.detector)"),
        (OWN, {"detector": "feature-squeezing"}, FeatureSqueezing(), 0.2, "asked for"),
        ({}, {}, FeatureSqueezing(), 0.05, "the default, as the run has none"),
        (None, {}, FeatureSqueezing(), 0.05, "the default"),
        (None, {"detector": "mahalanobis", "rate": 0.3}, Mahalanobis(), 0.3, "asked for"),
    ],
)
def test_the_detector_is_the_runs_own_unless_another_is_asked_for_and_the_result_says_which(
    monkeypatch, tmp_path, study, given, settings, rate, chosen
):
    run = None if study is None else SimpleNamespace(experiment=Experiment.of(**study))
    monkeypatch.setattr(model_request, "run_of", lambda model: run)
    monkeypatch.setattr(detectors, "start_tensorflow", lambda cores: None)
    monkeypatch.setattr(
        audit_detection, "detection", lambda model, data, detector, *rest, **more: measured(detector, more)
    )
    found = api.detect_attacks(str(tmp_path), "phantom", **given)
    assert found["detector"] == {
        "settings": repr(settings),
        "rate": rate,
        "threshold": 1.0,
        "threshold-on": 8,
        "chosen": chosen,
    }
    wide = Console(width=200, record=True, file=StringIO())
    wide.print(detection_table(found))
    assert f"Detector: {chosen}. Threshold 1: at most {rate:.1%}" in wide.export_text().replace("\n", " ")


def measured(detector, settings):
    """What is measured, without the model and the attacks."""
    share = {"value": 0.5, "successes": 5, "n": 10, "interval": [0.24, 0.76]}
    return {
        "model": "model",
        "n": 10,
        "detector": {
            "settings": repr(detector),
            "rate": settings["rate"],
            "threshold": 1.0,
            "threshold-on": 8,
        },
        "threat": {"norm": "linf", "epsilon": 4 / 255},
        "clean": defaultdict(lambda: share),
        "attacked": defaultdict(lambda: share),
    }


def test_the_registry_knows_both():
    assert list(DETECTORS) == ["feature-squeezing", "mahalanobis"]
