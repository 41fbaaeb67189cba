"""On a coordinator a node is the client that its key stands for, whatever it says."""

import json

import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedrobust.code_digest import code_digest
from fedrobust.data.problem import Problem
from fedrobust.deployment.keys import ADMITTED, KeyListError
from fedrobust.flower.identity import server_identity
from fedrobust.models.layout import Entry, Layout
from server.client_registry import registry_of
from server.errors import RoundError

LAYOUT = Layout((Entry("kernel", (3,), "trainable"),))
PROBLEM = Problem((28, 28, 1), 2)
BIG = 2**64 - 3


class Fleet:
    """Flower's grid, with nodes that say which partition they are: node id -> partition."""

    def __init__(self, **said):
        self.said = {int(node.strip("n")): partition for node, partition in said.items()}

    def get_node_ids(self):
        return list(self.said)

    def push_messages(self, messages):
        self.answers = [self.introduction(message) for message in messages]
        return [answer.metadata.reply_to_message_id for answer in self.answers]

    def pull_messages(self, _):
        return self.answers

    def introduction(self, message):
        message.metadata.__dict__["_message_id"] = str(message.metadata.dst_node_id)
        hospital = {
            "partition": self.said[message.metadata.dst_node_id],
            "num-examples": 10,
            "parameters": LAYOUT.parameters,
            "step-seconds": 0.1,
            "memory-bytes": 10**6,
        }
        software = ConfigRecord({"code": code_digest()})
        return Message(
            RecordDict({"hospital": MetricRecord(hospital), "software": software}), reply_to=message
        )


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def registered(fleet, clients=3):
    return registry_of(fleet, PROBLEM, LAYOUT, clients, lambda: [10] * clients)


@pytest.fixture
def listed(monkeypatch, tmp_path):
    def write(content):
        path = tmp_path / "admitted.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv(ADMITTED, str(path))

    return write


def test_nodes_that_say_what_their_keys_stand_for_take_part(listed):
    listed({7: 0, BIG: 2, 9: 1})
    found = registered(Fleet(n7=0, n9=1, **{f"n{BIG}": 2}))
    assert found.nodes == {0: 7, 1: 9, 2: BIG}
    assert found.refused == ()


def test_an_impostor_is_refused_and_the_client_it_plays_takes_part(listed):
    listed({7: 0, 9: 1, 11: 2})
    # Node 7 introduces itself first: without the list it would be client 1, and node 9 the one that is refused.
    found = registered(Fleet(n7=1, n9=1, n11=2))
    assert found.nodes == {1: 9, 2: 11}
    (reason,) = found.refused
    assert "node 7 says it is partition 1, but its key is that of partition 0" in reason


def test_two_nodes_that_change_places_are_both_refused(listed):
    listed({7: 0, 9: 1, 11: 2})
    found = registered(Fleet(n7=1, n9=0, n11=2))
    assert found.nodes == {2: 11}
    assert len(found.refused) == 2


def test_a_node_that_is_not_listed_is_refused(listed):
    listed({9: 1})
    found = registered(Fleet(n7=0, n9=1))
    assert found.nodes == {1: 9}
    assert "not in the coordinator's list" in found.refused[0]


def test_a_listed_client_beyond_the_study_is_refused(listed):
    listed({7: 0, 9: 5})
    assert registered(Fleet(n7=0, n9=5)).nodes == {0: 7}


@pytest.mark.parametrize("content", ["{}", '{"7": 1}', '{"-7": 0}'])
def test_where_nobody_is_listed_nobody_takes_part(listed, content):
    listed(content)
    with pytest.raises(RoundError, match="none of 1 nodes is ready"):
        registered(Fleet(n7=0))


def test_a_list_that_cannot_be_read_stops_the_study(listed):
    listed("{")
    with pytest.raises(KeyListError):
        registered(Fleet(n7=0))


def test_without_a_coordinator_of_this_project_nodes_are_who_they_say(monkeypatch):
    monkeypatch.delenv(ADMITTED, raising=False)
    assert registered(Fleet(n7=1, n9=0)).nodes == {0: 9, 1: 7}
