import threading

import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from fedrobust.runs.events import ClientReplied, listening
from fedrobust.simulation.identity import server_identity
from fedrobust.simulation.threads import ThreadsGrid


def echo_app():
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if message.content["config"]["round"] == context.node_config["partition-id"]:
            raise OSError("the disk of this hospital is full")
        message.content["config"]["mine"] = context.node_id
        context.state["seen"] = MetricRecord({"n": context.state.get("seen", {"n": 0})["n"] + 1})
        return Message(
            RecordDict({"answer": MetricRecord({"node": context.node_id, "n": context.state["seen"]["n"]})}),
            reply_to=message,
        )

    return app


@pytest.fixture
def grid():
    with server_identity(), ThreadsGrid(echo_app(), {"seed": 0}, clients=5, workers=3) as grid:
        yield grid


def ask(grid, round=99):
    content = RecordDict({"config": ConfigRecord({"round": round})})
    return [grid.create_message(content, MessageType.TRAIN, node, "1") for node in grid.get_node_ids()]


def test_replies_come_in_the_order_of_the_messages_and_state_stays_with_its_node(grid):
    for turn in (1, 2):
        replies = grid.send_and_receive(ask(grid))
        assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3, 4, 5]
        assert [dict(reply.content["answer"]) for reply in replies] == [
            {"node": node, "n": turn} for node in range(1, 6)
        ]


def test_a_client_that_raises_is_an_error_reply_and_an_event(grid):
    heard = []
    with listening(heard.append):
        replies = grid.send_and_receive(ask(grid, round=2))
    assert [reply.has_error() for reply in replies] == [False, False, True, False, False]
    assert "the disk of this hospital is full" in replies[2].error.reason
    failures = {event.node: event.failure for event in heard if isinstance(event, ClientReplied)}
    assert failures == {1: "", 2: "", 3: "OSError: the disk of this hospital is full", 4: "", 5: ""}


def test_clients_do_not_see_what_neighbours_write_into_a_shared_message(grid):
    content = RecordDict({"config": ConfigRecord({"round": 99})})
    messages = [Message(content, node, MessageType.TRAIN) for node in grid.get_node_ids()]
    grid.send_and_receive(messages)
    assert "answer" not in content


def test_push_and_pull(grid):
    keys = grid.push_messages(ask(grid))
    replies = []
    while len(replies) < 5:
        replies += grid.pull_messages(keys)
    assert {reply.metadata.src_node_id for reply in replies} == {1, 2, 3, 4, 5}
    assert grid.pull_messages(keys) == []


def test_replies_that_take_too_long_are_left_out():
    release = threading.Event()
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if context.node_id == 2:
            release.wait(30)
        return Message(RecordDict(), reply_to=message)

    with server_identity(), ThreadsGrid(app, {}, clients=3, workers=2) as grid:
        replies = grid.send_and_receive(
            [Message(RecordDict(), node, MessageType.TRAIN) for node in (1, 2, 3)], timeout=0.5
        )
        release.set()
    assert [reply.metadata.src_node_id for reply in replies] == [1, 3]


def test_unknown_nodes_are_refused(grid):
    with pytest.raises(KeyError, match="node 6"):
        grid.send_and_receive([Message(RecordDict(), 6, MessageType.TRAIN)])


def test_identity_is_put_back():
    with server_identity():
        assert TaskIdentity.run_id == 1
    with pytest.raises(RuntimeError, match="not set"):
        _ = TaskIdentity.run_id
