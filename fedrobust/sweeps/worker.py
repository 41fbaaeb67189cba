"""What one process of a sweep does: cell after cell, so that what is compiled and loaded once serves all of them."""

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
    """Run the studies that come through `orders` until it is closed.

    An order is (run config, folder); the answer is "" or why the study failed. Ctrl-C is the parent's business; it
    ends its workers by SIGTERM, which stops a run as Ctrl-C does.

    Args:
        orders: this end of a pipe.
        log: file that takes what would be printed.
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
    """Run one study, or go on with it, and return "" or what went wrong."""
    try:
        run_or_resume(Experiment.from_run_config(run_config), Path(folder))
    except FedrobustError as error:
        return str(error)
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
