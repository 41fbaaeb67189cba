"""Clients that are asked together: who they are, what is checked of their reply, and that the model is the same."""

import re

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict
from small_federation import federation_of

from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import arrays_record, weights_of
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Schedule
from fedrobust.runs.events import ClientReplied, listening
from server.federation import Federation
from server.groups import FEWEST, MOST, TOGETHER, Grouping, fault_of, read_group
from server.replies import Failure, Reply

LAYOUT = Layout((Entry("kernel", (3,), "trainable"), Entry("moving_mean", (2,), "statistic")))
SIZES = [4, 9, 2, 7, 5]
START = Weights(np.arange(3, dtype=np.float32), np.zeros(2, np.float32))


@pytest.fixture(autouse=True)
def server():
    with server_identity():
        yield


def always(round):
    return True


def answer_of(client: int) -> Weights:
    draw = np.random.default_rng(client)
    return Weights(draw.normal(size=3).astype(np.float32), draw.uniform(size=2).astype(np.float32))


def reply_to(message: Message, clients, round=1, change=lambda arrays, metrics: None) -> Message:
    answers = [answer_of(client) for client in clients]
    arrays = {
        "trainable": np.stack([one.trainable for one in answers]),
        "statistics": np.stack([one.statistics for one in answers]),
    }
    metrics = {
        "num-examples": [SIZES[client] for client in clients],
        "loss": [0.5 + client for client in clients],
        "seconds": [0.1] * len(clients),
        "round": round,
    }
    change(arrays, metrics)
    return Message(
        RecordDict({"weights": arrays_record(arrays), "metrics": MetricRecord(metrics)}), reply_to=message
    )


def asked(federation: Federation) -> list[Message]:
    return federation.messages(1, START, federation.sampling.sample(1))


def federation(grouping: Grouping, **settings) -> Federation:
    one = federation_of(LAYOUT, SIZES, **settings)
    fields = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return Federation(**{**fields, "grouping": grouping})


@pytest.mark.parametrize(("clients", "workers"), [(3, 2), (FEWEST, 4), (100, 2), (1000, 2), (1001, 3)])
def test_groups_share_the_clients_out_among_the_workers(clients, workers):
    groups = Grouping(always, workers=workers).groups(1, list(range(clients)))
    assert [client for group in groups for client in group] == list(range(clients))
    assert max(map(len, groups)) <= MOST
    assert len(groups) == 1 or min(map(len, groups[:-1])) >= FEWEST


def test_malicious_clients_are_asked_alone_in_the_rounds_in_which_they_attack():
    grouping = Grouping(always, Schedule((1, 4), first_round=2))
    assert grouping.groups(1, [4, 3, 2, 1, 0]) == [[4, 3, 2, 1, 0]]
    assert grouping.groups(2, [4, 3, 2, 1, 0]) == [[4], [1], [3, 2, 0]]
    assert Grouping().groups(1, [2, 1]) == [[2], [1]]


def test_a_group_is_asked_with_one_message_that_names_its_clients():
    (message,) = asked(federation(Grouping(always)))
    assert message.metadata.message_type == TOGETHER
    assert message.content.config_records["config"]["clients"] == [1, 3, 4, 0, 2], "the largest first"
    np.testing.assert_array_equal(
        weights_of(message.content.array_records["weights"]).trainable, START.trainable
    )


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_the_next_model_is_that_of_clients_that_were_asked_one_by_one(rule):
    told = []
    found = []
    for grouping in (Grouping(always), Grouping()):
        one = federation(grouping, federation__aggregator=rule)
        messages = asked(one)
        answers = []
        for message in messages:
            config = message.content.config_records["config"]
            if "clients" in config:
                answers.append(reply_to(message, config["clients"]))
                continue
            client = one.registry.client_of(message.metadata.dst_node_id)

            def single(arrays, metrics):
                arrays.update({name: array[0] for name, array in arrays.items()})
                metrics.update({k: v[0] for k, v in metrics.items() if isinstance(v, list)})

            answers.append(reply_to(message, [client], change=single))
        with listening(told.append):
            found.append(one.aggregate(1, START, one.sampling.sample(1), answers, {}))
    together, apart = found
    assert together.weights.digest() == apart.weights.digest()
    assert together.outcome.record() == apart.outcome.record()
    replied = [event.node for event in told if isinstance(event, ClientReplied)]
    registry = federation(Grouping()).registry
    assert replied == [registry.node(client) for client in (3, 4, 0, 2)], "the carrier tells of the first"


def read(change, clients=(0, 1, 2)):
    (message,) = asked(federation(Grouping(always)))
    return read_group(reply_to(message, clients, change=change), clients, LAYOUT, 1)


def test_numbers_that_are_not_finite_leave_their_client_out_alone():
    def change(arrays, metrics):
        arrays["trainable"][1, 2] = np.nan
        arrays["statistics"][2, 0] = np.inf

    first, second, third = read(change)
    assert isinstance(first, Reply)
    assert first.examples == SIZES[0]
    np.testing.assert_array_equal(first.weights.trainable, answer_of(0).trainable)
    assert [second.client_id, third.client_id] == [1, 2]
    assert second.reason.startswith("trainable has 1 numbers that are not finite, the first in ")
    assert third.reason.startswith("statistics has 1 numbers that are not finite")
    assert second.numbers
    assert third.numbers


def test_impossible_statistics_leave_their_client_out_as_in_a_reply_of_its_own():
    names = ("norm/moving_mean", "norm/moving_variance")
    layout = Layout(tuple(Entry(name, (1,), "statistic") for name in names))
    trainable, statistics = np.zeros(0, np.float32), np.array([0.0, -1e-30], np.float32)
    assert fault_of(trainable, statistics, layout).startswith(
        "statistics: 1 of 1 moving variances are negative"
    )
    assert fault_of(trainable, np.array([1e-45, 1e-45], np.float32), layout) == "", "denormal, and possible"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda arrays, metrics: arrays.update(trainable=arrays["trainable"][:2]),
            r"trainable is float32 \(2, 3\)",
        ),
        (
            lambda arrays, metrics: arrays.update(statistics=arrays["statistics"].astype(np.float64)),
            "float64",
        ),
        (lambda arrays, metrics: arrays.pop("statistics"), "statistics"),
        (lambda arrays, metrics: metrics.update(round=2), "a reply to round 2: this is round 1"),
        (lambda arrays, metrics: metrics.update(loss=[1.0]), "loss"),
        (lambda arrays, metrics: metrics.update(seconds=1.0), "a list of 3 numbers"),
    ],
)
def test_a_reply_that_is_not_what_was_asked_for_leaves_its_group_out(change, reason):
    found = read(change)
    assert [type(one) for one in found] == [Failure] * 3
    assert [one.client_id for one in found] == [0, 1, 2]
    assert re.search(reason, found[0].reason)
