"""What the server trains on itself: images of the validation split, the same in every round."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from fedrobust.checks.data import root_images
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.models.layout import Weights
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining
from server.root_update import root_update_of


def split(first, count) -> Split:
    """Images whose every pixel is their number."""
    numbers = np.arange(first, first + count)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 4, 4, 1)).astype(np.uint8)
    return Split(np.ascontiguousarray(images), (numbers % 2).astype(np.int32))


VALIDATION = split(100, 40)


@dataclass(frozen=True)
class Training:
    """Notes what is trained on, and returns weights that are one and a half more."""

    seed: int = 0
    calls: list = field(default_factory=list)

    def __call__(self, shard, current, round, client, like=None):
        self.calls.append((shard, round, client))
        return Weights(current.trainable + np.float32(1.5), current.statistics), {}


CURRENT = Weights(np.full(3, 2.0, np.float32), np.zeros(0, np.float32))


def test_the_root_is_an_update_on_so_many_images_that_no_client_and_no_test_has():
    training = Training()
    root = root_update_of(training, VALIDATION, clients=7)
    assert root(CURRENT, 25, 1).tolist() == [1.5] * 3, "what training adds to the global weights"
    ((shard, round, client),) = training.calls
    numbers = shard.images[:, 0, 0, 0].tolist()
    assert len(numbers) == len(set(numbers)) == 25
    assert set(numbers) <= set(range(100, 140)), "of the validation split"
    assert shard.labels.tolist() == [number % 2 for number in numbers], "with their own labels"
    assert (round, client) == (1, 7), "it draws as a client after the last one would"


def test_it_makes_as_many_steps_as_the_typical_client():
    """40 root images are two batches; they are gone through again, or not to the end."""
    made = []

    class Noted:
        def __call__(self, start, data, batches, **how):
            made.append((batches.sizes.tolist(), len(how["learning_rates"]), len(how["progress"])))
            return start, {}

    study = Study(Experiment.of(training__epochs=3, training__batch_size=20), Problem((4, 4, 1), 2))
    training = LocalTraining(
        study.experiment.training, study.experiment.data, 4, study.problem, 0, lambda training: Noted()
    )
    root = root_update_of(training, VALIDATION, clients=7)
    for typical, steps in ((None, 6), (39.5, 6), (41, 9), (100, 15), (5, 3)):
        root(CURRENT, 40, 1, typical)
        assert made.pop() == ([20] * steps, steps, steps)


@pytest.mark.parametrize(("copies", "steps"), [(0, 3), (2, 9)])
def test_augmentation_gives_both_as_many_more_steps(copies, steps):
    made = []

    def update(start, data, batches, **how):
        made.append(len(batches.sizes))
        return start, {}

    experiment = Experiment.of(training__batch_size=20, training__epochs=1, data__augment=copies)
    training = LocalTraining(
        experiment.training, experiment.data, 4, Problem((4, 4, 1), 2), 0, lambda training: update
    )
    root_update_of(training, VALIDATION, clients=7)(CURRENT, 30, 1, 60)
    assert made == [steps]


def test_the_images_stay_the_same_from_round_to_round_and_differ_between_seeds():
    calls = []
    for seed, round in ((0, 1), (0, 9), (1, 1)):
        root_update_of(Training(seed, calls), VALIDATION, clients=7)(CURRENT, 10, round)
    first, later, other = (call[0].images[:, 0, 0, 0].tolist() for call in calls)
    assert first == later
    assert first != other
    assert [call[1] for call in calls] == [1, 9, 1]


@pytest.mark.parametrize(("images", "fits"), [(1, True), (40, True), (41, False), (0, False)])
def test_more_images_than_there_are_are_refused(images, fits):
    name = f"fltrust(images={images})"
    try:
        experiment = Experiment.of(federation__aggregator=name)
    except ConfigError:
        assert images == 0
        return
    told = list(root_images(Study(experiment).defence.rule, name, len(VALIDATION)))
    sentence = (
        f'federation.aggregator = "fltrust(images={images})": images = {images}: the root images come from the '
        "validation split, which has 40"
    )
    assert told == ([] if fits else [sentence])
