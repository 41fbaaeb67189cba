"""The Ray engine: workers are processes of a Ray cluster, on this machine or on many.

Each worker is one actor with one compiled local update, which loads the data once. The global weights are put into the
object store once a round for all workers; replies come back through shared memory.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from fedrobust.code_digest import code_digest
from fedrobust.config import Engine
from fedrobust.cores import cores
from fedrobust.engines.ray_calls import RayCalls
from fedrobust.engines.ray_head import raylet_lost, reach, watched
from fedrobust.engines.ray_worker import Actor, Fingerprint, ObjectCache, RayWorker
from fedrobust.engines.worker import EngineError, NoPlaceError
from fedrobust.plain import plain_text
from fedrobust.reasons import first_reason

MOST_STARTS = 3
"""Attempts to start a worker that dies during its start."""

CLIENT = "ray://"
"""Start of an address of Ray Client, whose driver is another process, on the cluster."""

START_SECONDS = 300.0
"""Time limit for the start of a worker, which imports TensorFlow and reads the data."""


@dataclass
class RayEngine:
    """A running Ray cluster, and the settings of its workers.

    Attributes:
        workers: number of workers.
        client_app: dotted path of the client app.
        run_config: Flower's flat run config.
        gpus: share of a GPU for each worker.
        data: digest of the driver's copy of the study's data set.
        cache: the arrays in Ray's object store.
        calls: counts the calls to Ray that are under way.
    """

    workers: int
    client_app: str
    run_config: Mapping[str, Any]
    gpus: float
    data: str
    cache: ObjectCache
    calls: RayCalls

    def start_worker(self, number: int) -> RayWorker:
        """Start a worker and check that it has the driver's code and data.

        Raises:
            NoPlaceError: it does not come up in time: no machine of the cluster has room, or it hangs.
            EngineError: it has other code or data, or does not start; LeftError: Ray was left.
        """
        with self.calls.one():
            return self._started()

    @cached_property
    def _actor(self) -> Any:
        # One class for all workers: Ray sends a class to the head when its first actor is made, and waits for the head
        # without an end where that is lost.
        return ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=0)(Actor)

    def _started(self) -> RayWorker:
        for attempt in range(1, MOST_STARTS + 1):
            actor = None
            try:
                actor = self._actor.remote(self.client_app, self.run_config, sys.path)
                self._check(self.calls.get(actor.fingerprint.remote(), timeout=START_SECONDS))
            except EngineError:
                raise
            except RayActorError as error:
                if attempt < MOST_STARTS:
                    continue
                raise EngineError(
                    f'engine.name = "ray": a worker does not come up: {_said(error)}'
                ) from error
            except GetTimeoutError as error:
                RayWorker(actor, self.cache, self.calls).close()
                raise NoPlaceError(
                    f'engine.name = "ray": a worker did not come up within {START_SECONDS:.0f} s; the logs of Ray\'s '
                    "session say why (/tmp/ray/session_latest/logs), `ray status` whether a machine was lost"
                ) from error
            except Exception as error:
                raise EngineError(f'engine.name = "ray": a worker cannot start: {_said(error)}') from error
            return RayWorker(actor, self.cache, self.calls)
        raise AssertionError("unreachable")

    def _check(self, found: Fingerprint) -> None:
        if not isinstance(found, Fingerprint):
            raise EngineError(
                f"engine.address: a worker answers with a {type(found).__name__}: not this version"
            )
        for what, theirs, ours in (("code", found.code, code_digest()), ("data", found.data, self.data)):
            if theirs != ours:
                raise EngineError(
                    f"engine.address: node {found.node} has other {what} than this machine (digest {theirs[:12]}, "
                    f"here {ours[:12]}): install the same version and the same data set on every node"
                )


def _said(error: Exception) -> str:
    """Return Ray's error in one line; of an error in a worker, the worker's own."""
    cause = getattr(error, "cause", None) or error
    return first_reason("".join(traceback.format_exception_only(cause)))


@contextmanager
def ray_engine(
    settings: Engine, client_app: str, run_config: Mapping[str, Any], data: str
) -> Iterator[RayEngine]:
    """Start Ray on this machine or join a running cluster; on exit stop or leave it.

    Args:
        settings: of ``[engine]``.
        client_app: dotted path of the client app.
        run_config: Flower's flat run config.
        data: digest of the study's data set.

    Raises:
        EngineError: the cluster cannot be reached, or has fewer cores or GPUs than asked for.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if settings.address:
        reach(settings.address)
    else:
        check_folder(os.environ)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with _sigterm_kept():
            if settings.address:
                ray.init(address=settings.address, **quiet)
            else:
                cpus = settings.workers or cores()
                ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        raylet = _raylet(settings.address)
    except Exception as error:  # Ray raises various types here, also a bare Exception on a timeout
        leave(RayCalls(), "Ray did not start")
        where = (
            f'engine.address = "{settings.address}": no Ray cluster'
            if settings.address
            else "Ray does not start"
        )
        raise EngineError(f'engine.name = "ray": {where}: {_said(error)}') from error
    calls = RayCalls(raylet)
    try:
        found = _resources()
        workers = settings.workers or int(found.get("CPU", 0))
        for name, needed in (("CPU", workers), ("GPU", workers * settings.gpus_per_worker)):
            if needed > found.get(name, 0) or not workers:
                raise EngineError(
                    f"engine.workers = {settings.workers}: the cluster has {found.get(name, 0):g} {name}s, "
                    f"{needed:g} are needed"
                )
        engine = RayEngine(
            workers, client_app, run_config, settings.gpus_per_worker, data, ObjectCache(), calls
        )
        with _watched(settings.address, raylet, calls):
            yield engine
    finally:
        leave(calls, "the study has left Ray")


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep this process' handler of SIGTERM, by which a run stops as by Ctrl-C: Ray's ends the process where it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _resources() -> Mapping[str, float]:
    try:
        found: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    except Exception as error:
        raise EngineError(
            f'engine.name = "ray": the cluster does not say what it has: {_said(error)}'
        ) from error
    return found


