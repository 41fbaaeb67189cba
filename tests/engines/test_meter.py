"""What stands between Flower's grid and its SuperLink bounds bytes and waiting, and knows whose reply is whose."""

from types import SimpleNamespace

import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import Metadata, ObjectTree, PullObjectRequest, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse

from fedrobust.engines import wire
from fedrobust.flower.guard import UnreadableError
from fedrobust.flower.identity import server_identity

NOTHING = PullObjectResponse(object_found=True, object_available=False)
SOMETHING = PullObjectResponse(object_found=True, object_available=True, object_content=b"ArrayChunk x")
ASKED = PullObjectRequest(object_id="x")


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns."""
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr(wire.time, "monotonic", lambda: found.now)
    return found


def metered(answer, seconds=10_000.0):
    meter = wire.Meter(SimpleNamespace(PullObject=lambda request: answer[0]))
    meter.start(10**6, seconds)
    meter._objects = {"x"}
    return meter


def test_a_reply_may_stand_still_for_so_long_and_no_longer(clock):
    meter = metered([NOTHING])
    clock.now = wire.UPLOAD_SECONDS - 1
    assert meter.PullObject(ASKED).object_found
    clock.now = wire.UPLOAD_SECONDS + 1
    assert not meter.PullObject(ASKED).object_found


def test_a_slow_reply_that_goes_on_is_waited_for_until_its_end(clock):
    answer = [SOMETHING]
    meter = metered(answer, seconds=500.0)
    for clock.now in (100.0, 200.0, 300.0):
        assert meter.PullObject(ASKED).object_available
    answer[0] = NOTHING
    clock.now = 400.0
    assert meter.PullObject(ASKED).object_found, "something came less than three minutes ago"
    clock.now = 501.0
    assert not meter.PullObject(ASKED).object_found


def test_messages_that_nobody_asked_for_are_left_out():
    protos = [
        ProtoMessage(metadata=Metadata(message_id=name, reply_to_message_id=to))
        for name, to in ("ax", "b ", "cy")
    ]
    trees = [ObjectTree(object_id=name) for name in "abc"]
    response = PullAppMessagesResponse(messages_list=protos, message_object_trees=trees)
    meter = wire.Meter(SimpleNamespace(PullMessages=lambda request: response))
    found = meter.PullMessages(PullAppMessagesRequest(message_ids=["x"]))
    assert [proto.metadata.message_id for proto in found.messages_list] == ["a"]
    assert [tree.object_id for tree in found.message_object_trees] == ["a"]


def test_of_two_messages_with_one_key_the_second_is_not_lost_in_silence():
    grid = SimpleNamespace(
        push_messages=lambda messages: ["key"] * 2,
        pull_messages=lambda keys: [Message(RecordDict({"x": MetricRecord({"x": 1})}), reply_to=asked[0])],
    )
    with server_identity(), wire.Wire(grid) as under_way:
        asked = [Message(RecordDict(), node, MessageType.TRAIN) for node in (1, 2)]
        asked[0].metadata.__dict__["_message_id"] = "key"
        (gone,) = under_way.push(asked)
        (reply,) = under_way.pull()
    assert (gone.has_error(), gone.metadata.src_node_id) == (True, 2)
    assert (reply.has_error(), reply.metadata.src_node_id) == (False, 1)


@pytest.mark.parametrize(
    ("content", "beyond"),
    [(b"ArrayChunk " + b"x" * 100, "more than 111 bytes"), (b"Message " + b"x" * 92, "more than 100 bytes")],
)
def test_a_reply_of_just_as_many_bytes_as_it_may_have_is_taken(monkeypatch, content, beyond):
    """Arrays and everything else have limits of their own, and the one that is passed is named."""
    monkeypatch.setattr(wire, "MOST_HEADS", 100)
    answer = PullObjectResponse(object_found=True, object_available=True, object_content=content)
    meter = wire.Meter(SimpleNamespace(PullObject=lambda request: answer))
    meter.start(111, 10_000.0)
    meter._objects = {"x"}
    assert meter.PullObject(ASKED).object_content == content
    with pytest.raises(UnreadableError, match=beyond):
        meter.PullObject(ASKED)


def test_pieces_of_an_array_are_named_in_its_order():
    assert list(wire._pieces(b'Array one,two,three 40\x00{"arraychunk_ids": [2, 0, 0]}')) == [
        "three",
        "one",
        "one",
    ]
