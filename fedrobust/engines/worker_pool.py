"""A pool of workers, each with a thread: messages are processed in order, dead and late workers are replaced."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from flwr.app import Message, RecordDict

from fedrobust.engines.nodes import SimulatedNodes
from fedrobust.engines.worker import EngineError, NoPlaceError, Worker, WorkerDiedError
from fedrobust.errors import FedrobustError
from fedrobust.flower.guard import failed_reply
from fedrobust.plain import plain_text

MOST_FAILURES = 3
"""Worker deaths after which the client that caused them fails."""

PREPARATION_SECONDS = 900.0
"""Time limit for a worker's preparation (compilation), where clients have a time limit."""


@dataclass(eq=False)
class Job:
    """One message in the pool: the worker that it must go to (None: any), and the number of workers that died on it."""

    key: str
    message: Message
    worker: int | None = None
    failures: int = 0


@dataclass(eq=False)
class WorkerSlot:
    """One thread and its worker.

    Attributes:
        number: of the slot.
        job: the worker's current message.
        since: start of that message, on the monotonic clock.
        given_up: whether its worker exceeded the time limit; its reply is then ignored.
        worker: None while one is started.
    """

    number: int
    job: Job | None = None
    since: float = 0.0
    given_up: bool = False
    worker: Worker | None = None
    thread: threading.Thread | None = field(default=None, repr=False)


