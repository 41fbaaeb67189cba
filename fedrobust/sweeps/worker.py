"""A worker process of a sweep: it runs cells one after the other, and reuses compiled graphs and data."""

import os
import signal
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.engines.simulate import run_or_resume
from fedrobust.errors import FedrobustError


def serve(orders: Connection, log: str) -> None:
    """Run the studies received through `orders` until it is closed.

    An order is (run config, folder); the answer is "", or why the study failed. Ctrl-C is handled by the parent, which
    ends its workers by SIGTERM; that stops a run like Ctrl-C.

    Args:
        orders: the worker's end of a pipe.
        log: file for standard output and error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    with Path(log).open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    while True:
        try:
            run_config, folder = orders.recv()
        except EOFError:
            return
        orders.send(answer(run_config, folder))


def answer(run_config: dict[str, Any], folder: str) -> str:
    """Run or resume one study, and return "" or the error."""
    try:
        run_or_resume(Experiment.from_run_config(run_config), Path(folder))
    except FedrobustError as error:
        return str(error)
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
