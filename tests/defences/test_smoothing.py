"""The vote over noisy copies: its formula, its gradient, its file, and what an audit of it sees."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.audit import AttackCache, ModelUnderAudit, Plan, certified_training
from fedrobust.defences.smoothing import Smoothing
from fedrobust.evasion import BoundModel, CompiledModel, Threat, attack
from fedrobust.evasion.models.hidden_layers import hidden_read_outs
from fedrobust.evasion.models.model_file import open_model
from fedrobust.exposure.confidences import Confidences
from fedrobust.models.classifier import build_classifier
from server.stages.mean_logits import answers_of

VOTE = Smoothing(sigma=0.2, samples=5, seed=3)


@pytest.fixture(scope="module")
def models():
    """Return the network without a defence and behind the vote, as targets, and the classifier."""
    bare = build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0)
    voting = build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0, defence=VOTE)
    weights = bare.initial_weights()
    one, other = (BoundModel.of(CompiledModel.of(each), weights) for each in (bare, voting))
    return one, other, voting


def images(n=6):
    return np.random.default_rng(0).random((n, 16, 16, 1), dtype=np.float32)


def test_logits_are_the_logarithm_of_the_mean_probability_over_the_copies(models):
    plain, voting, _ = models
    shown, noise = images(), VOTE.noise((16, 16, 1))
    each = np.stack([tf.nn.softmax(plain.logits(shown + one)).numpy() for one in noise])
    np.testing.assert_allclose(np.exp(voting.logits(shown)), each.mean(axis=0), rtol=1e-4)


def test_the_gradient_is_that_of_the_mean_over_all_copies(models):
    """Central differences along a random direction."""
    _, voting, _ = models
    shown, labels = images(), np.zeros(6, np.int32)
    seen = voting.gradient(shown, labels, "cross-entropy")
    way = np.random.default_rng(1).choice([-1.0, 1.0], shown.shape).astype(np.float32)
    ahead, behind = (
        voting.gradient(shown + step * way, labels, "cross-entropy").losses.astype(float)
        for step in (0.01, -0.01)
    )
    expected = (seen.gradients * way).reshape(6, -1).sum(1)
    np.testing.assert_allclose((ahead - behind) / 0.02, expected, rtol=0.1, atol=0.02)


def test_everything_that_asks_a_study_s_model_gets_one_answer_an_image(models):
    """A mean of teachers, the confidences that leak membership, and the votes of certified training."""
    _, voting, classifier = models
    weights, stored = classifier.initial_weights(), np.uint8(images() * 255)
    expected = voting.logits(stored.astype(np.float32) / 255)
    taught = answers_of(classifier, (weights, weights))(tf.constant(stored / np.float32(255)))
    np.testing.assert_allclose(taught, expected, atol=1e-4)
    training = SimpleNamespace(features_are_cached=False)
    study = SimpleNamespace(classifier=classifier, experiment=SimpleNamespace(training=training))
    np.testing.assert_allclose(Confidences(study).logits(weights, stored), expected, atol=1e-4)
    certified = certified_training.answers(study, weights, stored)
    assert certified(weights.trainable).tolist() == expected.argmax(1).tolist()


def test_answers_are_the_same_each_time_and_noise_has_its_deviation(models):
    _, voting, _ = models
    np.testing.assert_array_equal(voting.logits(images()), voting.logits(images()))
    noise = Smoothing(sigma=0.5, samples=64).noise((20, 20, 1))
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert not np.array_equal(noise[0], noise[1])


def test_a_file_holds_the_vote_with_its_noise_as_weights(models, tmp_path):
    _, voting, classifier = models
    classifier.save(classifier.initial_weights(), tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(np.asarray(opened(images())), voting.logits(images()), atol=1e-4)
    assert classifier.weights_of(opened) is not None
    target = open_model(tmp_path / "model.keras", (16, 16, 1), 2).target
    np.testing.assert_allclose(target.logits(images()), voting.logits(images()), atol=1e-4)


def test_attacks_and_the_audit_s_read_outs_run_on_a_vote(models):
    _, voting, _ = models
    labels = voting.logits(images()).argmax(1).astype(np.int32)
    done = attack(voting, images(), labels, "pgd(steps=5)", Threat(), [0.3])
    gained = done.logits[0][np.arange(6), 1 - labels] - done.logits[0][np.arange(6), labels]
    before = voting.logits(images())
    assert (gained > before[np.arange(6), 1 - labels] - before[np.arange(6), labels]).all()
    assert hidden_read_outs(voting, images(40)) is not None
    cache = AttackCache(ModelUnderAudit("vote", voting, images(), labels, "0", {}), Plan())
    assert cache.target is voting, "a vote with drawn noise is not a stochastic model"
