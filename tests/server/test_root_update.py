"""What the server trains on itself: images of the validation split, the same in every round."""

from dataclasses import replace

import numpy as np
import pytest

import fedrobust
from fedrobust.checks import check_root
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset, Split
from fedrobust.models.layout import Weights
from server import root_update as module
from server.root_update import root_update_of


def split(first, count) -> Split:
    """Images whose every pixel is their number."""
    numbers = np.arange(first, first + count)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 4, 4, 1)).astype(np.uint8)
    return Split(np.ascontiguousarray(images), (numbers % 2).astype(np.int32))


@pytest.fixture
def dataset() -> Dataset:
    whole = fedrobust.load_dataset("phantom", samples=60)
    return replace(whole, train=split(0, 50), validation=split(100, 40), test=split(200, 50))


@pytest.fixture
def trained(monkeypatch):
    """Notes what is trained on, and returns weights that are one more."""
    calls = []

    def note(experiment, problem, shard, current, round, partition):
        calls.append((shard, round, partition))
        return Weights(current.trainable + np.float32(1.5), current.statistics), {}

    monkeypatch.setattr(module, "train_locally", note)
    return calls


CURRENT = Weights(np.full(3, 2.0, np.float32), np.zeros(0, np.float32))


def test_the_root_is_an_update_on_so_many_images_that_no_client_and_no_test_has(dataset, trained):
    root = root_update_of(Experiment.of(federation__clients=7), dataset)
    assert root(CURRENT, 25, 1).tolist() == [1.5] * 3, "what training adds to the global weights"
    ((shard, round, partition),) = trained
    numbers = shard.images[:, 0, 0, 0].tolist()
    assert len(numbers) == len(set(numbers)) == 25
    assert set(numbers) <= set(range(100, 140)), "of the validation split"
    assert shard.labels.tolist() == [number % 2 for number in numbers], "with their own labels"
    assert (round, partition) == (1, 7), "it draws as a client after the last one would"


def test_the_images_stay_the_same_from_round_to_round_and_differ_between_seeds(dataset, trained):
    for seed, round in ((0, 1), (0, 9), (1, 1)):
        root_update_of(Experiment.of(seed=seed), dataset)(CURRENT, 10, round)
    first, later, other = (call[0].images[:, 0, 0, 0].tolist() for call in trained)
    assert first == later
    assert first != other
    assert [call[1] for call in trained] == [1, 9, 1]


@pytest.mark.parametrize(("images", "fits"), [(1, True), (40, True), (41, False), (0, False)])
def test_more_images_than_there_are_are_refused(dataset, images, fits):
    try:
        experiment = Experiment.of(federation__aggregator=f"fltrust(images={images})")
    except ConfigError:
        assert not fits
        return
    if fits:
        check_root(experiment, dataset)
        return
    with pytest.raises(
        ConfigError, match=f"images = {images}: the root images come from the validation split"
    ):
        check_root(experiment, dataset)
