"""Flower's own carriers: what one node sends costs no other its reply."""

import sys
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, Error, Message, MessageType, MetricRecord, RecordDict
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse
from flwr.serverapp import Grid

from fedrobust.engines import wire
from fedrobust.engines.exchange import exchange
from fedrobust.engines.worker import EngineError
from fedrobust.flower.guard import MOST_ENTRIES
from fedrobust.flower.identity import server_identity

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module", autouse=True)
def programs():
    sys.path.insert(0, str(HERE))
    import replies

    yield replies
    sys.path.remove(str(HERE))
    for name in ("replies", "malformed"):
        sys.modules.pop(name, None)


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def ask(*nodes):
    return [Message(RecordDict(), node, MessageType.TRAIN) for node in nodes]


def number(value):
    return RecordDict({"answer": MetricRecord({"x": value})})


class Together(Grid):
    """Decodes all replies of a look together, as Flower does, and forgets them before that."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = {}
        self.looks = []
        self.alive = True

    def set_run(self, run):
        raise NotImplementedError

    run: Any = property(set_run)
    create_message: Any = set_run
    send_and_receive: Any = set_run

    def get_node_ids(self):
        if not self.alive:
            raise ConnectionError("the SuperLink is gone")
        return list(self.answers)

    def push_messages(self, messages):
        keys = [f"key-{message.metadata.dst_node_id}" for message in messages]
        self.asked = dict(zip(keys, messages, strict=True))
        return [
            "" if self.answers[message.metadata.dst_node_id] == "gone" else key
            for key, message in zip(keys, messages, strict=True)
        ]

    def pull_messages(self, message_ids):
        self.looks.append(list(message_ids))
        found = [self.asked.pop(key) for key in message_ids if key in self.asked]
        return [reply for message in found for reply in self.inflated(message)]

    def inflated(self, message):
        node = message.metadata.dst_node_id
        answer = self.answers[node]
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            self.asked[f"key-{node}"] = message
            return []
        reply = answer(message) if callable(answer) else Message(answer, reply_to=message)
        if isinstance(reply, Message) and not reply.metadata.reply_to_message_id:
            reply.metadata.__dict__["_reply_to_message_id"] = f"key-{node}"
        return [reply]


def heard(grid, *nodes, **settings):
    return {
        reply.metadata.src_node_id: reply.error.reason if reply.has_error() else reply.content["answer"]["x"]
        for reply in exchange(grid, ask(*nodes), **settings)
    }


@pytest.mark.parametrize(
    ("timeout", "least"), [(0.0, 43200), (3600.0, 43200), (43000.0, 43200), (200000.0, 200000)]
)
def test_a_message_lives_as_long_as_its_reply_is_waited_for(timeout, least):
    grid = Together({1: number(1), 2: number(2)})
    pushed = []
    grid.push_messages = lambda messages: (pushed.extend(messages), Together.push_messages(grid, messages))[1]
    assert heard(grid, 1, 2, timeout=timeout) == {1: 1, 2: 2}
    assert len(pushed) == 2
    assert all(message.metadata.ttl >= least for message in pushed)
    assert all(message.metadata.ttl > timeout for message in pushed)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("not JSON"),
        RecursionError(),
        MemoryError(),
        KeyError("Array"),
        OverflowError("int"),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_reply_that_cannot_be_decoded_is_its_own_nodes_failure(error):
    found = heard(Together({1: number(1), 2: error, 3: number(3)}), 1, 2, 3)
    assert (found[1], found[3]) == (1, 3)
    assert found[2].startswith(f"its reply cannot be read: {type(error).__name__}")


def test_a_carrier_that_is_gone_ends_the_run_in_words():
    grid = Together({1: number(1), 2: ConnectionError("refused"), 3: number(3)})
    grid.alive = False
    with pytest.raises(
        EngineError, match="Flower's server does not answer any more: ConnectionError: refused"
    ):
        heard(grid, 1, 2, 3)


def test_a_carrier_that_stumbled_over_one_reply_goes_on():
    found = heard(Together({1: number(1), 2: ConnectionError("reset"), 3: number(3)}), 1, 2, 3)
    assert (found[1], found[3]) == (1, 3)
    assert found[2] == "its reply cannot be read: ConnectionError: reset"


def test_ctrl_c_is_not_a_reply():
    with pytest.raises(KeyboardInterrupt):
        heard(Together({1: KeyboardInterrupt()}), 1)


def test_a_node_that_is_gone_when_it_is_asked_is_a_failure():
    found = heard(Together({1: number(1), 2: "gone", 3: "gone"}), 1, 2, 3)
    assert found[1] == 1
    assert found[2] == found[3] == "its node is gone: the message could not be sent"


def test_what_has_arrived_when_the_time_is_over_counts_and_the_rest_is_left_out():
    grid = Together({1: number(1), 2: None, 3: number(3)})
    assert heard(grid, 1, 2, 3, timeout=1e-9) == {1: 1, 3: 3}


def test_messages_that_the_carrier_does_not_take_end_the_run_in_words():
    grid = Together({1: number(1)})
    grid.push_messages = lambda messages: []
    with pytest.raises(EngineError, match="Flower took 0 of 1 messages"):
        heard(grid, 1)


def many(message):
    return Message(RecordDict({"answer": MetricRecord({"x": [1] * (MOST_ENTRIES + 1)})}), reply_to=message)


def posing(message):
    """Answer in another node's name."""
    reply = Message(number(666), reply_to=message)
    reply.metadata.__dict__.update(_reply_to_message_id="key-1", _src_node_id=1)
    return reply


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (posing, "it is a reply to another message"),
        (many, "a reply has more than 10000"),
        (lambda message: "text", "AttributeError"),
        (lambda message: Message(Error(9, "\x1b[2Jno"), reply_to=message), "\x1b[2Jno"),
        (lambda message: Message(Error(9), reply_to=message), "error 9"),
    ],
)
def test_what_is_no_reply_is_its_own_nodes_failure(answer, reason):
    found = heard(Together({1: number(1), 2: answer, 3: number(3)}), 2, 1, 3)
    assert (found[1], found[3]) == (1, 3)
    assert reason in found[2]


