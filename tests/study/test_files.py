"""Files that change between two runs of one process are read again, and not during a run."""

import os

import keras
import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.data.phantom import phantom
from fedrobust.models.architectures import architecture_named
from fedrobust.study import Study
from fedrobust.study.files import stamps_of


def write(path, seed: int, train: int = 12) -> None:
    data = phantom(train=train, seed=seed)
    splits = {"train": data.train, "val": data.validation, "test": data.test}
    images = {f"{name}_images": one.images for name, one in splits.items()}
    np.savez(path, **images, **{f"{name}_labels": one.labels for name, one in splits.items()})
    # Two writes within a tick of the file system's clock.
    os.utime(path, ns=(seed, seed))


@pytest.mark.parametrize("setting", ["data__name", "data__clients"])
def test_changed_images_are_read_again_at_the_start_of_a_run(tmp_path, setting):
    file = tmp_path / "mine.npz"
    value = [str(file), str(tmp_path / "other.npz")] if setting == "data__clients" else str(file)
    write(tmp_path / "other.npz", 9)
    write(file, 1)
    more = {"data__partition": "site"} if setting == "data__clients" else {}
    experiment = Experiment.of(federation__clients=2, **{setting: value}, **more)
    before = Study.up_to_date(experiment)
    client = Study.of(experiment, before.problem)
    assert client is before
    digest = before.dataset.digest
    assert Study.up_to_date(experiment) is before, "nothing changed"
    write(file, 2)
    assert Study.of(experiment) is before, "a run keeps its images"
    after = Study.up_to_date(experiment)
    assert after.dataset.digest != digest
    assert Study.of(experiment, after.problem) is after, "its clients have the same ones"
    write(file, 1)
    assert Study.up_to_date(experiment).dataset.digest == digest


def test_frozen_weights_are_read_again(tmp_path):
    file = tmp_path / "own.weights.h5"
    start = Experiment.of(data__samples=50, model__name="edge-cnn", training__layers="head")
    digests = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        architecture_named("edge-cnn").features((28, 28, 1)).save_weights(file)
        os.utime(file, ns=(seed, seed))
        study = Study.up_to_date(start.changed(model__weights=str(file)))
        digests.append(study.classifier.layout.frozen)
    assert len(set(digests)) == 2


def test_stamps_leave_out_what_is_not_there(tmp_path):
    experiment = Experiment.of(
        data__name=str(tmp_path / "mine.npz"), model__weights=str(tmp_path / "no.weights.h5")
    )
    assert stamps_of(experiment) == ()
    write(tmp_path / "mine.npz", 3)
    ((path, size, changed),) = stamps_of(experiment)
    assert (path, changed) == (str(tmp_path / "mine.npz"), 3)
    assert size > 0
