"""Images from updates: a network without pooling gives its image away; distances are counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import fedrobust
from fedrobust.config import Experiment
from fedrobust.exposure.inversion import Inversion, batchnorm_of, matched_psnr, neighbour_psnr, softmax
from fedrobust.exposure.prevalence import mean_interval
from fedrobust.exposure.updates import Updates
from fedrobust.leakage.attacks.generative_inversion import code, generated, weights
from fedrobust.leakage.captured import CapturedUpdate
from fedrobust.leakage.contract import LEAKAGE
from fedrobust.leakage.matching import Match
from fedrobust.models.layout import Weights
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.spec import build
from fedrobust.study import Study


def test_psnr_is_that_of_the_best_pairing():
    truth = np.stack([np.full((2, 2, 1), value) for value in (0.1, 0.5, 0.9)])
    np.testing.assert_allclose(matched_psnr(truth, truth[[2, 0, 1]] + 0.1), 20.0)


def test_the_nearest_neighbour_is_another_image_than_the_truth_itself():
    train = np.stack([np.full((2, 2, 1), value, np.uint8) for value in (0, 51, 255)])
    np.testing.assert_allclose(neighbour_psnr(train[:1] / 255, train), [-10 * np.log10(0.04)])


def test_batchnorm_is_told_by_the_study():
    assert [batchnorm_of("batch", True), batchnorm_of("frozen", True), batchnorm_of("group", False)] == [
        "training",
        "evaluation",
        "none",
    ]
    np.testing.assert_allclose(softmax(np.array([[1000.0, 0.0]])), [[1.0, 0.0]])
    assert mean_interval([0.5]) == (-1.0, 1.0)


@pytest.fixture(scope="module")
def captured():
    """Return the update of one step of SGD on one image by a network with BatchNorm in training mode, and the image."""
    settings = {"data__samples": 60, "model__name": "edge-cnn(width=4)", "model__image_size": 28}
    study = Study.of(Experiment.of(**settings, training__optimizer="sgd", training__learning_rate=0.1))
    updates = Updates(study, KeptRounds(RunFolder(Path("none"))))
    few = study.shard(0).of_rows(np.arange(1))
    start, sent = updates.start(1), updates.sent(0, 1, few)
    update = sent.trainable - start.trainable
    found = CapturedUpdate(study.classifier, start, update, 1, 0.1, np.zeros(2), 0, sent.statistics)
    return found, few


@pytest.mark.parametrize("moments", [0.0, 1.0])
def test_the_true_image_is_the_best_match_and_noise_is_none(captured, moments):
    update, few = captured
    match = Match(update, few.labels, moments)
    image = tf.constant(few.images / 255, tf.float32)
    noise = tf.constant(np.random.default_rng(0).random(image.shape), tf.float32)
    distance, cosine = match(image)
    assert float(distance) == pytest.approx(0, abs=1e-4)
    assert float(cosine) == pytest.approx(1, abs=1e-4)
    distance, cosine = match(noise)
    assert float(cosine) < 0.95
    if moments:
        assert float(distance) > 1 - float(cosine) + 1e-3
    else:
        assert float(distance) == pytest.approx(1 - float(cosine), abs=1e-6)


def test_an_image_without_a_gradient_matches_nothing_and_moves_nowhere(captured):
    """A head that is certain of the label, whatever the image: softmax is the label to the last bit."""
    update, few = captured
    trainable = update.start.trainable.copy()
    trainable[-2:] = np.where(np.arange(2) == few.labels[0], 1e4, -1e4)
    certain = replace(update, start=Weights(trainable, update.start.statistics))
    image = tf.constant(few.images / 255, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(image)
        distance, cosine = Match(certain, few.labels)(image)
    assert (float(distance), float(cosine)) == (1.0, 0.0)
    np.testing.assert_array_equal(tape.gradient(distance, image), np.zeros(image.shape))


def test_statistics_of_other_weights_or_of_the_global_model_are_left_aside():
    before, sent = np.zeros(3, np.float32), np.ones(3, np.float32)

    def kept(policy, its):
        return Inversion(None, 1, None, 0, policy).own_statistics(before, its).size

    assert [kept("recalibrate", sent), kept("moments", sent), kept("average", before)] == [3, 0, 0]


def test_a_generator_gives_images_of_any_size_in_zero_to_one():
    draw = np.random.default_rng(0)
    shape = (2, 30, 21, 3)
    noise, parameters = code(draw, shape), weights(draw, 8, 3)
    images = np.asarray(generated(noise, parameters, shape[1:3]))
    assert images.shape == shape
    assert 0 < images.min() < images.max() < 1
    alone = np.asarray(generated(noise[:1], parameters, shape[1:3]))
    np.testing.assert_allclose(alone[0], images[0], atol=1e-5)


@pytest.mark.slow
def test_an_image_is_reconstructed_from_a_plain_gradient_step(small, tmp_path):
    """PSNR of 20 dB and more, above the most similar other training image; with many images it is lost."""
    settings = {
        **small,
        "data__samples": 80,
        "model__name": "strided-cnn(width=8)",
        "training__layers": "all",
        "training__optimizer": "sgd",
        "training__learning_rate": 0.1,
        "training__epochs": 1,
        "federation__rounds": 1,
    }
    run = fedrobust.run(**settings, output__dir=str(tmp_path / "run"))
    attacks = [
        "inverting-gradients(steps=600, trials=1)",
        "inverting-gradients(steps=600, trials=1, images=16)",
    ]
    one, many = fedrobust.attack_privacy(run.path, attacks)["inversion"]
    assert one["psnr"][0] > max(20, one["neighbour-psnr"][0] + 3)
    assert (one["labels-found"], one["steps"], one["batchnorm"]) == (1, 1, "none")
    assert np.median(many["psnr"]) < one["psnr"][0] - 5
    with pytest.raises(fedrobust.config.ConfigError, match="images = 1000"):
        fedrobust.attack_privacy(run.path, ["inverting-gradients(images=1000)"])


def test_the_gradients_of_a_model_with_two_sets_of_batchnorm_are_those_of_the_main_one():
    settings = {"data__samples": 60, "model__name": "edge-cnn(width=4)", "model__image_size": 28}
    study = Study.of(
        Experiment.of(
            **settings,
            training__optimizer="sgd",
            training__learning_rate=0.1,
            training__recipe="advprop(recipe='pgd(steps=1)')",
        )
    )
    updates = Updates(study, KeptRounds(RunFolder(Path("none"))))
    few = study.dataset.train.of_rows(np.arange(4))
    sent = updates.of(0, 1)
    found = updates.alignments(np.stack([sent, np.zeros_like(sent)]), 1, few)
    assert np.abs(found[0]).min() > 0
    assert not found[1].any()
    inversion = Inversion(updates, 1, lambda images: np.zeros((len(images), 2)), 0, "recalibrate")
    attack = build(LEAKAGE, "inverting-gradients(steps=2)")
    record = inversion.on_client("inverting-gradients", attack, 1, 0)
    assert np.isfinite(record.matched)
