"""What leaves a hospital: its replies, caught and taken apart, and what its instructions say of them."""

import re

import numpy as np
import pytest
from deployed import study
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from clients.app import app
from fedrobust.data.problem import Problem
from fedrobust.flower.identity import RUN_ID, server_identity
from fedrobust.flower.records import arrays_of, problem_config, weights_record
from fedrobust.study import Study

PROBLEM = Problem((28, 28, 1), 2)


@pytest.fixture(scope="module")
def replies(data):
    """The replies of hospital 0 to the introduction and to a round, its images being its own."""
    experiment = study(data, data__clients=[], data__partition="iid", data__samples=60)
    classifier, weights = Study.of(experiment, PROBLEM).initial()
    node_config = {"partition-id": 0, "data-path": str(data / "bern.npz")}
    found = {}
    with server_identity():
        for kind in (MessageType.QUERY, MessageType.TRAIN):
            config = {"round": 1, "batchnorm": "moments", **problem_config(PROBLEM)}
            content = RecordDict({"weights": weights_record(weights), "config": ConfigRecord(config)})
            message = Message(content, 1, kind)
            message.metadata.__dict__["_message_id"] = kind
            context = Context(RUN_ID, 1, node_config, RecordDict(), experiment.to_run_config())
            found[kind] = app(message, context)
    return found, classifier.layout


def leaves(message):
    """Return all that a message carries: record and key -> value, arrays decoded."""
    content = message.content
    found = {}
    for name, record in content.array_records.items():
        found |= {f"{name}.{key}": value for key, value in arrays_of(record).items()}
    for records in (content.metric_records, content.config_records):
        for name, record in records.items():
            found |= {f"{name}.{key}": value for key, value in record.items()}
    return found


def test_an_introduction_carries_these_values_and_no_others(replies):
    found = leaves(replies[0][MessageType.QUERY])
    assert set(found) == {
        *("hospital.partition", "hospital.num-examples", "hospital.parameters"),
        *("hospital.step-seconds", "hospital.memory-bytes", "software.code"),
    }
    assert (found["hospital.partition"], found["hospital.num-examples"]) == (0, 12)


def test_a_round_carries_weights_and_these_numbers_and_no_others(replies):
    answers, layout = replies
    found = leaves(answers[MessageType.TRAIN])
    numbers = {"num-examples", "examples", "steps", "loss", "accuracy", "seconds", "round"}
    assert set(found) == {"weights.trainable", "weights.statistics", *(f"metrics.{name}" for name in numbers)}
    sizes = {"trainable": 0, "statistic": 0}
    for entry in layout.entries:
        sizes[entry.kind] += int(np.prod(entry.shape))
    assert found["weights.trainable"].shape == (sizes["trainable"],)
    assert found["weights.statistics"].shape == (sizes["statistic"],)
    assert all(np.ndim(found[f"metrics.{name}"]) == 0 for name in numbers)


def test_no_image_and_no_label_is_in_a_reply(replies, data):
    with np.load(data / "bern.npz") as file:
        images, labels = file["train_images"], file["train_labels"]
    for reply in replies[0].values():
        sent = b"".join(np.asarray(value).tobytes() for value in leaves(reply).values() if np.ndim(value))
        for row in (*images[:, 0], *images.astype(np.float32)[:, 0]):
            assert row.tobytes() not in sent
        assert labels.tobytes() not in sent


SAID = {
    "hospital.partition": "client number",
    "hospital.num-examples": "number of training images",
    "hospital.parameters": "number of the model's weights",
    "hospital.step-seconds": "seconds and memory of a trial step",
    "hospital.memory-bytes": "seconds and memory of a trial step",
    "software.code": "a digest of fedrobust's code",
    "weights.trainable": "the model's weights after training here",
    "weights.statistics": "BatchNorm statistics",
    "metrics.num-examples": "number of training images",
    "metrics.examples": "of images in the batches",
    "metrics.steps": "and of steps",
    "metrics.loss": "training loss",
    "metrics.accuracy": "accuracy on the training batches",
    "metrics.seconds": "seconds",
    "metrics.round": "number of the round",
}


def test_the_instructions_name_all_that_is_sent(replies, deployed):
    text = (deployed.sites[0].folder / "INSTRUCTIONS.md").read_text()
    rows = re.findall(r"^\| (?:before the first round|every round) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) == 2
    for row, reply in zip(rows, replies[0].values(), strict=True):
        plain = row.replace("**", "")
        assert [name for name in leaves(reply) if SAID[name] not in plain] == []
