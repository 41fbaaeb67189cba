"""A node answers and confirms the messages that it was sent, and no other node's, and sends no more than a reply.

Flower checks that a call is signed by the node that the call names. Whose reply it carries, and which message it
confirms, is not compared with that node: with the id of another's message, which can be guessed from one's own, a node
could answer in the other's name, or let the SuperLink delete the message before it is received. Nor are the objects
that a reply announces compared with the reply: a node could announce another's message, or any number of bytes.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import WARNING
from types import ModuleType
from typing import Any

from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PushObjectRequest
from flwr.supercore import log
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from starlette.exceptions import HTTPException

from fedrobust.deployment.app import replace
from fedrobust.deployment.checked_objects import named_by_node
from fedrobust.engines.wire import GROWTH, SLACK_BYTES

FORBIDDEN = 403

KEPT = 100_000
"""Messages that are remembered."""


@dataclass
class Handed:
    """A message that was handed to a node.

    Attributes:
        node: id of the node.
        confirmed: whether the node has said that it received it.
        content_bytes: of the message.
        reply: id of the node's reply; empty until it is announced.
        left: bytes that the objects of the reply may still have.
        sessions: in which these are sent.
    """

    node: int
    confirmed: bool = False
    content_bytes: int = 0
    reply: str = ""
    left: int = 0
    sessions: set[str] = field(default_factory=set)


class OwnMessages:
    """Flower's handlers of nodes' calls, with the check whose message it is.

    Args:
        handlers: Flower's module of handlers; `guard` puts those of this object in their place.
    """

    def __init__(self, handlers: ModuleType):
        self._pull: Callable[..., PullMessagesResponse] = handlers.pull_messages
        self._push: Callable[..., Any] = handlers.push_messages
        self._push_object: Callable[..., Any] = handlers.push_object
        self._confirm: Callable[..., Any] = handlers.confirm_message_received
        self._handed: OrderedDict[str, Handed] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def pull(self, request: PullMessagesRequest, **options: Any) -> PullMessagesResponse:
        """Hand a node its messages, and remember whose they are."""
        response = self._pull(request=request, **options)
        for message in response.messages_list:
            self._handed[message.metadata.message_id] = Handed(request.node.node_id)
            _forget_first(self._handed)
        return response

    def push(self, request: PushMessagesRequest, state: Any, **options: Any) -> Any:
        """Take a node's reply.

        Raises:
            HTTPException: it names another node as its sender, answers no message that the node was handed, is a second
                one to it, or announces other objects than its own.
        """
        node = request.node.node_id
        for message in request.messages_list:
            if message.metadata.src_node_id != node:
                raise _refused(node, "a reply in the name of another node")
        if not request.messages_list:
            return self._push(request=request, state=state, **options)
        if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
            raise _refused(node, "it sends several replies at once, or no objects")
        reply, tree = request.messages_list[0].metadata, request.message_object_trees[0]
        handed = self._handed.get(reply.reply_to_message_id)
        if handed is None or handed.node != node:
            raise _refused(node, "it answers a message that it was not sent")
        if tree.object_id != reply.message_id:
            raise _refused(node, "the objects are not those of its reply")
        if handed.reply not in ("", reply.message_id):
            raise _refused(node, "a second reply to a message")
        if not handed.reply:
            if reply.message_id in state.object_store:
                raise _refused(node, "its reply has the id of another object")
            handed.reply, handed.left = reply.message_id, GROWTH * handed.content_bytes + SLACK_BYTES
        with named_by_node():
            response = self._push(request=request, state=state, **options)
        self._sessions[response.session_id] = reply.reply_to_message_id
        _forget_first(self._sessions)
        return response

    def push_object(self, request: PushObjectRequest, **options: Any) -> Any:
        """Take an object of a node's reply.

        Raises:
            HTTPException: it is of no reply of this node, or the reply's objects have more bytes than a reply may have.
        """
        node = request.node.node_id
        handed = self._handed.get(self._sessions.get(request.session_id, ""))
        if handed is None or handed.node != node:
            raise _refused(node, "an object of no reply of its own")
        if len(request.object_content) > handed.left:
            raise _refused(node, "a reply with more bytes than one may have")
        response = self._push_object(request=request, **options)
        if response.stored:
            handed.left -= len(request.object_content)
        return response

    def confirm(self, request: ConfirmMessageReceivedRequest, store: Any, **options: Any) -> Any:
        """Delete the objects of a message that a node has received.

        Raises:
            HTTPException: it was not sent to this node.
        """
        handed = self._handed.get(request.message_object_id)
        if handed is None or handed.node != request.node.node_id or handed.confirmed:
            raise _refused(request.node.node_id, "it confirms a message that it was not sent")
        handed.content_bytes = _content_bytes(store, request.message_object_id)
        response = self._confirm(request=request, store=store, **options)
        handed.confirmed = True
        return response


def guard(handlers: ModuleType) -> None:
    """Let Flower's handlers check whose message a call is about.

    Raises:
        RuntimeError: this version of Flower has no such handlers.
    """
    own = OwnMessages(handlers)
    replace(handlers, "pull_messages", own.pull)
    replace(handlers, "push_messages", own.push)
    replace(handlers, "push_object", own.push_object)
    replace(handlers, "confirm_message_received", own.confirm)


def _content_bytes(store: Any, message: str) -> int:
    """Return the bytes of a message's objects; 0 if they are no longer there."""
    if message not in store:
        return 0
    tree: ObjectTree = store.get_object_tree(message)
    names = {node.object_id for node in iterate_object_tree(tree)}
    return sum(len(store.get(name) or b"") for name in names)


def _forget_first(kept: "OrderedDict[str, Any]") -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)


def _refused(node: int, why: str) -> HTTPException:
    log(WARNING, "refused a call of node %s: %s", node, why)
    return HTTPException(FORBIDDEN, why)
