"""A Flower grid whose nodes are simulated by a pool of workers (threads, or processes of Ray).

A worker processes one message at a time, for any node. The grid hands messages to the pool in the order in which the
server sent them, and stores replies as they arrive.
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
    """A Flower grid of `clients` simulated nodes.

    A node's id is its client's plus one. A client that raises, or returns an invalid reply, yields an error reply: no
    client ends a run. (Ctrl-C reaches the main thread, which never runs a client; in a worker's thread a
    KeyboardInterrupt comes from the client.) Use the grid as a context manager: on exit it drops waiting messages,
    waits for workers that can finish, and closes them.

    Args:
        start_worker: starts the worker of a slot; called in the slot's thread, and again when a worker dies.
        run_config: Flower's flat run config, given to every node.
        clients: number of nodes.
        workers: number of workers.
        client_timeout: most seconds of a client, from when a worker starts it; 0: no limit.
        groups: whether the client app accepts messages to several clients at once, as this project's does.
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

    # -- Flower's interface of a grid -----------------------------------------------------------------------------

    def set_run(self, run: Run) -> None:
        """Refuse: a simulated grid has a single run.

        Raises:
            NotImplementedError: always.
        """
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
        """Return the ids of all nodes, in the order of their clients."""
        return range(1, self.clients + 1)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Queue messages for the workers and return the messages' ids."""
        return [self._start(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to `message_ids` that have arrived, each once."""
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

    # -- Beyond Flower's interface --------------------------------------------------------------------------------

    def stream(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages and yield each reply on arrival.

        At most two messages for each worker are in progress or not yet yielded, so that memory depends neither on the
        number of messages nor on the speed of the caller. Workers take the messages in the given order: put long ones
        first.

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

        A worker that later replaces another one is sent the message first.
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
        """Return the encoded state that clients keep between rounds, by node; empty states are left out."""
        return self._nodes.states()

    def client_state(self, client: int) -> RecordDict:
        """Return what one client keeps between rounds, empty if it keeps nothing."""
        return self._nodes.state(client + 1)

    def restore(self, states: Mapping[int, bytes]) -> None:
        """Restore the clients' states, as `client_states` returned them."""
        self._nodes.restore(states)

    # -- Internals ------------------------------------------------------------------------------------------------

    def _start(self, message: Message, worker: int | None = None) -> str:
        node = message.metadata.dst_node_id
        if node not in self._nodes:
            raise KeyError(f"node {node}: this simulation has nodes 1 to {self.clients}")
        self._number += 1
        key = f"message-{self._number:08}"
        message.metadata.__dict__["_message_id"] = key
        # Flower's strategies share one record dictionary between all messages of a round: each client gets a copy.
        own = copy(message)
        own.content = RecordDict(dict(message.content))
        self._pool.submit(Job(key, own, worker))
        return key

    def _take(self, timeout: float | None) -> str | None:
        """Wait for one reply, store it and return its key; None if there was none within `timeout` seconds."""
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
        """Discard messages that are no longer waited for; replies of workers that are busy with them are ignored."""
        self._forgotten |= self._pool.withdraw(keys)