def _raylet(address: str) -> Callable[[], str]:
    """Return the function that says whether Ray's process on this machine has ended; see `raylet_lost`."""
    if address.startswith(CLIENT):
        return str
    mine = ray.get_runtime_context().get_node_id()
    (path,) = (node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == mine)  # type: ignore[no-untyped-call]
    return partial(raylet_lost, path)


def _watched(address: str, raylet: Callable[[], str], calls: RayCalls) -> AbstractContextManager[None]:
    """Leave Ray when it is lost: Ray itself would end this process, with all that a notebook holds."""
    if address.startswith(CLIENT):
        return nullcontext()
    return watched(ray.get_runtime_context().gcs_address, raylet, lambda reason: leave(calls, reason))


def leave(calls: RayCalls, reason: str) -> None:
    """Leave Ray once no thread calls it any more.

    An error because the cluster is gone must not lose a study's results. Where a call does not end, Ray stays connected
    until the process ends: shutting it down would end the process now.
    """
    if calls.end(reason):
        with suppress(Exception):
            ray.shutdown()


LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Most bytes of a Unix socket's path."""


def check_folder(environment: Mapping[str, str]) -> None:
    """Refuse a temporary folder whose path is too long for Ray's sockets.

    Args:
        environment: this process' environment variables.

    Raises:
        EngineError: the path is too long.
    """
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in environment or sys.platform == "darwin" else "TMPDIR"
    folder = environment.get(name, "")
    socket_name = f"/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    size, most = len(os.fsencode(folder)), LONGEST_SOCKET - len(socket_name)
    if size > most:
        raise EngineError(
            f"{name} = {plain_text(folder, 60)}: {size} bytes; Ray puts sockets below it, whose paths are limited: set "
            f"RAY_TMPDIR to a folder of at most {most} bytes, such as /tmp"
        )