class WorkerPool:
    """A pool of workers that process jobs.

    Use the pool as a context manager: on exit it drops waiting jobs, waits for workers that can finish, and closes
    them.

    Args:
        start: starts the worker of a slot; called in the slot's thread, and again when a worker dies.
        nodes: the simulated nodes.
        workers: number of slots.
        client_timeout: most seconds of a client, from when a worker starts it; 0: no limit.
    """

    def __init__(
        self, start: Callable[[int], Worker], nodes: SimulatedNodes, workers: int, client_timeout: float = 0.0
    ):
        self.workers = workers
        self._start = start
        self._nodes = nodes
        self._timeout = client_timeout
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._finished: SimpleQueue[tuple[str, Message | BaseException]] = SimpleQueue()
        self._slots: list[WorkerSlot] = []
        self._preparation: tuple[str, RecordDict] | None = None

    def __enter__(self) -> "WorkerPool":
        self._slots = [self._opened(number) for number in range(self.workers)]
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.close()
        for slot in self._slots:
            # A thread that waits for a place for its worker is not waited for.
            if slot.thread is not None and slot.worker is not None:
                slot.thread.join()

    def submit(self, job: Job) -> None:
        """Append a job to the queue."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify_all()

    def withdraw(self, keys: set[str]) -> set[str]:
        """Remove jobs that are still waiting from the queue, and return the keys of the others."""
        with self._changed:
            waiting = {job.key for job in self._waiting}
            self._waiting = deque(job for job in self._waiting if job.key not in keys)
        return keys - waiting

    def prepare_by(self, message_type: str, content: RecordDict) -> None:
        """Send this message first to each worker that later replaces another one."""
        self._preparation = (message_type, content)

    def next_finished(self, deadline: float | None) -> tuple[str, Message] | None:
        """Wait for a reply, and return its job's key and the reply; None if there was none until `deadline`.

        Args:
            deadline: on the monotonic clock; None: no limit.

        Raises:
            EngineError: a worker cannot be started.
        """
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
            return key, answer

    def _until_next_timeout(self) -> float | None:
        if not self._timeout:
            return None
        with self._changed:
            ends = [slot.since + self._allowed(slot.job) for slot in self._slots if slot.job is not None]
        # A waiting message may start at any moment, so that a timeout can end one whole timeout from now at the latest.
        now = time.monotonic()
        return max(0.0, min([*ends, now + self._timeout]) - now)

    def _allowed(self, job: Job) -> float:
        # Messages for a particular worker prepare it: compilation does not count as the client's time.
        return self._timeout if job.worker is None else max(self._timeout, PREPARATION_SECONDS)

    def _give_up_late_workers(self) -> None:
        if not self._timeout:
            return
        now = time.monotonic()
        with self._changed:
            late = [(slot, slot.job) for slot in self._slots if self._is_late(slot, now)]
            for slot, _ in late:
                slot.given_up = True
        for slot, job in late:
            if job is None:
                continue
            reason = (
                f"engine.client-timeout = {self._allowed(job):g}: no reply after {now - slot.since:.1f} s"
            )
            self._finished.put((job.key, failed_reply(job.message, reason)))
            if slot.worker is not None:
                slot.worker.close()
            self._slots[slot.number] = self._opened(slot.number, again=True)

    def _is_late(self, slot: WorkerSlot, now: float) -> bool:
        return slot.job is not None and now - slot.since >= self._allowed(slot.job)

    def _opened(self, number: int, again: bool = False) -> WorkerSlot:
        slot = WorkerSlot(number)
        # A daemon: a thread whose client hangs must not keep the process alive.
        slot.thread = threading.Thread(
            target=self._serve, args=(slot, again), name=f"worker-{number}", daemon=True
        )
        slot.thread.start()
        return slot

    def _serve(self, slot: WorkerSlot, again: bool) -> None:
        """Hand messages to the slot's worker until the pool is closed or the worker is given up."""
        try:
            self._staff(slot, again)
            while (job := self._next(slot)) is not None:
                try:
                    reply = self._answered(slot, job)
                except WorkerDiedError as death:
                    if slot.given_up or self._closed:
                        return
                    self._retry(slot, job, death)
                    self._staff(slot, again=True)
                    continue
                with self._changed:
                    slot.job = None
                    if slot.given_up:
                        return
                self._finished.put((job.key, reply))
        except BaseException as error:  # raised again in the server's thread
            if not self._closed:
                self._finished.put(("", error if isinstance(error, FedrobustError) else _foreign(error)))

    def _staff(self, slot: WorkerSlot, again: bool) -> None:
        """Start the slot's worker; a replacement is sent the preparation message first."""
        slot.worker = self._started(slot, again)
        if again and self._preparation is not None:
            message_type, content = self._preparation
            node = slot.number % self._nodes.clients + 1
            message = Message(RecordDict(dict(content)), node, message_type, group_id="0")
            try:
                self._answered(slot, Job("", message))
            except WorkerDiedError:
                # Workers die on the preparation message itself: continue with an unprepared one.
                slot.worker = self._started(slot, again)

    def _started(self, slot: WorkerSlot, again: bool) -> Worker:
        """Start a slot's worker; a replacement waits for a place as long as there is another worker.

        Raises:
            EngineError: it cannot be started.
        """
        slot.worker = None
        while True:
            try:
                worker = self._start(slot.number)
            except NoPlaceError as error:
                others = [each for each in self._slots if each is not slot and each.worker is not None]
                if not again or self._closed or not others:
                    raise
                self._fail_own(slot, str(error))
                continue
            if self._closed:
                worker.close()
            return worker

    def _fail_own(self, slot: WorkerSlot, reason: str) -> None:
        """Fail the waiting jobs that must go to a slot which has no worker."""
        with self._changed:
            own = [job for job in self._waiting if job.worker == slot.number]
            self._waiting = deque(job for job in self._waiting if job.worker != slot.number)
        for job in own:
            self._finished.put((job.key, failed_reply(job.message, plain_text(reason))))

    def _next(self, slot: WorkerSlot) -> Job | None:
        with self._changed:
            while not (self._closed or slot.given_up):
                job = next((job for job in self._waiting if job.worker in (None, slot.number)), None)
                if job is not None:
                    self._waiting.remove(job)
                    slot.job, slot.since = job, time.monotonic()
                    return job
                self._changed.wait()
        return None

    def _answered(self, slot: WorkerSlot, job: Job) -> Message:
        assert slot.worker is not None
        return self._nodes.answered(job.message, slot.worker, lambda: not slot.given_up)

    def _retry(self, slot: WorkerSlot, job: Job, death: WorkerDiedError) -> None:
        """Put the message of a dead worker back to the front of the queue, or fail it after `MOST_FAILURES` deaths."""
        job.failures += 1
        with self._changed:
            slot.job = None
            if job.failures < MOST_FAILURES:
                self._waiting.appendleft(job)
                self._changed.notify_all()
                return
        reason = f"its worker died {job.failures} times: {plain_text(str(death))}"
        self._finished.put((job.key, failed_reply(job.message, reason)))


def _foreign(error: BaseException) -> EngineError:
    """Return an exception of a worker's start as an EngineError."""
    found = EngineError(f"a worker cannot be started: {plain_text(f'{type(error).__name__}: {error}')}")
    found.__cause__ = error
    return found


def _shorter(a: float | None, b: float | None) -> float | None:
    return min((value for value in (a, b) if value is not None), default=None)
