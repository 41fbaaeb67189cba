"""The members of a run: images of clients that took part, not of all clients."""

import numpy as np
import pytest

import fedrobust
from fedrobust.config import ConfigError
from fedrobust.exposure.trained_rows import participants, trained_rows
from fedrobust.study import Study

SOMETIMES = {
    "federation__clients": 6,
    "federation__aggregator": "median",  # the record of a robust rule names the clients of each round
    "federation__patience": 9,
}

LOST = {"federation__availability": ["all: dropout(probability=0.3)"]}


@pytest.mark.parametrize(
    "settings",
    [
        {"federation__participation": 0.34},
        {"federation__participation": 0.4, "federation__sampling": "poisson", "seed": 3},
        {"federation__availability": ["0: dropout(probability=0.999)", "1: joins(round=3)"]},
        {"federation__participation": 0.34, "federation__min_replies": 1.0, **LOST},
    ],
)  # fmt: skip
def test_clients_that_sent_no_update_are_no_members(small, tmp_path, settings):
    run = fedrobust.run(
        **{**small, "data__train_share": 0.5, **SOMETIMES, **settings}, output__dir=str(tmp_path / "run")
    )
    study = Study.of(run.experiment)
    for last in (1, 3):
        rounds = [one for one in run.record.rounds[:last] if not one.kept]
        told = {client for one in rounds for client in one.defence.partitions}
        assert participants(study, run.record, last) == sorted(told)
        if not told:
            with pytest.raises(ConfigError, match="no client took part"):
                trained_rows(study, run.folder, last)
            continue
        rows = trained_rows(study, run.folder, last)
        own = study.dataset.undivided.train.images[rows]
        shards = np.concatenate([study.shard(client).images for client in told])
        assert sorted(image.tobytes() for image in own) == sorted(image.tobytes() for image in shards)
    assert len(told) < 6


def test_images_that_no_client_trained_on_are_attacked_as_others(small, tmp_path):
    never = {"federation__availability": ["0: dropout(probability=0.999)"]}
    run = fedrobust.run(**{**small, **never}, output__dir=str(tmp_path / "run"))
    (found,) = fedrobust.attack_privacy(run.path, ["loss"])["membership"]
    study = Study.of(run.experiment)
    idle, test = len(study.partition.shards[0]), len(study.dataset.test)
    assert found["others"] == "test images, and training images that no client trained on"
    assert (found["rates"][0]["members"], found["rates"][0]["others"]) == (60 - idle, test + idle)
