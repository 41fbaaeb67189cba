"""Epsilon schedules: a recipe's radius and step size rise with the progress of the training."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.config import Experiment
from fedrobust.spec import build
from fedrobust.study import Study
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import RECIPES, AdversarialRecipe, PGDTraining
from fedrobust.training.training_data import TrainingData

LABELS = np.array([0, 1, 1, 0, 1, 0], np.int32)
ADVERSARIAL = [name for name in sorted(RECIPES) if isinstance(build(RECIPES, name), AdversarialRecipe)]


@pytest.fixture
def images(draw):
    return draw.integers(80, 170, (6, 4, 4, 1)).astype(np.uint8)


@pytest.mark.parametrize("inner", [*ADVERSARIAL, "awp"])
def test_every_adversarial_recipe_moves_images_by_the_radius_of_the_hour(inner, linear_classifier, images):
    """A quarter of the training with a warm-up of half of it: half of epsilon, in every recipe."""
    name = (
        "awp(recipe='pgd(epsilon=0.1, warmup=0.5)')"
        if inner == "awp"
        else f"{inner}(epsilon=0.1, warmup=0.5)"
    )
    recipe, largest = build(RECIPES, name), []

    def watched(batch):
        largest.clear()  # a function that is traced again is watched again

        def train(seen):
            largest.append(tf.reduce_max(tf.abs(seen - batch.images)))
            return batch.train(seen)

        inner = batch.at
        return recipe(
            batch._replace(train=train, at=lambda arrays: inner(arrays)._replace(train=train))
        )._replace(loss=tf.reduce_max(tf.stack(largest)))

    update = LocalUpdate(linear_classifier, watched, SGD())
    batches = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    data, start = TrainingData.of(images, LABELS), linear_classifier.initial_weights()
    found = [
        update(start, data, batches, [0.0], [0, 0], progress=[over])[1]["loss"]
        for over in (0.0, 0.25, 0.5, 0.9)
    ]
    np.testing.assert_allclose(found, [0.0, 0.05, 0.1, 0.1], atol=1e-6)
    assert update(start, data, batches, [0.0], [0, 0])[1]["loss"] == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("step_size", [pytest.param(0.0, marks=pytest.mark.slow), 0.02])
def test_half_of_the_way_it_is_the_recipe_of_half_the_epsilon_and_step(linear_classifier, images, step_size):
    batches = Batches(np.arange(6, dtype=np.int32)[None], np.array([6], np.int32))
    given = linear_classifier.initial_weights(), TrainingData.of(images, LABELS), batches, [1.0], [1, 2]

    def after(recipe, **more):
        return LocalUpdate(linear_classifier, recipe, SGD(momentum=0.0))(*given, **more)[0].trainable

    warm = PGDTraining(epsilon=0.1, steps=2, step_size=step_size, warmup=0.5)
    half = PGDTraining(epsilon=0.05, steps=2, step_size=step_size / 2)
    full = PGDTraining(epsilon=0.1, steps=2, step_size=step_size)
    np.testing.assert_allclose(after(warm, progress=[0.25]), after(half), atol=1e-7)
    np.testing.assert_array_equal(after(full, progress=[0.25]), after(full))
    assert not np.allclose(after(half), after(full), atol=1e-5)


def test_a_client_counts_the_training_from_the_round_in_which_its_recipe_begins():
    study = Study(
        Experiment.of(
            training__recipe="pgd(epsilon='4/255', warmup=0.5)",
            training__recipe_from=3,
            training__batch_size=10,
            federation__rounds=6,
        )
    )
    labels = np.zeros(40, np.int32)

    def over(round, work=1.0):
        plan = study.local_training.plan(labels, round, 0, study.experiment.training, work)
        return plan.progress.tolist()

    assert over(3) == [0.0, 0.0625, 0.125, 0.1875]
    assert over(6) == [0.75, 0.8125, 0.875, 0.9375]
    assert over(6, work=0.5) == [0.75, 0.8125]
    assert over(1) == over(3), "rounds before are plain"
