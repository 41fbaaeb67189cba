"""Replies on Flower's own grids, pulled and decoded one at a time.

Flower decodes all replies of a poll together: one that cannot be decoded loses the others, which the server has deleted
by then. A reply counts as that of the node that the message was sent to, whatever its metadata claim.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flwr.app import Message
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

from fedrobust.engines.worker import EngineError
from fedrobust.flower.guard import UnreadableError, content_bytes, failed_reply, plain_reply
from fedrobust.plain import plain_text

GROWTH = 2
SLACK_BYTES = 2**24
"""A reply's arrays may have `GROWTH` times the bytes of the message that it answers, plus this many."""

MOST_HEADS = 2**20
"""Most bytes of a reply without its arrays: names, metrics, an error's text."""

UPLOAD_SECONDS = 180.0
"""Most seconds without progress of an incomplete reply, as long as Flower's upload sessions."""

MOST_SECONDS = 7200.0
"""Most seconds of an incomplete reply where clients have no time limit."""


class Wire:
    """The messages in progress on one of Flower's grids; use it as a context manager.

    Args:
        grid: one of Flower's.
        timeout: most seconds of a reply from when it begins to arrive; 0: Flower's two hours.

    Attributes:
        missing: key -> message without a reply so far.
    """

    def __init__(self, grid: Grid, timeout: float = 0.0):
        self._grid = grid
        self._timeout = timeout or MOST_SECONDS
        self._meter: Meter | None = None
        self.missing: dict[str, Message] = {}

    def __enter__(self) -> "Wire":
        # Only the grid that speaks to a SuperLink has a client; others hold their replies in memory.
        client = getattr(self._grid, "_runtime_client", None)
        if client is not None:
            self._meter = Meter(client)
            self._grid.__dict__["_client"] = self._meter
        return self

    def __exit__(self, *exception: object) -> None:
        if self._meter is not None:
            self._grid.__dict__["_client"] = self._meter.client

    def push(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Send `messages`, and yield error replies for those that could not be sent.

        Raises:
            EngineError: the grid accepts no messages.
        """
        messages = list(messages)
        keys = list(self._grid.push_messages(messages))
        if len(keys) != len(messages):
            raise EngineError(
                f"Flower took {len(keys)} of {len(messages)} messages: they are too large for the SuperLink's limit"
            )
        for key, message in zip(keys, messages, strict=True):
            if not key or key in self.missing:
                yield failed_reply(message, "its node is gone: the message could not be sent")
            else:
                self.missing[key] = message

    def pull(self) -> Iterator[Message]:
        """Poll once for every missing reply, and yield those that have arrived.

        Raises:
            EngineError: the grid itself failed.
        """
        for key, message in list(self.missing.items()):
            reply = self._pulled(key, message)
            if reply is not None:
                del self.missing[key]
                yield reply

    def _pulled(self, key: str, message: Message) -> Message | None:
        if self._meter is not None:
            self._meter.start(GROWTH * content_bytes(message) + SLACK_BYTES, self._timeout)
        try:
            try:
                found = list(self._grid.pull_messages([key]))
            finally:
                self._drop()
            return plain_reply(_answer(found, key), message, key) if found else None
        except Exception as error:
            # Malformed bytes can make the decoder raise any exception.
            said = plain_text(f"{type(error).__name__}: {error}")
            if isinstance(error, OSError) or (self._meter is not None and self._meter.failed):
                self._check_carrier(said)
            return failed_reply(message, f"its reply cannot be read: {said}")

    def _check_carrier(self, said: str) -> None:
        try:
            list(self._grid.get_node_ids())
        except Exception as broken:
            raise EngineError(f"Flower's server does not answer any more: {said}") from broken

    def _drop(self) -> None:
        if self._meter is not None:
            self._meter.drop()


def _answer(found: list[Message], key: str) -> Message:
    """Return the one of `found` whose metadata answer message `key`, else the first."""
    return next((reply for reply in found if reply.metadata.reply_to_message_id == key), found[0])


class Meter:
    """A proxy of a grid's client that limits each reply: bytes, decoded bytes, and waiting time.

    Messages that do not reply to the requested ones are dropped: the SuperLink's record of who replied to what counts,
    not the message's metadata.

    Args:
        client: the grid's client.

    Attributes:
        failed: whether a call of the client for this reply has failed.
    """

    def __init__(self, client: Any):
        self.client = client
        self.start(0, 0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def _called(self, method: Callable[[Any], Any], request: Any) -> Any:
        try:
            return method(request)
        except Exception:
            self.failed = True
            raise

    def start(self, most: int, seconds: float) -> None:
        """Start the limits of one reply: `most` bytes of arrays, and `seconds` in transit."""
        self._most = self._left = most
        self._heads_left = MOST_HEADS
        self._chunks: dict[str, int] = {}
        self._arrays: list[bytes] = []
        self._messages: list[str] = []
        self._objects: set[str] = set()
        self._sender: PullObjectRequest | None = None
        self.failed = False
        self._end = time.monotonic() + seconds
        self._patience = time.monotonic() + UPLOAD_SECONDS

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802
        """Return the replies that `request` asks for, without others."""
        response: PullAppMessagesResponse = self._called(self.client.PullMessages, request)
        asked = set(request.message_ids)
        pairs = zip(response.messages_list, response.message_object_trees, strict=True)
        wanted = [pair for pair in pairs if pair[0].metadata.reply_to_message_id in asked]
        self._messages = [message.metadata.message_id for message, _ in wanted]
        self._objects = {each.object_id for _, tree in wanted for each in iterate_object_tree(tree)}
        return PullAppMessagesResponse(
            messages_list=[message for message, _ in wanted],
            message_object_trees=[tree for _, tree in wanted],
        )

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802
        """Return one object of the reply; one that does not arrive in time is reported as missing.

        Raises:
            UnreadableError: the reply exceeds its limit of bytes.
        """
        if request.object_id not in self._objects:
            # An object of an earlier reply, which was given up.
            return PullObjectResponse(object_found=False)
        self._sender = request
        response: PullObjectResponse = self._called(self.client.PullObject, request)
        now = time.monotonic()
        if not response.object_available:
            late = now > min(self._end, self._patience)
            return PullObjectResponse(object_found=False) if late else response
        self._patience = now + UPLOAD_SECONDS
        content, name = response.object_content, request.object_id
        if content.startswith(_CHUNK):
            self._left -= len(content)
            self._chunks[name] = len(content)
        else:
            self._heads_left -= len(content)
            self._arrays += [content] if content.startswith(_ARRAY) else []
        if self._left < 0 or self._heads_left < 0:
            raise UnreadableError(f"it has more than {self._most if self._left < 0 else MOST_HEADS} bytes")
        return response

    def ConfirmMessageReceived(  # noqa: N802
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        """Confirm to the SuperLink that the reply has arrived, so that it deletes the reply's objects.

        Raises:
            UnreadableError: the decoded reply would exceed its limit of bytes.
        """
        response: ConfirmMessageReceivedResponse = self._called(self.client.ConfirmMessageReceived, request)
        self._messages.clear()
        # An array lists its chunks, and may list one many times, so that few bytes can decode to very many.
        size = sum(self._chunks.get(piece, 0) for array in self._arrays for piece in _pieces(array))
        if size > self._most:
            raise UnreadableError(f"decoded, its arrays have {size} bytes: {self._most} are read at most")
        return response

    def drop(self) -> None:
        """Let the SuperLink delete the remaining objects of a reply that was given up."""
        if self._sender is None:
            return
        while self._messages:
            name = self._messages.pop()
            self._called(
                self.client.ConfirmMessageReceived,
                ConfirmMessageReceivedRequest(
                    node=self._sender.node, run_id=self._sender.run_id, message_object_id=name
                ),
            )


_CHUNK, _ARRAY = b"ArrayChunk ", b"Array "


def _pieces(array: bytes) -> Iterator[str]:
    """Yield the names of the chunks of a deflated array, in order."""
    head, _, body = array.partition(b"\x00")
    children = head.decode().split(" ")[1].split(",")
    for place in json.loads(body)["arraychunk_ids"]:
        yield children[place]
