"""A node answers and confirms its own messages: the checks before Flower's handlers."""

from types import SimpleNamespace

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.app import Message as FlowerMessage
from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, Message, Metadata
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.servicer.fleet import fleet_handlers
from starlette.exceptions import HTTPException

from fedrobust.deployment.own_messages import guard
from fedrobust.flower.identity import server_identity

MINE, OTHER = 2**63 + 1, 7


def message(name="", sender=0):
    return Message(metadata=Metadata(message_id=name, src_node_id=sender))


@pytest.fixture
def handlers():
    """Flower's handlers, which note what reaches them, behind the guard."""
    taken = []

    def note(what):
        def handle(request, state):
            taken.append(what)
            return f"{what} done"

        return handle

    def pull(request, state):
        return PullMessagesResponse(messages_list=[message(f"of-{request.node.node_id}")])

    found = SimpleNamespace(
        pull_messages=pull, push_messages=note("push"), confirm_message_received=note("confirm"), taken=taken
    )
    guard(found)
    return found


def pushed(handlers, *senders, node=MINE):
    request = PushMessagesRequest(
        node=Node(node_id=node), messages_list=[message(sender=each) for each in senders]
    )
    return handlers.push_messages(request=request, state=None)


def confirmed(handlers, name, node=MINE):
    request = ConfirmMessageReceivedRequest(node=Node(node_id=node), message_object_id=name)
    return handlers.confirm_message_received(request=request, state=None)


def test_a_reply_of_its_own_is_taken(handlers):
    assert pushed(handlers, MINE) == "push done"
    assert pushed(handlers) == "push done", "Flower says what it makes of none"


@pytest.mark.parametrize("senders", [(OTHER,), (MINE, OTHER), (0,)])
def test_a_reply_in_another_nodes_name_reaches_nobody(handlers, senders):
    with pytest.raises(HTTPException, match="in the name of another node") as refused:
        pushed(handlers, *senders)
    assert refused.value.status_code == 403
    assert handlers.taken == []


def test_a_message_is_confirmed_once_and_by_the_node_that_it_was_handed_to(handlers):
    for node in (MINE, OTHER):
        handlers.pull_messages(request=PullMessagesRequest(node=Node(node_id=node)), state=None)
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

    for name in ("pull_messages", "push_messages", "confirm_message_received"):
        assert "request" in signature(getattr(fleet_handlers, name)).parameters
    with pytest.raises(RuntimeError, match="this Flower is not the one"):
        guard(
            SimpleNamespace(
                __name__="other", pull_messages=len, push_messages=len, confirm_message_received=0
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
