"""A node answers and confirms the messages that it was sent, and no other node's.

Flower checks that a call is signed by the node that the call names. Whose reply it carries, and which message it
confirms, is not compared with that node: with the id of another's message, which can be guessed from one's own, a node
could answer in the other's name, or let the SuperLink delete the message before it is received.
"""

from collections.abc import Callable
from logging import WARNING
from types import ModuleType
from typing import Any

from flwr.proto.fleet_pb2 import PullMessagesRequest, PullMessagesResponse, PushMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.supercore import log
from starlette.exceptions import HTTPException

from fedrobust.deployment.app import replace

FORBIDDEN = 403


class OwnMessages:
    """Flower's handlers of nodes' calls, with the check whose message it is.

    Args:
        handlers: Flower's module of handlers; `guard` puts those of this object in their place.
    """

    def __init__(self, handlers: ModuleType):
        self._pull: Callable[..., PullMessagesResponse] = handlers.pull_messages
        self._push: Callable[..., Any] = handlers.push_messages
        self._confirm: Callable[..., Any] = handlers.confirm_message_received
        self._receivers: dict[str, int] = {}

    def pull(self, request: PullMessagesRequest, **options: Any) -> PullMessagesResponse:
        """Hand a node its messages, and remember whose they are."""
        response = self._pull(request=request, **options)
        for message in response.messages_list:
            self._receivers[message.metadata.message_id] = request.node.node_id
        return response

    def push(self, request: PushMessagesRequest, **options: Any) -> Any:
        """Take a node's replies.

        Raises:
            HTTPException: one of them names another node as its sender.
        """
        for message in request.messages_list:
            if message.metadata.src_node_id != request.node.node_id:
                raise _refused(request.node.node_id, "a reply in the name of another node")
        return self._push(request=request, **options)

    def confirm(self, request: ConfirmMessageReceivedRequest, **options: Any) -> Any:
        """Delete the objects of a message that a node has received.

        Raises:
            HTTPException: it was not sent to this node.
        """
        if self._receivers.get(request.message_object_id) != request.node.node_id:
            raise _refused(request.node.node_id, "it confirms a message that it was not sent")
        response = self._confirm(request=request, **options)
        self._receivers.pop(request.message_object_id, None)
        return response


def guard(handlers: ModuleType) -> None:
    """Let Flower's handlers check whose message a call is about.

    Raises:
        RuntimeError: this version of Flower has no such handlers.
    """
    own = OwnMessages(handlers)
    replace(handlers, "pull_messages", own.pull)
    replace(handlers, "push_messages", own.push)
    replace(handlers, "confirm_message_received", own.confirm)


def _refused(node: int, why: str) -> HTTPException:
    log(WARNING, "refused a call of node %s: %s", node, why)
    return HTTPException(FORBIDDEN, why)
