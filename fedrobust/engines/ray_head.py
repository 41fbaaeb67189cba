"""Whether Ray can still be called: the head of its cluster answers, and so does this machine's raylet."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fedrobust.engines.worker import EngineError

LOOK_SECONDS = 2.0
"""Time between two looks at the head."""

RAYS_PATIENCE = 60.0
"""Ray 2.55 ends the process of a driver (exit code 1) when it has not reached the head for this time."""

RAYS_SETTING = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""The environment variable that sets another time."""


def reach(address: str) -> None:
    """Refuse an address without a listener, which Ray itself would try to reach for minutes.

    Raises:
        EngineError: no connection to `address` can be opened.
    """
    try:
        _connect(address.removeprefix("ray://"), timeout=10)
    except OSError as error:
        raise EngineError(
            f'engine.address = "{address}": nobody answers there ({error}); start a cluster with '
            "`ray start --head`, or leave the address empty for one on this machine"
        ) from error


def patience() -> float:
    """Return the seconds for which a head may be away: half of what Ray itself allows before it ends the process."""
    try:
        return float(os.environ[RAYS_SETTING]) / 2
    except (KeyError, ValueError):
        return RAYS_PATIENCE / 2


AGAIN = "start the cluster again, and resume the run from its last checkpoint"


def raylet_lost(path: str) -> str:
    """Return why Ray cannot be called from this machine, and nothing while it can.

    Args:
        path: of the socket of this machine's raylet.

    Example:
        >>> raylet_lost("/tmp/ray/sockets/none")[:58]
        'engine.name = "ray": Ray has ended on this machine (no pro'
    """
    with socket.socket(socket.AF_UNIX) as raylet:
        raylet.settimeout(5)
        try:
            raylet.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return (
                f'engine.name = "ray": Ray has ended on this machine (no process listens at {path}); {AGAIN}'
            )
        except OSError:  # it is busy
            return ""
    return ""


@contextmanager
def watched(address: str, raylet: Callable[[], str], lost: Callable[[str], None]) -> Iterator[None]:
    """Watch the head and this machine's raylet in a thread of its own.

    Args:
        address: host and port of the head's control service (GCS).
        raylet: see `raylet_lost`.
        lost: called once, in that thread, with the reason, when the raylet has ended, or the head has not answered for
            `patience` seconds.
    """
    over = threading.Event()
    allowed = patience()

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(min(LOOK_SECONDS, allowed)):
            reason = raylet()
            try:
                _connect(address, timeout=5)
                answered = time.monotonic()
            except OSError as error:
                away = time.monotonic() - answered
                if away >= allowed:
                    reason = reason or (
                        f'engine.name = "ray": the head of the Ray cluster at {address} has not answered for '
                        f"{away:.0f} s ({error}); {AGAIN}"
                    )
            if reason:
                lost(reason)
                return

    thread = threading.Thread(target=watch, name="ray-head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _connect(address: str, timeout: float) -> None:
    """Open a connection and close it; an address without a port is not looked at.

    Raises:
        OSError: it cannot be opened.
    """
    host, separator, port = address.rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout).close()
