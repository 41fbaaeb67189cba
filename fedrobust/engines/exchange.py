"""Send messages over any Flower grid, and yield replies as they arrive."""

import time
from collections.abc import Iterable, Iterator

from flwr.app import DEFAULT_TTL, Message
from flwr.serverapp import Grid

from fedrobust.engines.grid import SimulatedGrid
from fedrobust.engines.wire import Wire
from fedrobust.reasons import first_reason
from fedrobust.runs.events import ClientReplied, emit

POLL_SECONDS = 0.2
"""Pause between two polls for replies on Flower's own grids, which offer no blocking wait."""

POLL_SHARE = 4
"""Least ratio of the pause to the duration of the poll before it, which grows with the number of nodes."""

SLACK_SECONDS = 3600.0
"""Seconds for which a message lives longer than the timeout: it is uploaded before that begins, and its reply after."""


def exchange(grid: Grid, messages: Iterable[Message], timeout: float = 0.0) -> Iterator[Message]:
    """Send `messages` and yield each reply on arrival; a `ClientReplied` event reports each.

    A valid reply consists of Flower's own types, within size limits, and answers the message that its node was sent.
    Anything else, and what cannot be decoded, becomes an error reply of that node and does not affect other nodes.

    Args:
        grid: an engine of this project, or one of Flower's grids.
        messages: at most one for each node.
        timeout: seconds to wait for replies on Flower's grids; 0: no limit. The engines of this project limit the time
            of each client themselves.

    Raises:
        EngineError: the grid itself failed.
    """
    replies = grid.stream(messages) if isinstance(grid, SimulatedGrid) else _polled(grid, messages, timeout)
    for reply in replies:
        emit(ClientReplied(reply.metadata.src_node_id, failure=last_line(reply)))
        yield reply


def lifetime(timeout: float) -> float:
    """Return the seconds for which Flower keeps a message and takes its reply: at least those of the timeout.

    Example:
        >>> lifetime(60.0), lifetime(86400.0)
        (43200, 90000.0)
    """
    return max(DEFAULT_TTL, timeout + SLACK_SECONDS)


def _polled(grid: Grid, messages: Iterable[Message], timeout: float) -> Iterator[Message]:
    messages = list(messages)
    for message in messages:
        message.metadata.ttl = lifetime(timeout)
    began = time.monotonic()
    with Wire(grid, timeout) as wire:
        yield from wire.push(messages)
        while wire.missing:
            # The last poll is after the timeout, so that replies that arrived in time count.
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
    """Return the reason of an error reply in one plain line, "" for a reply with content."""
    if not reply.has_error():
        return ""
    return first_reason(reply.error.reason) if reply.error.reason else f"error {reply.error.code}"