# -- The grid that speaks to a SuperLink ------------------------------------------------------------------------------


def round_with(programs, **changes):
    """Return what comes of a round on the wire in which node 2's reply is deflated with a change."""
    malformed = sys.modules["malformed"]

    def answer(asked):
        change = changes.get(f"node_{asked.metadata.dst_node_id}", lambda kind, body, children: body)
        return malformed.deflated(Message(malformed.honest_content(1.0, 1), reply_to=asked), change)

    with programs.wire() as grid:
        link = grid.__dict__["_client"]
        link.answer = answer
        found = {reply.metadata.src_node_id: reply for reply in exchange(grid, programs.questions(0))}
    assert set(found) == set(range(1, programs.NODES + 1))
    return {node: reply.error.reason for node, reply in found.items() if reply.has_error()}


def test_an_array_that_lists_a_piece_many_times_is_refused_before_it_grows(programs):
    def growing(kind, body, children):
        return body.replace(b"[0]", b"[" + b"0," * 100_000 + b"0]") if kind == "Array" else body

    failures = round_with(programs, node_2=growing, node_3=lambda kind, body, children: body)
    assert list(failures) == [2]
    assert "decoded, its arrays have" in failures[2]


def test_a_reply_larger_than_its_question_allows_is_refused_while_it_is_pulled(programs, monkeypatch):
    monkeypatch.setattr(wire, "SLACK_BYTES", 1000)

    def large(kind, body, children):
        return body + bytes(10_000) if kind == "ArrayChunk" else body

    failures = round_with(programs, node_2=large)
    assert list(failures) == [2]
    assert "it has more than" in failures[2]


def test_a_long_error_is_refused_while_it_is_pulled(programs):
    def long(kind, body, children):
        return body + b"x" * 2**20 if kind == "Message" else body

    assert "it has more than 1048576 bytes" in round_with(programs, node_2=long)[2]


