"""Send messages over any Flower grid, and take the replies as they arrive."""

import time
from collections.abc import Iterable, Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from fedrobust.runs.events import ClientReplied, emit
from fedrobust.simulation.grid import SimulatedGrid

POLL_SECONDS = 0.2
"""Between two looks for replies on Flower's own carriers, which cannot be waited on."""


def exchange(grid: Grid, messages: Iterable[Message], timeout: float = 0.0) -> Iterator[Message]:
    """Send `messages` and yield each reply when it arrives; an event tells of each.

    Args:
        grid: an engine of this project, or one of Flower's.
        messages: at most one a node.
        timeout: seconds after which the replies of Flower's carriers that are still missing are left out; 0 for no
            limit. The engines of this project measure each client's time themselves.
    """
    replies = grid.stream(messages) if isinstance(grid, SimulatedGrid) else _polled(grid, messages, timeout)
    for reply in replies:
        emit(ClientReplied(reply.metadata.src_node_id, failure=last_line(reply)))
        yield reply


def _polled(grid: Grid, messages: Iterable[Message], timeout: float) -> Iterator[Message]:
    began = time.monotonic()
    messages = list(messages)
    keys = grid.push_messages(messages)
    missing = {key: message.metadata.dst_node_id for key, message in zip(keys, messages, strict=True)}
    while missing:
        arrived = list(grid.pull_messages(missing))
        for reply in arrived:
            node = missing.pop(reply.metadata.reply_to_message_id, None)
            if node is not None:
                # A reply that Flower writes for a node that is gone comes from the SuperLink: say whose it is.
                reply.metadata.__dict__["_src_node_id"] = node
                yield reply
        if timeout and time.monotonic() - began > timeout:
            return
        if missing and not arrived:
            time.sleep(POLL_SECONDS)


def last_line(reply: Message) -> str:
    """Return what went wrong in one line, or "" for a reply with content."""
    if not reply.has_error():
        return ""
    lines = (reply.error.reason or "").strip().splitlines()
    return lines[-1] if lines else f"error {reply.error.code}"
