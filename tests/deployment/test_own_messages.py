"""A node answers and confirms its own messages: the checks before Flower's handlers."""

from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    Metadata,
    ObjectTree,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.servicer.fleet import fleet_handlers
from starlette.exceptions import HTTPException

from fedrobust.deployment.own_messages import guard
from fedrobust.engines.wire import GROWTH, SLACK_BYTES
from fedrobust.flower.identity import server_identity

MINE, OTHER = 2**63 + 1, 7


def message(name="", sender=0, answers=""):
    return Message(metadata=Metadata(message_id=name, src_node_id=sender, reply_to_message_id=answers))


@pytest.fixture
def handlers():
    """Flower's handlers, which note what reaches them, behind the guard; each node is handed a message of 1 MB."""
    taken = []

    def note(what, answer=None):
        def handle(request, state, **options):
            taken.append(what)
            return answer or f"{what} done"

        return handle

    def pull(request, state):
        return PullMessagesResponse(messages_list=[message(f"of-{request.node.node_id}")])

    found = SimpleNamespace(
        pull_messages=pull,
        push_messages=note("push", SimpleNamespace(session_id="session")),
        push_object=note("object", SimpleNamespace(stored=True)),
        confirm_message_received=note("confirm"),
        taken=taken,
    )
    guard(found)
    for node in (MINE, OTHER):
        found.pull_messages(request=PullMessagesRequest(node=Node(node_id=node)), state=None)
    return found


STATE = SimpleNamespace(object_store={"known"})
"""What Flower keeps; the store has one object."""


def pushed(handlers, *replies, node=MINE, trees=None):
    trees = [reply.metadata.message_id for reply in replies] if trees is None else trees
    request = PushMessagesRequest(
        node=Node(node_id=node),
        messages_list=replies,
        message_object_trees=[ObjectTree(object_id=name) for name in trees],
    )
    return handlers.push_messages(request=request, state=STATE)


def sent(handlers, size, node=MINE, session="session"):
    request = PushObjectRequest(node=Node(node_id=node), session_id=session, object_content=bytes(size))
    return handlers.push_object(request=request, state=STATE)


class Store(dict):
    """A store whose messages have one object."""

    def get_object_tree(self, name):
        return ObjectTree(object_id=name)


def confirmed(handlers, name, node=MINE):
    request = ConfirmMessageReceivedRequest(node=Node(node_id=node), message_object_id=name)
    store = Store({f"of-{MINE}": bytes(2**20)})
    return handlers.confirm_message_received(request=request, state=STATE, store=store)


REPLY = message("reply", MINE, f"of-{MINE}")


def test_a_reply_of_its_own_is_taken_and_taken_again(handlers):
    assert pushed(handlers, REPLY).session_id == "session"
    assert pushed(handlers, REPLY).session_id == "session", "after a lost connection"
    assert pushed(handlers).session_id == "session", "Flower says what it makes of none"


@pytest.mark.parametrize("senders", [(OTHER,), (MINE, OTHER), (0,)])
def test_a_reply_in_another_nodes_name_reaches_nobody(handlers, senders):
    with pytest.raises(HTTPException, match="in the name of another node") as refused:
        pushed(handlers, *(message("reply", sender, f"of-{MINE}") for sender in senders))
    assert refused.value.status_code == 403
    assert handlers.taken == []


@pytest.mark.parametrize(
    ("replies", "trees", "why"),
    [
        ([message("reply", MINE, f"of-{OTHER}")], None, "answers a message that it was not sent"),
        ([message("reply", MINE)], None, "answers a message that it was not sent"),
        ([REPLY], [f"of-{OTHER}"], "the objects are not those of its reply"),
        ([message("known", MINE, f"of-{MINE}")], None, "its reply has the id of another object"),
        ([REPLY, REPLY], None, "several replies at once"),
        ([REPLY], ["reply", "known"], "several replies at once"),
        ([REPLY], [], "or no objects"),
    ],
)
def test_a_node_announces_the_objects_of_its_own_reply_only(handlers, replies, trees, why):
    with pytest.raises(HTTPException, match=why):
        pushed(handlers, *replies, trees=trees)
    assert handlers.taken == []


