"""A Flower grid whose nodes are simulated by a few workers: what the threads and the Ray engine have in common.

A worker answers one message at a time, on behalf of whichever node it is for. The grid hands messages to a pool of
workers, in the order in which the server sent them, and files replies as they arrive.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedrobust.engines.nodes import SimulatedNodes
from fedrobust.engines.worker import Worker
from fedrobust.engines.worker_pool import Job, WorkerPool
from fedrobust.flower.identity import RUN_ID


class SimulatedGrid(Grid):
    """Carry messages to `clients` simulated nodes.

    Node ids are the partitions plus one. A client that raises, whatever it raises, or returns what is no reply becomes
    an error reply: no reply ends a run. (Ctrl-C is heard by the main thread, which never runs a client: in a worker's
    thread a KeyboardInterrupt is the client's own.) Use the grid as a context manager: leaving it drops waiting
    messages, waits for workers that can finish, and closes them.

    Args:
        start_worker: makes the worker of a slot; called in the slot's thread, and again when a worker dies.
        run_config: Flower's flat run config, given to every node.
        clients: number of nodes.
        workers: number of workers.
        client_timeout: seconds that a client may take, from when a worker takes it up; 0 for no limit.
        groups: whether what answers knows messages to several clients at once, as this project's client app does.
    """

    def __init__(
        self,
        start_worker: Callable[[int], Worker],
        run_config: Mapping[str, Any],
        clients: int,
        workers: int,
        client_timeout: float = 0.0,
        groups: bool = False,
    ):
        self.clients = clients
        self.groups = groups
        self.workers = workers
        self._nodes = SimulatedNodes(clients, run_config)
        self._pool = WorkerPool(start_worker, self._nodes, workers, client_timeout)
        self._replies: dict[str, Message] = {}
        self._forgotten: set[str] = set()
        self._number = 0

    def __enter__(self) -> "SimulatedGrid":
        self._pool.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.__exit__(*exception)

    # -- What Flower asks of a grid ------------------------------------------------------------------------------

    def set_run(self, run: Run) -> None:
        """Refuse: the one run of this grid is the process'."""
        raise NotImplementedError("a simulated grid has one run, its own")

    @property
    def run(self) -> Run:
        """The run of this grid."""
        return Run.create_empty(RUN_ID)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message from the server to one node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes, in the order of their partitions."""
        return range(1, self.clients + 1)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Hand messages to the workers and return their ids."""
        return [self._start(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to `message_ids` that are there by now, each once."""
        while self._take(timeout=0.0) is not None:
            pass
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and return the replies in the order of the messages.

        Args:
            messages: to any of the nodes.
            timeout: seconds; replies that take longer are left out.
        """
        messages = list(messages)
        by_node = {
            reply.metadata.reply_to_message_id: reply for reply in self.stream(messages, timeout=timeout)
        }
        return [
            by_node[message.metadata.message_id]
            for message in messages
            if message.metadata.message_id in by_node
        ]

    # -- What it can do beyond that ------------------------------------------------------------------------------

    def stream(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages and yield each reply when it arrives.

        No more than two messages a worker are under way and not yet taken, so that memory depends neither on the
        number of messages nor on how fast the caller is. Workers take the messages in the given order: put the long
        ones first.

        Args:
            messages: to any of the nodes.
            timeout: seconds for all of them; replies that take longer are left out.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        coming = iter(messages)
        mine: set[str] = set()
        window = 2 * self.workers
        try:
            while True:
                while len(mine) < window and (message := next(coming, None)) is not None:
                    mine.add(self._start(message))
                if not mine:
                    return
                key = self._take(None if deadline is None else max(0.0, deadline - time.monotonic()))
                if key is None:
                    return
                if key in mine:
                    mine.remove(key)
                    yield self._replies.pop(key)
        finally:
            self._drop(mine)

    def ask_every_worker(self, message_type: str, content: RecordDict, first: int = 1) -> list[Message]:
        """Send one message to every worker, as the nodes `first`, `first` + 1, ..., and return the replies.

        A worker that is started later, in the place of another, is sent it, too, before it answers anything else.
        """
        self._pool.prepare_by(message_type, content)
        workers = range(min(self.workers, self.clients - first + 1))
        keys = {
            self._start(Message(content, worker + first, message_type, group_id="0"), worker=worker)
            for worker in workers
        }
        while keys - set(self._replies):
            self._take(None)
        return [self._replies.pop(key) for key in sorted(keys)]

    def client_states(self) -> dict[int, bytes]:
        """Return what clients keep between rounds, encoded, by node; those that keep nothing are left out."""
        return self._nodes.states()

    def restore(self, states: Mapping[int, bytes]) -> None:
        """Give clients what they kept, as `client_states` returned it."""
        self._nodes.restore(states)

    # -- Inside --------------------------------------------------------------------------------------------------

    def _start(self, message: Message, worker: int | None = None) -> str:
        node = message.metadata.dst_node_id
        if node not in self._nodes:
            raise KeyError(f"node {node}: this simulation has nodes 1 to {self.clients}")
        self._number += 1
        key = f"message-{self._number:08}"
        message.metadata.__dict__["_message_id"] = key
        # Flower's strategies put one record dictionary into all messages of a round: a client that adds to it must
        # not be seen by its neighbours.
        own = copy(message)
        own.content = RecordDict(dict(message.content))
        self._pool.submit(Job(key, own, worker))
        return key

    def _take(self, timeout: float | None) -> str | None:
        """Wait for one reply, file it and return its key; None when there was none within `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (found := self._pool.next_finished(deadline)) is not None:
            key, reply = found
            if key in self._forgotten:
                self._forgotten.remove(key)
                continue
            self._replies[key] = reply
            return key
        return None

    def _drop(self, keys: set[str]) -> None:
        """Forget messages that nobody waits for any more; those that a worker is busy with come to nothing."""
        self._forgotten |= self._pool.withdraw(keys)
