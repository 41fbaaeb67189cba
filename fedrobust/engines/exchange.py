"""Send messages over any Flower grid, and take the replies as they arrive."""

import time
from collections.abc import Iterable, Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from fedrobust.engines.grid import SimulatedGrid
from fedrobust.engines.wire import Wire
from fedrobust.reasons import first_reason
from fedrobust.runs.events import ClientReplied, emit

POLL_SECONDS = 0.2
"""Between two looks for replies on Flower's own carriers, which cannot be waited on."""

POLL_SHARE = 4
"""A look at many nodes takes time itself: the pause after it is at least so many times as long."""


def exchange(grid: Grid, messages: Iterable[Message], timeout: float = 0.0) -> Iterator[Message]:
    """Send `messages` and yield each reply when it arrives; an event tells of each.

    A reply is made of Flower's own types, within limits, and answers the message that its node was sent: whatever else
    a node sends, or its carrier cannot read, is an error reply of that node, and nobody else's loss.

    Args:
        grid: an engine of this project, or one of Flower's.
        messages: at most one a node.
        timeout: seconds after which the replies of Flower's carriers that are still missing are left out; 0 for no
            limit. The engines of this project measure each client's time themselves.

    Raises:
        EngineError: the carrier itself is gone.
    """
    replies = grid.stream(messages) if isinstance(grid, SimulatedGrid) else _polled(grid, messages, timeout)
    for reply in replies:
        emit(ClientReplied(reply.metadata.src_node_id, failure=last_line(reply)))
        yield reply


def _polled(grid: Grid, messages: Iterable[Message], timeout: float) -> Iterator[Message]:
    began = time.monotonic()
    with Wire(grid, timeout) as wire:
        yield from wire.push(messages)
        while wire.missing:
            # What has arrived by the end of the time counts: the last look is after it.
            late = bool(timeout) and time.monotonic() - began > timeout
            looked = time.monotonic()
            arrived = 0
            for reply in wire.pull():
                arrived += 1
                yield reply
            if late:
                return
            if wire.missing and not arrived:
                time.sleep(max(POLL_SECONDS, POLL_SHARE * (time.monotonic() - looked)))


def last_line(reply: Message) -> str:
    """Return what went wrong in one plain line, or "" for a reply with content."""
    if not reply.has_error():
        return ""
    return first_reason(reply.error.reason) if reply.error.reason else f"error {reply.error.code}"
