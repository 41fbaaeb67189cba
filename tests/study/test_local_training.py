"""What a study's settings make of a client's training, with an update that notes what it is asked for."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.data.resampling import augmented, undersampled
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.recipes import FGSMTraining, Plain

PROBLEM = Problem((8, 8, 1), classes=3)
START = Weights(np.zeros(2, np.float32), np.zeros(1, np.float32))
LEARNT = Weights(np.ones(2, np.float32), np.ones(1, np.float32))


@pytest.fixture
def shard(draw):
    images = draw.integers(0, 256, (11, 8, 8, 1)).astype(np.uint8)
    return Split(images, np.array([0, 1, 1, 0, 1, 1, 1, 1, 1, 2, 2], np.int32))


@pytest.fixture
def asked():
    """What the update of a study was made for and called with."""
    return []


def training_of(experiment, asked) -> LocalTraining:
    def update_of(training):
        def update(weights, data, batches, learning_rates, seed, class_weights, prior, progress):
            assert prior.sum() == pytest.approx(1)
            assert progress.shape == learning_rates.shape
            asked.append((training, weights, data, batches, learning_rates, seed, class_weights))
            return LEARNT, {"loss": 0.5}

        return update

    training = Study(experiment, PROBLEM).local_training
    assert training.problem == PROBLEM
    return replace(training, update=update_of)


def test_the_update_gets_the_studys_settings_and_the_clients_own_draws(asked, shard, monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    experiment = Experiment.of(
        seed=3,
        federation__rounds=6,
        training__epochs=2,
        training__batch_size=4,
        training__learning_rate=0.1,
        training__schedule="linear",
    )
    trained, metrics = training_of(experiment, asked)(shard, START, round=5, client=7)
    ((_, weights, data, batches, rates, seed, class_weights),) = asked
    assert (trained, weights) == (LEARNT, START)
    np.testing.assert_array_equal(data.images, shard.images)
    np.testing.assert_array_equal(data.targets, shard.labels)
    expected = draw_batches(np.arange(11), 2, 4, generator(3, Purpose.TRAINING, 5, 7))
    np.testing.assert_array_equal(batches.rows, expected.rows)
    np.testing.assert_array_equal(batches.sizes, expected.sizes)
    np.testing.assert_allclose(rates, 0.1 * (1 - (4 + np.arange(6) / 6) / 6), rtol=1e-6)
    np.testing.assert_array_equal(seed, graph_seed(3, Purpose.TRAINING, 5, 7))
    assert class_weights is None
    assert metrics == {"loss": 0.5, "num-examples": 11, "seconds": 2.5, "round": 5}


def test_balanced_class_weights_are_those_of_the_shard(asked, shard):
    experiment = Experiment.of(training__class_weights="balanced")
    training_of(experiment, asked)(shard, START, round=1, client=0)
    np.testing.assert_allclose(asked[0][-1], 11 / (3 * np.array([2, 7, 2])), rtol=1e-6)


def test_before_its_recipe_begins_a_client_trains_plainly(asked, shard):
    experiment = Experiment.of(training__recipe="pgd(epsilon=0.1)", training__recipe_from=2)
    for round in (1, 2):
        training_of(experiment, asked)(shard, START, round=round, client=0)
    before, after = (call[0] for call in asked)
    assert (before.recipe, after.recipe) == ("plain", "pgd(epsilon=0.1)")


def test_resampling_is_drawn_anew_in_every_round_and_changes_no_claim(asked, shard):
    experiment = Experiment.of(seed=3, data__undersample=True, data__augment=2)
    for round, client in ((1, 4), (2, 4)):
        _, metrics = training_of(experiment, asked)(shard, START, round=round, client=client)
        draw = generator(3, Purpose.RESAMPLING, round, client)
        expected = augmented(undersampled(shard, draw), 2, draw)
        data, batches = asked[-1][2], asked[-1][3]
        np.testing.assert_array_equal(data.images, expected.images)
        np.testing.assert_array_equal(data.targets, expected.labels)
        assert int(batches.sizes.sum()) == len(expected) == 3 * 2 * 3
        assert metrics["num-examples"] == 11
    assert not np.array_equal(asked[0][2].images, asked[1][2].images)


@pytest.mark.parametrize(("undersample", "augment", "images"), [(False, 0, 11), (True, 0, 6), (False, 1, 22)])
def test_each_kind_of_resampling_is_asked_for_by_itself(asked, shard, undersample, augment, images):
    experiment = Experiment.of(data__undersample=undersample, data__augment=augment)
    training_of(experiment, asked)(shard, START, round=1, client=0)
    assert len(asked[0][2].images) == images


def update_of(experiment, problem) -> LocalUpdate:
    update = Study(experiment, problem).local_training.update(experiment.training)
    assert isinstance(update, LocalUpdate)
    return update


@pytest.mark.parametrize("space", ["native", "prepared"])
def test_a_study_hands_its_training_to_the_update(monkeypatch, space):
    """Space, proximal term, recipe and optimiser: each changes what clients learn, none may be left behind."""
    monkeypatch.setattr(LocalUpdate, "compiled", lambda update: update)
    settings = {
        "training__space": space,
        "training__proximal": 0.5,
        "training__recipe": "fgsm(epsilon='8/255', share=0.25)",
        "training__optimizer": "sgd(momentum=0.75, nesterov=True, weight_decay=0.01)",
    }
    problem = Problem((28, 28, 1), classes=3)
    update = update_of(Experiment.of(**settings), problem)
    assert (update.space, update.proximal) == (space, 0.5)
    assert update.recipe == FGSMTraining(epsilon="8/255", share=0.25)
    assert update.optimizer == SGD(momentum=0.75, nesterov=True, weight_decay=0.01)
    assert update.classifier.classes == 3
    plain = update_of(Experiment.of(training__optimizer="adam(weight_decay=0.01)"), problem)
    assert (plain.space, plain.proximal) == ("native", 0.0)
    assert (plain.recipe, plain.optimizer) == (Plain(), Adam(weight_decay=0.01))


@pytest.mark.parametrize(("work", "steps"), [(1.0, 6), (0.5, 3), (0.4, 3), (0.01, 1)])
def test_a_straggler_trains_on_the_first_of_its_batches(asked, shard, work, steps):
    experiment = Experiment.of(
        training__epochs=2, training__batch_size=4, training__schedule="cosine", federation__rounds=2
    )
    training = training_of(experiment, asked)
    training(shard, START, round=1, client=0)
    _, metrics = training(shard, START, round=1, client=0, work=work)
    (_, _, _, whole, rates, *_), (_, _, _, part, some, *_) = asked
    assert part.sizes.tolist() == whole.sizes[:steps].tolist()
    np.testing.assert_array_equal(part.rows, whole.rows[:steps])
    np.testing.assert_array_equal(some, rates[:steps])
    assert metrics["num-examples"] == len(shard)
