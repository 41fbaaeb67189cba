"""Who takes part, and in which order: from made-up introductions, in a simulation and on Flower's own carriers."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MessageType, MetricRecord, RecordDict

from fedrobust.code_digest import code_digest
from fedrobust.config import Experiment
from fedrobust.data.problem import Problem
from fedrobust.deployment.keys import ADMITTED
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.flower.identity import server_identity
from fedrobust.models.layout import Entry, Layout
from fedrobust.study import Study
from server.client_registry import MOST_ASKED, ClientRegistry, misnamed, registry_of
from server.errors import RoundError
from server.replies import NodeInfo

LAYOUT = Layout((Entry("kernel", (3,), "trainable"),))
PROBLEM = Problem((28, 20, 3), 4)


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def introduction(asked, partition, **changes) -> Message:
    hospital = {
        "partition": partition,
        "num-examples": 10 + partition,
        "parameters": 3,
        "step-seconds": 0.5,
        "memory-bytes": 1000,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    software = ConfigRecord({"code": code_digest()})
    return Message(RecordDict({"hospital": MetricRecord(hospital), "software": software}), reply_to=asked)


class Carrier:
    """Flower's grid: node id -> the partition that it says it is, what it says besides, or an error."""

    def __init__(self, said):
        self.said = said
        self.asked = []

    def get_node_ids(self):
        return list(self.said)

    def push_messages(self, messages):
        self.asked = list(messages)
        for message in self.asked:
            message.metadata.__dict__["_message_id"] = str(message.metadata.dst_node_id)
        return [message.metadata.message_id for message in self.asked]

    def pull_messages(self, keys):
        return [self.answer(message) for message in self.asked if message.metadata.message_id in keys]

    def answer(self, message):
        said = self.said[message.metadata.dst_node_id]
        if isinstance(said, str):
            return Message(Error(1, said), reply_to=message)
        partition, changes = said if isinstance(said, tuple) else (said, {})
        return introduction(message, partition, **changes)


class Simulation(SimulatedGrid):
    """A simulation: client -> what it says instead of the truth; notes which nodes were asked what."""

    def __init__(self, clients, workers, said=None):
        self.asked = []
        said = {} if said is None else said

        def answer(message, context):
            self.asked.append(message)
            client = message.metadata.dst_node_id - 1
            changes = dict(said.get(client, {}))
            return introduction(message, changes.pop("partition", client), **changes)

        super().__init__(lambda _: SimpleNamespace(answer=answer, close=lambda: None), {}, clients, workers)


ASKED = {"round": 1, "image-shape": [28, 20, 3], "classes": 4}


def registered(grid, clients, timeout=0.0) -> ClientRegistry:
    return registry_of(grid, PROBLEM, LAYOUT, clients, lambda: range(20, 20 + clients), timeout)


def simulated(clients, workers, said=None):
    with Simulation(clients, workers, said) as grid:
        return registered(grid, clients), grid.asked


# -- Who stands for whom -------------------------------------------------------------------------------------------


def made(nodes=None) -> ClientRegistry:
    return ClientRegistry(np.array([1, 4, 6, 7, 9]), nodes, np.array([30, 50, 20, 50, 40]), 0.1, 10)


def test_in_a_simulation_a_node_is_its_partition_plus_one():
    assert [made().node(partition) for partition in (0, 1, 9)] == [1, 2, 10]
    assert [made().client_of(node) for node in (1, 2, 10)] == [0, 1, 9]


def test_elsewhere_it_is_the_one_that_introduced_itself():
    known = made({1: 70, 4: 30, 6: 2, 7: 1, 9: 11})
    assert [known.node(partition) for partition in (1, 4, 6, 7, 9)] == [70, 30, 2, 1, 11]
    assert [known.client_of(node) for node in (70, 30, 2, 1, 11, 12)] == [1, 4, 6, 7, 9, None]
    with pytest.raises(KeyError):
        known.node(0)


def test_sizes_go_by_partition_whichever_place_it_has():
    assert [made().size(partition) for partition in (1, 4, 6, 7, 9)] == [30, 50, 20, 50, 40]
    assert type(made().size(1)) is int


def test_the_largest_are_first_and_of_equals_the_first():
    assert made().largest_first([9, 7, 6, 4, 1]) == [4, 7, 9, 1, 6]
    assert made().largest_first([6, 7, 1]) == [7, 1, 6]
    assert made().largest_first([]) == []


# -- On Flower's own carriers --------------------------------------------------------------------------------------


def test_every_node_is_asked_once_in_the_order_of_their_ids():
    grid = Carrier({31: 0, 7: 2, 19: 1})
    registered(grid, 3)
    assert [message.metadata.dst_node_id for message in grid.asked] == [7, 19, 31]
    for message in grid.asked:
        assert (message.metadata.message_type, message.metadata.group_id) == (MessageType.QUERY, "0")
        assert dict(message.content) == {"config": ConfigRecord(ASKED)}


def test_nodes_are_told_the_round_with_which_a_resumed_run_goes_on():
    grid = Carrier({31: 0})
    registry_of(grid, PROBLEM, LAYOUT, 1, lambda: [20], round=3)
    assert [message.content["config"]["round"] for message in grid.asked] == [3]


def test_clients_are_those_that_introduced_themselves_with_what_they_said():
    slow = {"step_seconds": 3.0, "memory_bytes": 5000}
    found = registered(Carrier({31: 0, 7: (4, slow), 19: (1, {"step_seconds": 0.25, "memory_bytes": 7})}), 5)
    assert found.client_ids.tolist() == [0, 1, 4]
    assert found.nodes == {0: 31, 1: 19, 4: 7}
    assert list(found.nodes) == [0, 1, 4]
    assert found.sizes.tolist() == [10, 11, 14]
    assert (found.step_seconds, found.memory_bytes, found.refused) == (0.5, 1000, ())


