"""A Flower grid whose nodes are simulated by a few workers: what the threads and the Ray engine have in common.

A worker answers one message at a time, on behalf of whichever node it is for. Here is everything that does not depend
on where a worker lives: one thread each that hands it messages, in the order in which the server sent them; replies as
they arrive; a worker that dies, or takes too long, is replaced.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedrobust.errors import FedrobustError
from fedrobust.flower.guard import failed_reply, plain_reply, plain_state, told
from fedrobust.flower.identity import RUN_ID
from fedrobust.plain import plain_text

MOST_DEATHS = 3
"""A client that takes as many workers with it is left out."""


PREPARATION_SECONDS = 900.0
"""What a worker may take to get ready, where clients have a time limit at all."""


class EngineError(FedrobustError, RuntimeError):
    """An engine cannot start, or cannot go on."""


class WorkerDiedError(Exception):
    """A worker is gone; the message it had is to be answered by another."""


class Worker(Protocol):
    """Something that answers messages, one at a time."""

    def answer(self, message: Message, context: Context) -> Message:
        """Return the reply of the node behind `context`.

        Raises:
            WorkerDiedError: the worker is gone.
        """
        ...

    def close(self) -> None:
        """Stop at once, also in the middle of an answer where that is possible."""
        ...


@dataclass(eq=False)
class Job:
    """One message on its way: which worker it must go to (None: any), and how often it has killed one."""

    key: str
    message: Message
    worker: int | None = None
    deaths: int = 0


@dataclass(eq=False)
class Seat:
    """One thread and the worker it hands messages to.

    Attributes:
        number: of the seat.
        job: what the worker is busy with.
        since: when it began, on the monotonic clock.
        given_up: its worker took too long; what it still says is not heard.
    """

    number: int
    job: Job | None = None
    since: float = 0.0
    given_up: bool = False
    worker: Worker | None = None
    thread: threading.Thread | None = field(default=None, repr=False)


class SimulatedGrid(Grid):
    """Carry messages to `clients` simulated nodes.

    Node ids are the partitions plus one. A client that raises, whatever it raises, or returns what is no reply becomes
    an error reply: no reply ends a run. (Ctrl-C is heard by the main thread, which never runs a client: in a worker's
    thread a KeyboardInterrupt is the client's own.) Use the grid as a context manager: leaving it drops waiting
    messages, waits for workers that can finish, and closes them.

    Args:
        hire: makes the worker of a seat; called in the seat's thread, and again when a worker dies.
        run_config: Flower's flat run config, given to every node.
        clients: number of nodes.
        workers: number of seats.
        client_timeout: seconds that a client may take, from when a worker takes it up; 0 for no limit.
    """

    def __init__(
        self,
        hire: Callable[[int], Worker],
        run_config: Mapping[str, Any],
        clients: int,
        workers: int,
        client_timeout: float = 0.0,
    ):
        self.clients = clients
        self.workers = workers
        self._hire = hire
        self._run_config = dict(run_config)
        self._timeout = client_timeout
        self._states: dict[int, RecordDict] = {}
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._finished: SimpleQueue[tuple[str, Message | BaseException]] = SimpleQueue()
        self._replies: dict[str, Message] = {}
        self._forgotten: set[str] = set()
        self._number = 0
        self._seats: list[Seat] = []
        self._preparation: tuple[str, RecordDict] | None = None

    def __enter__(self) -> "SimulatedGrid":
        self._seats = [self._seated(number) for number in range(self.workers)]
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for seat in self._seats:
            if seat.worker is not None:
                seat.worker.close()
        for seat in self._seats:
            if seat.thread is not None:
                seat.thread.join()

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

        A worker that is hired later, in the place of another, is sent it, too, before it answers anything else.
        """
        self._preparation = (message_type, content)
        seats = range(min(self.workers, self.clients - first + 1))
        keys = {
            self._start(Message(content, seat + first, message_type, group_id="0"), worker=seat)
            for seat in seats
        }
        while keys - set(self._replies):
            self._take(None)
        return [self._replies.pop(key) for key in sorted(keys)]

    # -- Inside --------------------------------------------------------------------------------------------------

    def _start(self, message: Message, worker: int | None = None) -> str:
        node = message.metadata.dst_node_id
        if not 1 <= node <= self.clients:
            raise KeyError(f"node {node}: this simulation has nodes 1 to {self.clients}")
        self._number += 1
        key = f"message-{self._number:08}"
        message.metadata.__dict__["_message_id"] = key
        # Flower's strategies put one record dictionary into all messages of a round: a client that adds to it must
        # not be seen by its neighbours.
        own = copy(message)
        own.content = RecordDict(dict(message.content))
        with self._changed:
            self._waiting.append(Job(key, own, worker))
            self._changed.notify_all()
        return key

    def _take(self, timeout: float | None) -> str | None:
        """Wait for one reply, file it and return its key; None when there was none within `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._give_up_late_workers()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                key, answer = self._finished.get(timeout=_shorter(left, self._until_next_timeout()))
            except Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                continue
            if isinstance(answer, BaseException):
                raise answer
            if key in self._forgotten:
                self._forgotten.remove(key)
                continue
            self._replies[key] = answer
            return key

    def _drop(self, keys: set[str]) -> None:
        """Forget messages that nobody waits for any more; those that a worker is busy with come to nothing."""
        with self._changed:
            waiting = {job.key for job in self._waiting}
            self._waiting = deque(job for job in self._waiting if job.key not in keys)
        self._forgotten |= keys - waiting

    def _until_next_timeout(self) -> float | None:
        if not self._timeout:
            return None
        with self._changed:
            ends = [seat.since + self._allowed(seat.job) for seat in self._seats if seat.job is not None]
        # A message that is still waiting may be taken up at any moment: look again after a whole timeout at latest.
        now = time.monotonic()
        return max(0.0, min([*ends, now + self._timeout]) - now)

    def _allowed(self, job: Job) -> float:
        # What goes to one worker only prepares it: compiling is not the client's time.
        return self._timeout if job.worker is None else max(self._timeout, PREPARATION_SECONDS)

    def _give_up_late_workers(self) -> None:
        if not self._timeout:
            return
        now = time.monotonic()
        with self._changed:
            late = [(seat, seat.job) for seat in self._seats if self._is_late(seat, now)]
            for seat, _ in late:
                seat.given_up = True
        for seat, job in late:
            if job is None:
                continue
            reason = (
                f"engine.client-timeout = {self._allowed(job):g}: no reply after {now - seat.since:.1f} s"
            )
            self._finished.put((job.key, failed_reply(job.message, reason)))
            if seat.worker is not None:
                seat.worker.close()
            self._seats[seat.number] = self._seated(seat.number, again=True)

    def _is_late(self, seat: Seat, now: float) -> bool:
        return seat.job is not None and now - seat.since >= self._allowed(seat.job)

    def _seated(self, number: int, again: bool = False) -> Seat:
        seat = Seat(number)
        # A thread whose client hangs for ever must not keep the process alive.
        seat.thread = threading.Thread(
            target=self._serve, args=(seat, again), name=f"worker-{number}", daemon=True
        )
        seat.thread.start()
        return seat

    def _serve(self, seat: Seat, again: bool) -> None:
        """Hand messages to the seat's worker until the grid is closed or the worker is given up."""
        try:
            self._staff(seat, again)
            while (job := self._next(seat)) is not None:
                try:
                    reply = self._answered(seat, job)
                except WorkerDiedError as death:
                    if seat.given_up or self._closed:
                        return
                    self._mourn(seat, job, death)
                    self._staff(seat, again=True)
                    continue
                with self._changed:
                    seat.job = None
                    if seat.given_up:
                        return
                self._finished.put((job.key, reply))
        except BaseException as error:  # the server's thread is the one that must hear of it
            if not self._closed:
                self._finished.put(("", error if isinstance(error, FedrobustError) else _foreign(error)))

    def _staff(self, seat: Seat, again: bool) -> None:
        """Hire the seat's worker; one that comes in the place of another prepares as the first ones did."""
        seat.worker = self._hire(seat.number)
        if again and self._preparation is not None:
            message_type, content = self._preparation
            node = seat.number % self.clients + 1
            message = Message(RecordDict(dict(content)), node, message_type, group_id="0")
            try:
                self._answered(seat, Job("", message))
            except WorkerDiedError:
                # The client in whose name it prepared takes workers with it: go on with one that is not prepared.
                seat.worker = self._hire(seat.number)

    def _next(self, seat: Seat) -> Job | None:
        with self._changed:
            while not (self._closed or seat.given_up):
                job = next((job for job in self._waiting if job.worker in (None, seat.number)), None)
                if job is not None:
                    self._waiting.remove(job)
                    seat.job, seat.since = job, time.monotonic()
                    return job
                self._changed.wait()
        return None

    def _answered(self, seat: Seat, job: Job) -> Message:
        assert seat.worker is not None
        node = job.message.metadata.dst_node_id
        context = Context(
            run_id=RUN_ID,
            node_id=node,
            node_config={"partition-id": node - 1, "num-partitions": self.clients},
            state=plain_state(self._states.get(node, RecordDict())),
            run_config=dict(self._run_config),
        )
        try:
            reply = plain_reply(seat.worker.answer(job.message, context), job.message)
            if not seat.given_up:
                self._remember(node, context)
        except WorkerDiedError:
            raise
        except BaseException as error:  # whatever a client raises, or its objects do when they are read
            reply = failed_reply(job.message, told(error))
        return reply

    def client_states(self) -> dict[int, bytes]:
        """Return what clients keep between rounds, encoded, by node; those that keep nothing are left out."""
        return {node: recorddict_to_proto(state).SerializeToString() for node, state in self._states.items()}

    def restore(self, states: Mapping[int, bytes]) -> None:
        """Give clients what they kept, as `client_states` returned it."""
        self._states = {
            node: plain_state(recorddict_from_proto(ProtoRecordDict.FromString(state)))
            for node, state in states.items()
        }

    def _remember(self, node: int, context: Context) -> None:
        """Keep what a client wants to find in its next round; one that failed finds what it found before."""
        state = plain_state(context.state)
        # Most clients keep nothing between rounds: a population of phones costs only those that do.
        if state:
            self._states[node] = state
        else:
            self._states.pop(node, None)

    def _mourn(self, seat: Seat, job: Job, death: WorkerDiedError) -> None:
        """Put the message of a dead worker back in front of the others, or give it up."""
        job.deaths += 1
        with self._changed:
            seat.job = None
            if job.deaths < MOST_DEATHS:
                self._waiting.appendleft(job)
                self._changed.notify_all()
                return
        reason = f"its worker died {job.deaths} times: {plain_text(str(death))}"
        self._finished.put((job.key, failed_reply(job.message, reason)))


def _foreign(error: BaseException) -> EngineError:
    """Return an error that comes from below an engine as the engine's own."""
    found = EngineError(f"a worker cannot be started: {plain_text(f'{type(error).__name__}: {error}')}")
    found.__cause__ = error
    return found


def _shorter(a: float | None, b: float | None) -> float | None:
    return min((value for value in (a, b) if value is not None), default=None)
