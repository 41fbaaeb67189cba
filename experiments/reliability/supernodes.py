"""Nodes of a real federation that are lost, slow or late, and come back.

    python experiments/reliability/supernodes.py --out nodes.json

A SuperLink and two SuperNodes run as processes on loopback, over TLS (`experiments/deployment/one_machine.py`). Each
fault hits node 1 while it trains; the round that it hits has to end with node 0 alone or with both, and node 1 has to
take part again afterwards:

* killed: SIGKILL of the node and of all that it started; it is started again every few seconds until it is let in;
* its app killed: SIGKILL of the process that trains, as where memory runs out; the node itself goes on;
* restarted: SIGTERM of the node, which is then started again;
* slow: its app stands still for some seconds;
* late: node and app stand still until the round has ended without them, and their reply comes afterwards.

At the end the model must have the bits of a simulation in which the client is absent in the rounds that it missed.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fedrobust.config import Experiment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deployment"))
import one_machine as here

SETTINGS: dict[str, Any] = {
    "name": "lost-nodes",
    "data__samples": 100,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 2,
    "federation__min_replies": 0.5,
    "training__batch_size": 16,
    "evaluation__attacks": [],
    "evaluation__epsilons": [],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
    "engine__client_timeout": 600.0,
}
APP = "fedrobust.deployment.app clientapp"
FAULTS = ("killed", "its app killed", "restarted", "slow", "late")
SLOW_SECONDS = 10.0
AGAIN_SECONDS = 5.0
"""Pause before a node that ended is started again."""


@dataclass
class Node:
    """Node 1, which is hit, and started again whenever it has ended.

    Attributes:
        federation: it belongs to.
        stack: in which it is started, and ended at last.
        process: the newest one.
        starts: how many times it was started.
    """

    federation: here.Federation
    stack: ExitStack
    process: "subprocess.Popen[bytes]"
    starts: int = 1
    ended: float | None = field(default=None)

    @property
    def log(self) -> str:
        """What it has written since its last start."""
        name = "node-1" if self.starts == 1 else f"node-1-{self.starts}"
        return (self.federation.folder / f"{name}.log").read_text()

    def round(self) -> int:
        """Return the round of the newest message that it received since it was started."""
        found = re.findall(r"ROUND (\d+)\]", self.log)
        return int(found[-1]) if found else 0

    def app(self) -> psutil.Process | None:
        """Return the process that trains, None where none does."""
        with contextlib.suppress(psutil.Error):
            for each in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if APP in " ".join(each.cmdline()):
                        return each
        return None

    def keep_up(self) -> None:
        """Start it again where it has ended, after a pause."""
        if self.process.poll() is None:
            return
        if self.ended is None:
            self.ended = time.monotonic()
        elif time.monotonic() - self.ended > AGAIN_SECONDS:
            self.starts, self.ended = self.starts + 1, None
            command = here.supernode(self.federation, 1)
            self.process = self.stack.enter_context(
                self.federation.process(f"node-1-{self.starts}", *command)
            )


def signalled(processes: list[int], which: signal.Signals) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, which)


def whole(node: Node) -> list[int]:
    """Return the ids of a node and of all that it started."""
    process = psutil.Process(node.process.pid)
    return [process.pid, *(each.pid for each in process.children(recursive=True))]


def hit(node: Node, fault: str, over: Callable[[], bool]) -> None:
    """Do one fault to a node that trains; `over` tells whether the round has ended."""
    app = node.app()
    assert app is not None
    if fault == "killed":
        signalled(whole(node), signal.SIGKILL)
    elif fault == "its app killed":
        signalled([app.pid], signal.SIGKILL)
    elif fault == "restarted":
        signalled([node.process.pid], signal.SIGTERM)
    else:
        still = whole(node) if fault == "late" else [app.pid]
        signalled(still, signal.SIGSTOP)
        end = time.monotonic() + SLOW_SECONDS
        while not over() if fault == "late" else time.monotonic() < end:
            time.sleep(0.2)
        signalled(still, signal.SIGCONT)


def measure(faults: tuple[str, ...], rounds: int, folder: Path, most: float) -> dict[str, Any]:
    """Run a study while node 1 suffers `faults`, and return the figures."""
    experiment = Experiment.quickstart(**SETTINGS, federation__rounds=rounds, output__dir=str(folder / "run"))
    run, events, waiting = folder / "run", [], list(faults)
    began = time.monotonic()
    with here.opened(experiment, folder) as (federation, nodes), ExitStack() as stack:
        node, identity = Node(federation, stack, nodes[1]), here.submitted(federation)
        hits: dict[int, str] = {}
        looked = 0.0
        done, since = 0, time.monotonic()
        while time.monotonic() - began < most:
            node.keep_up()
            if here.rounds_done(run) > done:
                done, now = here.rounds_done(run), time.monotonic()
                events.append({"round": done, "seconds": round(now - since, 1), "fault": hits.get(done, "")})
                since = now
                print(json.dumps(events[-1]), flush=True)
            at = node.round()
            if waiting and at > max(hits, default=0) + 1 and at == done + 1 and node.app() is not None:
                hits[at] = waiting.pop(0)
                hit(node, hits[at], lambda at=at: here.rounds_done(run) >= at)
            if time.monotonic() - looked > 3:
                looked = time.monotonic()
                if here.status(federation, identity)[0].startswith("finished"):
                    break
            time.sleep(0.1)
        state, details = here.status(federation, identity)
    result = (
        json.loads((run / "result.json").read_text()) if (run / "result.json").exists() else {"rounds": []}
    )
    return {
        "state": state,
        "details": details,
        "hits": hits,
        "events": events,
        "starts": node.starts,
        "result": result,
        "seconds": round(time.monotonic() - began),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measure(
            tuple(given.faults),
            given.rounds or 2 + 2 * len(given.faults),
            given.folder or Path(place) / "here",
            1500,
        )
    result = found.pop("result")
    for each in result["rounds"]:
        print(each["round"], each["clients"]["trained"], each["clients"]["failures"])
    print(json.dumps(found))