def test_of_an_even_number_the_lower_middle_one_counts():
    said = {
        node: (node - 1, {"step_seconds": float(node), "memory_bytes": 10 * node}) for node in (1, 2, 3, 4)
    }
    found = registered(Carrier(said), 4)
    assert (found.step_seconds, found.memory_bytes) == (2.0, 20)


def test_nodes_that_cannot_take_part_are_told_in_the_order_of_their_ids():
    found = registered(Carrier({9: "ValueError: no disk", 4: (1, {"parameters": 8}), 6: 0, 8: 0, 5: 7}), 3)
    assert found.nodes == {0: 6}
    assert found.refused == (
        "a model of 8 parameters, the server's has 3: not the same study",
        "partition = 7: the study has 0 to 2",
        "partition 0 stands for another node already",
        "ValueError: no disk",
    )


def test_without_a_node_that_is_ready_there_is_no_study():
    with pytest.raises(RoundError, match=r"^none of 2 nodes is ready; first reason: OSError: full$"):
        registered(Carrier({4: "OSError: full", 5: "OSError: other"}), 3)
    with pytest.raises(RoundError, match=r"^none of 0 nodes is ready$"):
        registered(Carrier({}), 3)


def test_a_node_that_is_late_is_not_waited_for(monkeypatch):
    seen = []

    def exchange(grid, messages, timeout):
        seen.append((grid, timeout))
        return [grid.answer(message) for message in messages]

    monkeypatch.setattr("server.client_registry.exchange", exchange)
    grid = Carrier({5: 0})
    registered(grid, 1, timeout=7.5)
    assert seen == [(grid, 7.5)]


def test_where_keys_are_listed_each_stands_for_one_client(monkeypatch, tmp_path):
    listed = tmp_path / "admitted.json"
    listed.write_text(json.dumps({"5": 0, "6": 1, "8": 2}))
    monkeypatch.setenv(ADMITTED, str(listed))
    found = registered(Carrier({5: 2, 6: 1, 7: 0, 8: 2}), 3)
    assert found.nodes == {1: 6, 2: 8}
    assert found.refused == (
        "node 5 says it is partition 2, but its key is that of partition 0: start it with --partition 0, or name its "
        "key's file NAME-2.pub",
        "node 7 says it is partition 0: its key is not in the coordinator's list",
    )


def test_a_simulation_asks_for_no_list_of_keys(monkeypatch, tmp_path):
    listed = tmp_path / "admitted.json"
    listed.write_text(json.dumps({"1": 1, "2": 0}))
    monkeypatch.setenv(ADMITTED, str(listed))
    found, _ = simulated(2, 2)
    assert (found.nodes, found.refused) == (None, ())


def test_why_a_node_is_another():
    said = NodeInfo(3, 12, 10, 0.1, 10)
    assert (
        misnamed(said, {11: 3}) == "node 12 says it is partition 3: its key is not in the coordinator's list"
    )
    assert misnamed(said, {12: 0}) == (
        "node 12 says it is partition 3, but its key is that of partition 0: start it with --partition 0, or name its "
        "key's file NAME-3.pub"
    )


# -- In a simulation -----------------------------------------------------------------------------------------------


def test_a_simulation_has_all_clients_with_the_sizes_of_its_partition():
    partition = Study(Experiment.of(federation__clients=5, data__samples=52)).partition
    with Simulation(5, 2) as grid:
        found, asked = registry_of(grid, PROBLEM, LAYOUT, 5, lambda: partition.sizes), grid.asked
    assert found.client_ids.tolist() == [0, 1, 2, 3, 4]
    assert found.sizes.tolist() == list(partition.sizes)
    assert found.sizes.tolist() != [10, 11, 12, 13, 14], "not what the clients say"
    assert (found.nodes, found.step_seconds, found.memory_bytes, found.refused) == (None, 0.5, 1000, ())
    assert sorted(message.metadata.dst_node_id for message in asked) == [1, 2], "one client a worker"
    for message in asked:
        assert (message.metadata.message_type, message.metadata.group_id) == (MessageType.QUERY, "0")
        assert dict(message.content) == {"config": ConfigRecord(ASKED)}


def test_the_next_clients_are_asked_until_one_is_ready():
    wrong = {"parameters": 8}
    found, asked = simulated(
        7, 2, {0: wrong, 1: wrong, 2: {"partition": 5}, 3: {**wrong, "parameters": 9}, 5: {"partition": 1}}
    )
    assert sorted(message.metadata.dst_node_id for message in asked) == [1, 2, 3, 4, 5, 6]
    assert found.refused == (
        *["a model of 8 parameters, the server's has 3: not the same study"] * 2,
        "client 2 introduced itself as client 5",
        "a model of 9 parameters, the server's has 3: not the same study",
        "client 5 introduced itself as client 1",
    )
    assert len(found.client_ids) == 7


def test_no_more_than_some_are_asked():
    assert MOST_ASKED == 32
    wrong = {client: {"parameters": 8} for client in range(40)}
    for clients, workers, most in ((3, 1, 3), (40, 8, 32), (40, 5, 35), (32, 31, 32)):
        with (
            Simulation(clients, workers, wrong) as grid,
            pytest.raises(
                RoundError, match=re.escape(f"none of {most} nodes is ready; first reason: a model of 8")
            ),
        ):
            registered(grid, clients)
