"""What rules that ask models are answered, with a linear model in the place of the network."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import server.model_answers as answers
from fedrobust.aggregation.answers import Fusion
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from server.root_update import root_images

LEVELS = np.arange(40)
VALIDATION = Split(
    np.ascontiguousarray(np.broadcast_to(LEVELS[:, None, None, None], (40, 4, 4, 1)).astype(np.uint8)),
    (LEVELS % 2).astype(np.int32),
)
CURRENT = Weights(np.array([0.1, 0.0, -0.1], np.float32), np.zeros(1, np.float32))
ZERO = np.zeros(3, np.float32)


@pytest.fixture
def asked():
    """Return the answers of a model whose logits are grey level times weights plus its statistic, and the calls."""
    calls = []

    def clean_logits(weights, images):
        calls.append(images)
        return images.mean((1, 2, 3))[:, None] / 10 * weights.trainable + weights.statistics[0]

    def made(multilabel=False):
        dataset = SimpleNamespace(validation=VALIDATION, multilabel=multilabel)
        evaluator = SimpleNamespace(dataset=dataset, clean_logits=clean_logits)
        return answers.StudyAnswers(evaluator, CURRENT, seed=3)

    return made, calls


def test_losses_are_the_cross_entropy_of_each_class_on_the_servers_images(asked):
    made, _ = asked
    update = np.array([1, 0.5, 0], np.float32)
    found = made().class_losses(update, np.array([0.3]), 25)
    own = root_images(VALIDATION, 25, 3)
    logits = own.images.mean((1, 2, 3))[:, None] / 10 * (CURRENT.trainable + update) + 0.3
    odds = np.exp(logits - logits.max(1, keepdims=True))
    losses = -np.log(odds[np.arange(25), own.labels] / odds.sum(1))
    np.testing.assert_allclose(found[:2], [losses[own.labels == label].mean() for label in (0, 1)], rtol=1e-5)
    assert np.isnan(found[2]), "no image is of the third class"


def test_label_sets_have_a_loss_of_each_label(asked):
    made, _ = asked
    found = made(multilabel=True).class_losses(ZERO, np.zeros(1), 40)
    logits = LEVELS[:, None] / 10 * CURRENT.trainable
    present = (VALIDATION.labels[:, None] >> np.arange(3)) & 1
    probability = 1 / (1 + np.exp(-logits))
    expected = -np.log(np.where(present == 1, probability, 1 - probability)).mean(0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_noise_is_the_same_for_all_models_and_another_for_each_seed(asked):
    made, calls = asked
    model = made()
    one = model.on_noise(ZERO, np.zeros(1), 10, 0)
    model.on_noise(np.ones(3, np.float32), np.zeros(1), 10, 0)
    model.on_noise(ZERO, np.zeros(1), 10, 1)
    assert one.shape == (10, 3)
    np.testing.assert_allclose(one.sum(1), 1)
    assert calls[0].shape == (10, 4, 4, 1)
    np.testing.assert_array_equal(calls[0], calls[1])
    assert not np.array_equal(calls[0], calls[2])


def test_a_model_is_asked_once_however_often_attackers_try(asked):
    made, calls = asked
    model = made()
    for _ in range(3):
        model.class_losses(ZERO, np.zeros(1), 10)
        model.on_noise(ZERO, np.zeros(1), 10, 0)
    assert len(calls) == 2
    model.class_losses(ZERO, np.ones(1), 10)
    model.class_losses(np.ones(3, np.float32), np.zeros(1), 10)
    assert len(calls) == 4


def test_a_model_that_overflows_answers_with_numbers(asked):
    made, _ = asked
    update = np.array([3e38, -3e38, np.inf], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        losses = made().class_losses(update, np.zeros(1), 10)
        noise = made().on_noise(update, np.zeros(1), 10, 0)
    assert np.isfinite(losses[:2]).all()
    assert np.isfinite(noise).all()


def test_models_answer_with_the_statistics_that_the_study_measures_once(asked):
    """A recalibrated model has the statistic of its weights' sum, whatever it was sent with."""
    made, _ = asked
    measured = []

    def recalibrate(model):
        measured.append(model)
        return Weights(model.trainable, model.trainable.sum(keepdims=True))

    model, plain = replace(made(), recalibrate=recalibrate), made(multilabel=True)
    update = np.array([1, 0.5, 0], np.float32)
    model.evaluator.dataset.multilabel = True  # whose losses depend on a shift of all logits
    sums = (CURRENT.trainable + update).sum(keepdims=True)
    for sent in (np.zeros(1), np.full(1, 9.0)):
        np.testing.assert_array_equal(
            model.class_losses(update, sent, 25), plain.class_losses(update, sums, 25)
        )
        np.testing.assert_array_equal(
            model.on_noise(update, sent, 10, 1), plain.on_noise(update, sums, 10, 1)
        )
    assert len(measured) == 1


@pytest.mark.parametrize("recalibrates", [False, True])
def test_an_ensembles_logits_are_the_mean_of_its_models_with_their_own_or_measured_statistics(
    asked, monkeypatch, recalibrates
):
    """A recalibrated model has the statistic 7 in the place of what it was sent with."""
    made, calls = asked
    fused = []

    def fuse(*given):
        fused.append(given)
        return Weights(CURRENT.trainable + 2, np.zeros(1, np.float32))

    monkeypatch.setattr(answers, "fuse", fuse)
    measured = (lambda model: Weights(model.trainable, np.full(1, 7, np.float32))) if recalibrates else None
    model = replace(made(), recalibrate=measured)
    model.evaluator.classifier = "network"
    models = [(np.full(3, value, np.float32), np.array([value], np.float32)) for value in (1.0, 3.0)]
    fusion = Fusion(images=10, steps=3, batch_size=5, learning_rate=0.1, temperature=1.0)
    found = model.fused(models, (ZERO, np.zeros(1)), fusion, 4)
    np.testing.assert_allclose(found, 2, rtol=1e-6)
    ((network, start, images, logits, how, seed, round),) = fused
    np.testing.assert_array_equal(start.trainable, CURRENT.trainable)
    own = root_images(VALIDATION, 10, 3).images
    np.testing.assert_array_equal(images, own)
    statistic = 7 if recalibrates else 2
    expected = own.mean((1, 2, 3))[:, None] / 10 * (CURRENT.trainable + 2) + statistic
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert (network, how, seed, round) == ("network", fusion, 3, 4)
    asked_before = len(calls)
    model.fused(models, (ZERO, np.zeros(1)), fusion, 4)
    assert len(calls) == asked_before, "the same models are asked once"
