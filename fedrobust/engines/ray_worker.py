"""A worker of the Ray engine: the actor's process, the driver's handle, and the cache of shared arrays."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from flwr.app import Array, Context, Message, RecordDict
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from fedrobust.apps import load_app
from fedrobust.code_digest import code_digest
from fedrobust.config import Experiment
from fedrobust.engines.ray_calls import LeftError, RayCalls
from fedrobust.engines.worker import WorkerDiedError
from fedrobust.flower.guard import described, failed_reply, plain_state, private_copy
from fedrobust.flower.identity import server_identity
from fedrobust.flower.message_arrays import Envelope, opened, pack, sealed, unpack, values_of
from fedrobust.plain import plain_text
from fedrobust.runtime import claim_process, start_tensorflow
from fedrobust.study import Study

LOST = (RayActorError, WorkerCrashedError, NodeDiedError, ObjectLostError, LocalRayletDiedError)
"""Errors that say a process or a machine was lost, perhaps between the end of the training and the reply's arrival."""


@dataclass(frozen=True)
class Fingerprint:
    """A worker's node, and digests of its code and data, which must be those of the driver."""

    node: str
    process: int
    code: str
    data: str


class Actor:
    """The process of one worker (a Ray actor).

    Args:
        client_app: dotted path of the Flower app that every node runs.
        run_config: Flower's flat run config.
        path: the driver's ``sys.path``.
    """

    def __init__(self, client_app: str, run_config: Mapping[str, Any], path: list[str]):
        sys.path += [folder for folder in path if folder not in sys.path]
        # The process runs nothing but this worker.
        claim_process()
        _die_when_terminated()
        start_tensorflow(workers=1)
        self._identity = server_identity()
        self._identity.__enter__()
        self._app = load_app(client_app)
        self._run_config = dict(run_config)

    def fingerprint(self) -> Fingerprint:
        """Return this worker's node, and digests of its code and data."""
        data = Study.of(Experiment.from_run_config(self._run_config)).dataset.digest
        return Fingerprint(ray.get_runtime_context().get_node_id(), os.getpid(), code_digest(), data)

    def answer(
        self, envelope: Envelope, node_config: Mapping[str, Any], state: RecordDict, *values: np.ndarray
    ) -> tuple[Envelope, RecordDict, list[np.ndarray]]:
        """Return a node's reply to one message.

        Only objects of Flower's and NumPy's own types leave this process, whatever the client's code returns.
        """
        message = unpack(envelope, values)
        context = Context(
            run_id=message.metadata.run_id,
            node_id=message.metadata.dst_node_id,
            node_config=dict(node_config),
            state=state,
            run_config=dict(self._run_config),
        )
        try:
            reply, arrays = sealed(self._app(private_copy(message), context), message)
            return reply, plain_state(context.state), arrays
        except (
            BaseException
        ) as error:  # also SystemExit: raised by the client's code, it must not end the worker
            failure = failed_reply(message, described(error))
        return pack(failure)[0], state, []


def _die_when_terminated() -> None:
    """End the process at once on SIGTERM, so that its message goes to another worker.

    Ray's own handler raises SystemExit in the middle of the client's code, which counts as the client's failure.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


class RayWorker:
    """The driver's handle of one actor.

    Args:
        actor: handle of an `Actor`.
        cache: the arrays in Ray's object store, shared by all workers.
        calls: counts the calls to Ray that are under way.
    """

    def __init__(self, actor: Any, cache: "ObjectCache", calls: RayCalls):
        self._actor = actor
        self._cache = cache
        self._calls = calls

    def answer(self, message: Message, context: Context) -> Message:
        """Return the reply of the node's app.

        Raises:
            WorkerDiedError: the process or its machine was lost, or the reply with it; or Ray was left.
            UnreadableError: it sent something other than a reply.
        """
        envelope, arrays = pack(message)
        try:
            with self._calls.one():
                reply, state = self._answer(envelope, arrays, context)
        except (*LOST, LeftError) as error:
            raise WorkerDiedError(plain_text(str(error))) from error
        except RayTaskError as error:
            raise RuntimeError(str(error.cause if error.cause is not None else error)) from error
        context.state = state
        return reply

    def _answer(
        self, envelope: Envelope, arrays: list[Array], context: Context
    ) -> tuple[Message, RecordDict]:
        references = [self._cache.reference(array) for array in arrays]
        answer = self._calls.get(
            self._actor.answer.remote(envelope, dict(context.node_config), context.state, *references)
        )
        return opened(answer)

    def close(self) -> None:
        """Kill the process."""
        # Errors are ignored: the process, or all of Ray, is already gone.
        with suppress(Exception), self._calls.one():
            ray.kill(self._actor)


@dataclass
class ObjectCache:
    """The arrays of the newest messages in Ray's object store, each stored once for all workers."""

    keep: int = 8
    _items: deque[tuple[Array, Any]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reference(self, array: Array) -> Any:
        """Return the reference of `array` in the object store."""
        with self._lock:
            for known, reference in self._items:
                if known is array:
                    return reference
            reference = ray.put(values_of(array))
            self._items.append((array, reference))
            if len(self._items) > self.keep:
                self._items.popleft()
            return reference
