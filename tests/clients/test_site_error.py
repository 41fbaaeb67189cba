"""What a server learns of a site's images from errors, whatever it asks."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from clients import app as node
from fedrobust.config import Experiment
from fedrobust.data.dataset import DataError
from fedrobust.data.problem import Problem
from fedrobust.data.site_error import UNFIT, SiteError
from fedrobust.errors import ConfigError
from fedrobust.flower.identity import RUN_ID, server_identity
from fedrobust.flower.records import problem_config, weights_record
from fedrobust.models.layout import Weights

LABELS = np.arange(12) % 4
KINDS = (MessageType.QUERY, MessageType.TRAIN)


@pytest.fixture
def asked(tmp_path):
    """Return a function that sends a node, whose images have 4 classes, a message of a study of so many classes."""
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    np.savez(tmp_path / "mine.npz", train_images=images, train_labels=LABELS)
    experiment = Experiment.of(data__samples=60, federation__clients=2, engine__workers=1)

    def ask(kind, classes, **held):
        config = ConfigRecord({"round": 1, **problem_config(Problem((28, 28, 1), classes))})
        sent = Weights(np.zeros(3, "f4"), np.zeros(0, "f4"))
        content = RecordDict({"weights": weights_record(sent), "config": config})
        node_config = {"partition-id": 0, "data-path": str(tmp_path / "mine.npz"), **held}
        with server_identity():
            message = Message(content, 1, kind)
            message.metadata.__dict__["_message_id"] = "asked"
            return node.app(
                message, Context(RUN_ID, 1, node_config, RecordDict(), experiment.to_run_config())
            )

    return ask


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_label_stays_at_the_site(asked, kind):
    with pytest.raises(SiteError) as error:
        asked(kind, 2)
    assert str(error.value) == UNFIT
    assert isinstance(error.value.__cause__, DataError)
    assert "labels go up to 3, the study has classes 0 to 1" in str(error.value.__cause__)


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_of_other_classes_than_the_site_takes_is_refused_whatever_its_images_are(asked, kind):
    for classes in (2, 3, 4, 9):
        with pytest.raises(
            ConfigError, match=f"28 x 28 x 1, {classes} classes, this site takes 28 x 28 x 1, 5"
        ):
            asked(kind, classes, takes="28 x 28 x 1, 5 classes", **{"data-path": "no file is looked at"})
    asked(MessageType.QUERY, 4, takes="28 x 28 x 1, 4 classes")


@pytest.mark.parametrize("kind", KINDS)
def test_of_an_error_that_is_not_this_projects_only_the_kind_is_told(asked, kind, monkeypatch):
    def fails(*_):
        raise ValueError(f"indices[3] = {LABELS[3]} is not in [0, 3)")

    monkeypatch.setattr(node, "shard", fails)
    with pytest.raises(SiteError, match=r"^ValueError: its text is in the log at the site$") as error:
        asked(kind, 4)
    assert "indices" in str(error.value.__cause__)


def test_a_simulated_client_tells_its_error_as_it_is(asked, monkeypatch):
    def fails(*_):
        raise ValueError("of the simulation")

    monkeypatch.setattr(node, "_study", fails)
    with pytest.raises(ValueError, match="of the simulation"):
        node.introduce(None, Context(RUN_ID, 1, {"partition-id": 0}, RecordDict(), {}))