def test_a_reply_that_names_another_nodes_message_inside_is_a_failure_of_its_sender(programs):
    malformed = sys.modules["malformed"]
    first = {}

    def answer(asked):
        node = asked.metadata.dst_node_id
        first.setdefault("id", asked.metadata.message_id)
        reply = Message(malformed.honest_content(float(node), 1), reply_to=asked)
        if node == 2:
            reply.metadata.__dict__.update(_reply_to_message_id=first["id"], _src_node_id=1)
        return malformed.deflated(reply)

    with programs.wire() as grid:
        grid.__dict__["_client"].answer = answer
        found = {reply.metadata.src_node_id: reply for reply in exchange(grid, programs.questions(0))}
    assert [node for node, reply in found.items() if reply.has_error()] == [2]
    weights = found[1].content["weights"]
    assert isinstance(weights, ArrayRecord)
    assert weights["trainable"].numpy()[0] == 1.0


class Slow:
    """A client whose objects are registered and never come."""

    def PullObject(self, request):  # noqa: N802
        return PullObjectResponse(object_found=True, object_available=False)


def test_an_object_that_does_not_come_in_time_is_said_to_be_missing():
    meter = wire.Meter(Slow())
    request = PullObjectRequest(object_id="x")
    meter.start(10, seconds=1000.0)
    meter._objects = {"x"}
    assert meter.PullObject(request).object_found
    meter.start(10, seconds=-1.0)
    meter._objects = {"x"}
    assert not meter.PullObject(request).object_found


def test_an_object_of_a_reply_that_was_given_up_is_not_counted():
    meter = wire.Meter(Slow())
    meter.start(10, seconds=1000.0)
    assert not meter.PullObject(PullObjectRequest(object_id="of the reply before")).object_found


class Broken:
    """A client whose SuperLink is gone, or refuses one request."""

    def __init__(self, link, alive):
        self.link, self.alive = link, alive

    def __getattr__(self, name):
        return getattr(self.link, name)

    def GetNodes(self, request):  # noqa: N802
        if not self.alive:
            raise ValueError("Invalid protobuf response payload")
        return self.link.GetNodes(request)

    def PullObject(self, request):  # noqa: N802
        raise RuntimeError("413 Request Entity Too Large")


@pytest.mark.parametrize("alive", [True, False])
def test_a_superlink_that_is_gone_ends_the_run_and_one_that_refuses_a_reply_does_not(programs, alive):
    def answer(asked):
        return sys.modules["malformed"].deflated(Message(number(1), reply_to=asked))

    with programs.wire() as grid:
        link = grid.__dict__["_client"]
        link.answer = answer
        grid.__dict__["_client"] = Broken(link, alive)
        replies = exchange(grid, programs.questions(0))
        if alive:
            reasons = [reply.error.reason for reply in replies]
            assert (
                reasons
                == ["its reply cannot be read: RuntimeError: 413 Request Entity Too Large"] * programs.NODES
            )
            assert not link.held, "the SuperLink is told that it can forget them"
        else:
            with pytest.raises(EngineError, match="does not answer any more: RuntimeError: 413"):
                list(replies)
            link.held.clear()
        grid.__dict__["_client"] = link


def test_a_replys_time_is_the_clients(monkeypatch):
    from fedrobust.engines import exchange as module

    opened = []

    class Watched(wire.Wire):
        def __init__(self, grid, timeout=0.0):
            opened.append(timeout)
            super().__init__(grid, timeout)

    monkeypatch.setattr(module, "Wire", Watched)
    for timeout in (7.0, 0.0):
        assert len(list(exchange(Together({1: number(1)}), ask(1), timeout))) == 1
    assert opened == [7.0, 0.0]
    assert wire.Wire(None, 7.0)._timeout == 7.0
    assert wire.Wire(None)._timeout == wire.MOST_SECONDS


def test_what_could_not_be_sent_is_told():
    class Short(Together):
        def push_messages(self, messages):
            return super().push_messages(messages)[:1]

    with pytest.raises(
        EngineError, match=r"^Flower took 1 of 2 messages: they are too large for the SuperLink"
    ):
        list(exchange(Short({1: number(1), 2: number(2)}), ask(1, 2)))
    (gone,) = exchange(Together({1: "gone"}), ask(1))
    assert gone.error.reason == "its node is gone: the message could not be sent"
