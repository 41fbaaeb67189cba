"""A worker process of a sweep: it runs cells one after the other, and reuses compiled graphs and data."""

import os
import signal
import traceback
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.engines.simulate import run_or_resume
from fedrobust.errors import FedrobustError
from fedrobust.runs.checkpoint import any_whole
from fedrobust.runs.events import Event, Listener, RoundFinished
from fedrobust.runs.folder import RunFolder
from fedrobust.study import Study
from fedrobust.sweeps.fork import Fork


@dataclass(frozen=True)
class Order:
    """One study to run.

    Attributes:
        run_config: Flower's run config of the study.
        folder: of the run.
        fork: the rounds that it shares with others; None for none.
        until: the round after which it stops, to go on later; 0: the last one.
    """

    run_config: dict[str, Any]
    folder: Path
    fork: Fork | None = None
    until: int = 0


class _Reached(KeyboardInterrupt):
    """A study has finished the round that was asked for; like Ctrl-C, it stops the run after its checkpoint."""


def serve(orders: Connection, log: str) -> None:
    """Run the studies received through `orders` until it is closed.

    The answer to an order is "", or why the study failed. Ctrl-C is handled by the parent, which
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
            order = orders.recv()
        except EOFError:
            return
        orders.send(answer(order))


def answer(order: Order) -> str:
    """Run or resume one study, and return "" or the error."""
    study, fork, folder = Experiment.from_run_config(order.run_config), order.fork, order.folder
    listeners: list[Listener] = []
    try:
        if fork is not None:
            new = not any_whole(RunFolder(folder))
            if not (new and fork.ready and fork.start(Study.of(study), folder)):
                listeners.append(fork.keep(folder))
        if order.until:
            listeners.append(partial(_stop_after, order.until))
        run_or_resume(study, folder, *listeners)
    except _Reached:
        return ""
    except FedrobustError as error:
        return str(error)
    except Exception:
        return traceback.format_exc(limit=-3)
    return ""


def _stop_after(round: int, event: Event) -> None:
    """Stop the run once it has finished a round."""
    if isinstance(event, RoundFinished) and event.record.round >= round:
        raise _Reached


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
