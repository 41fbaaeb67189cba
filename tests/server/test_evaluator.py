"""When a model is sound, and how often an attacker has its way, on a linear model whose answers are known."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Goal
from server.evaluator import NO_CONTROL, Evaluator

BRIGHT = np.full((4, 4, 1), 200, np.uint8)
DARK = np.full((4, 4, 1), 20, np.uint8)


def split(bright, dark) -> Split:
    images = np.stack([BRIGHT] * bright + [DARK] * dark)
    return Split(images, np.array([1] * bright + [0] * dark, np.int32))


@pytest.fixture
def dataset():
    whole = fedrobust.load_dataset("phantom", samples=60)
    return replace(whole, train=split(4, 4), validation=split(3, 5), test=split(6, 4))


def evaluator(classifier, dataset, **settings) -> Evaluator:
    experiment = Experiment.of(evaluation__epsilons=[0.005], **settings)
    return Evaluator.of(experiment, dataset, classifier, ThreadPoolExecutor(1))


def weights(slope=1.0, bias=-0.4) -> Weights:
    """Class 1 where slope times the mean pixel plus bias is positive."""
    kernel = np.zeros((16, 2))
    kernel[:, 1] = slope / 16
    vector = np.concatenate([kernel.ravel(), [0.0, bias]])
    return Weights(vector.astype(np.float32), np.zeros(0, np.float32))


def test_a_model_that_answers_is_sound(linear_classifier, dataset):
    judge = evaluator(linear_classifier, dataset)
    assert judge.fault(weights()) == ""
    assert judge.fault(weights(slope=1e30)) == "", "large numbers are numbers"
    assert judge.test(weights(slope=1e30, bias=-4e29)).clean.accuracy == 1.0


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_model_whose_logits_are_no_numbers_is_not(linear_classifier, dataset, broken):
    judge = evaluator(linear_classifier, dataset)
    assert judge.fault(weights(bias=broken)) == "the new model answers with numbers that are not finite"
    with pytest.raises(NotFiniteError, match="10 of 10 rows of logits hold NaN or infinity"):
        judge.test(weights(bias=broken))


def test_gradients_that_overflow_are_a_fault_where_an_attack_follows_them(linear_classifier, dataset):
    """Weights of 3e38 with opposite signs: on images without contrast they cancel out, their difference overflows."""
    kernel = np.zeros((16, 2), np.float32)
    kernel[0], kernel[1] = (3e38, -3e38), (-3e38, 3e38)
    opposed = Weights(np.concatenate([kernel.ravel(), [0, 0]]).astype(np.float32), np.zeros(0, np.float32))
    flat = np.zeros((4, 4, 4, 1), np.uint8)
    dark = replace(dataset, validation=Split(flat, np.array([0, 1, 0, 1], np.int32)))
    assert (
        evaluator(linear_classifier, dark).fault(opposed) == "the new model has gradients that are not finite"
    )
    assert evaluator(linear_classifier, dark, evaluation__attacks=[]).fault(opposed) == ""


def test_success_is_told_beside_the_rate_without_the_trigger(linear_classifier, dataset):
    judge = evaluator(linear_classifier, dataset)
    plain, wanted = np.stack([DARK, DARK, DARK, BRIGHT]), np.ones(4, np.int64)
    triggered = plain.copy()
    triggered[0] = BRIGHT
    told = judge.success(weights(), Goal(triggered, plain, wanted))
    assert (told["n"], told["successes"], told["rate"], told["without-trigger"]) == (4, 2, 0.5, 0.25)
    assert told["control"] == "the same images without the trigger"


@pytest.mark.parametrize("plain", [None, np.stack([DARK, BRIGHT])])
def test_an_attack_that_adds_nothing_to_an_image_has_no_such_rate(linear_classifier, dataset, plain):
    judge = evaluator(linear_classifier, dataset)
    told = judge.success(weights(), Goal(np.stack([DARK, BRIGHT]), plain, np.ones(2, np.int64)))
    assert (told["rate"], told["without-trigger"], told["control"]) == (0.5, None, NO_CONTROL)
