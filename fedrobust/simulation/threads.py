"""The threads engine: a Flower grid whose clients are calls in this process, a few at a time.

The compiled local update releases Python's lock, so threads are enough; nothing is pickled, forked or sent.
"""

import traceback
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from concurrent.futures import TimeoutError as FuturesTimeout
from copy import copy
from itertools import count
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedrobust.runs.events import ClientReplied, emit
from fedrobust.simulation.identity import RUN_ID


class ThreadsGrid(Grid):
    """Carry messages to `clients` simulated nodes, `workers` at a time.

    Node ids are the partitions plus one. A client that raises becomes an error reply, as everywhere in Flower.
    Use it as a context manager: leaving it waits for running clients and drops waiting ones.

    Args:
        client_app: what every node runs.
        run_config: Flower's flat run config, given to every node.
        clients: number of nodes.
        workers: threads.
    """

    def __init__(self, client_app: ClientApp, run_config: Mapping[str, Any], clients: int, workers: int):
        self._app = client_app
        self._contexts = {
            partition + 1: Context(
                run_id=RUN_ID,
                node_id=partition + 1,
                node_config={"partition-id": partition, "num-partitions": clients},
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for partition in range(clients)
        }
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="client")
        self._ids = count(1)
        self._pending: dict[str, Future[Message]] = {}

    def __enter__(self) -> "ThreadsGrid":
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def set_run(self, run: Run) -> None:
        """Refuse: the one run of this grid is the process'."""
        raise NotImplementedError("the threads engine has one run, its own")

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
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Hand messages to the threads and return their ids."""
        return [self._start(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to `message_ids` that are there by now, each once."""
        done = [key for key in message_ids if key in self._pending and self._pending[key].done()]
        return [self._pending.pop(key).result() for key in done]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send messages and return the replies in the order of the messages.

        Args:
            messages: to any of the nodes.
            timeout: seconds; replies that take longer are left out, and clients not yet begun never begin.
        """
        keys = self.push_messages(messages)
        futures = {self._pending.pop(key): key for key in keys}
        try:
            for future in as_completed(futures, timeout):
                reply = future.result()
                emit(ClientReplied(reply.metadata.src_node_id, failure=_last_line(reply)))
        except FuturesTimeout:
            pass
        finally:
            for future in futures:
                future.cancel()
        done, _ = wait(futures, timeout=0)
        return [future.result() for future in futures if future in done and not future.cancelled()]

    def _start(self, message: Message) -> str:
        node = message.metadata.dst_node_id
        if node not in self._contexts:
            raise KeyError(f"node {node}: the threads engine has nodes 1 to {len(self._contexts)}")
        key = f"message-{next(self._ids)}"
        message.metadata.__dict__["_message_id"] = key
        # Flower's strategies put one record dictionary into all messages of a round: a client that adds to it must
        # not be seen by its neighbours.
        own = copy(message)
        own.content = RecordDict(dict(message.content))
        self._pending[key] = self._pool.submit(self._answer, own, self._contexts[node])
        return key

    def _answer(self, message: Message, context: Context) -> Message:
        try:
            return self._app(message, context)
        except Exception:
            error = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, traceback.format_exc())
            return Message(error, reply_to=message)


def _last_line(reply: Message) -> str:
    """Return what went wrong in one line, or "" for a reply with content."""
    if not reply.has_error():
        return ""
    lines = (reply.error.reason or "").strip().splitlines()
    return lines[-1] if lines else f"error {reply.error.code}"