def test_a_message_has_one_reply_whose_objects_have_a_bounded_number_of_bytes(handlers):
    confirmed(handlers, f"of-{MINE}")
    pushed(handlers, REPLY)
    with pytest.raises(HTTPException, match="a second reply to a message"):
        pushed(handlers, message("another", MINE, f"of-{MINE}"))
    allowed = GROWTH * 2**20 + SLACK_BYTES
    sent(handlers, allowed - 10)
    pushed(handlers, REPLY)
    with pytest.raises(HTTPException, match="more bytes than one may have"):
        sent(handlers, 11)
    sent(handlers, 10)


@pytest.mark.parametrize("other", [{"node": OTHER}, {"session": "unknown"}, {"session": ""}])
def test_a_node_sends_objects_of_its_own_reply_only(handlers, other):
    pushed(handlers, REPLY)
    with pytest.raises(HTTPException, match="an object of no reply of its own"):
        sent(handlers, 1, **other)


def test_a_message_is_confirmed_once_and_by_the_node_that_it_was_handed_to(handlers):
    for name in (f"of-{OTHER}", "of-nobody"):
        with pytest.raises(HTTPException, match="was not sent"):
            confirmed(handlers, name)
    assert handlers.taken == []
    assert confirmed(handlers, f"of-{MINE}") == "confirm done"
    with pytest.raises(HTTPException, match="was not sent"):
        confirmed(handlers, f"of-{MINE}")
    assert confirmed(handlers, f"of-{OTHER}", OTHER) == "confirm done"


def test_flower_has_the_handlers_that_are_guarded_and_calls_them_by_these_names(handlers):
    from inspect import signature

    for name in ("pull_messages", "push_messages", "push_object", "confirm_message_received"):
        assert "request" in signature(getattr(fleet_handlers, name)).parameters
    with pytest.raises(RuntimeError, match="this Flower is not the one"):
        guard(
            SimpleNamespace(
                __name__="other",
                pull_messages=len,
                push_messages=len,
                push_object=len,
                confirm_message_received=0,
            )
        )


@pytest.fixture(params=["memory", "file"])
def state(request, tmp_path):
    database = ":flwr-in-memory:" if request.param == "memory" else str(tmp_path / "state.db")
    return LinkStateFactory(database, NoOpFederationManager(), ObjectStoreFactory(database)).state()


@pytest.mark.filterwarnings("ignore:No path_separator found:DeprecationWarning")
def test_flower_keeps_the_first_reply_to_a_message_and_asks_only_what_the_reply_says_of_its_sender(state):
    """Why a second reply changes nothing, and why the sender is compared with who signed the call."""
    mine, other = (state.create_node("a", "a", name.encode(), 30, name=name) for name in ("mine", "other"))
    assert all(state.activate_node(node, 30) for node in (mine, other))
    run = state.create_run("app", "1", "0" * 64, {}, NOOP_FEDERATION_ID, None, "a", TaskType.SERVER_APP)

    def named(message, **metadata):
        message.metadata.__dict__.update({f"_{name}": value for name, value in metadata.items()})
        message.metadata.__dict__["_message_id"] = ""
        message.metadata.__dict__["_message_id"] = message.object_id
        return message

    def reply(asked, text, **metadata):
        content = RecordDict({"said": ConfigRecord({"text": text})})
        return named(FlowerMessage(content, reply_to=asked), **metadata)

    with server_identity():
        asked = named(FlowerMessage(RecordDict(), mine, "train"), run_id=run, src_node_id=1)
        assert state.store_message_ins(asked) == asked.metadata.message_id
        assert state.get_message_ins(mine, limit=1)
        assert state.store_message_res(reply(asked, "of another", src_node_id=other)) is None
        first = reply(asked, "first")
        assert state.store_message_res(first) == first.metadata.message_id, "whoever sent it"
        assert state.store_message_res(first) == first.metadata.message_id, "sent again, it is the same one"
        assert state.store_message_res(reply(asked, "second")) is None
        assert state.num_message_res() == 1
