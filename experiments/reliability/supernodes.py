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

With `--server` the server is killed, too, in a study of its own, which is resumed.

How many rounds a lost node misses depends on how long they take. Here it misses two at most on a machine of any speed:
in the round after the one that was hit, node 0's app stands still until node 1 is let in again.

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
from functools import partial
from pathlib import Path
from typing import Any

import psutil

import fedrobust
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
BACK_SECONDS = 45.0
"""For which node 0's app stands still at most: Flower ends a task that gives no sign of life for 60 s."""
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


def app(node: "subprocess.Popen[bytes]") -> psutil.Process | None:
    """Return the process of a node that trains, None where none does."""
    with contextlib.suppress(psutil.Error):
        for each in psutil.Process(node.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if APP in " ".join(each.cmdline()):
                    return each
    return None


def signalled(processes: list[int], which: signal.Signals) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, which)


def whole(started: "subprocess.Popen[bytes]") -> list[int]:
    """Return the ids of a process and of all that it started."""
    process = psutil.Process(started.pid)
    return [process.pid, *(each.pid for each in process.children(recursive=True))]


def is_over(run: Path, number: int) -> bool:
    """Return whether a round has ended."""
    return here.rounds_done(run) >= number


def hit(node: Node, fault: str, over: Callable[[], bool]) -> None:
    """Do one fault to a node that trains; `over` tells whether the round has ended."""
    trains = app(node.process)
    assert trains is not None
    if fault == "killed":
        signalled(whole(node.process), signal.SIGKILL)
    elif fault == "its app killed":
        signalled([trains.pid], signal.SIGKILL)
    elif fault == "restarted":
        signalled([node.process.pid], signal.SIGTERM)
    else:
        still = whole(node.process) if fault == "late" else [trains.pid]
        signalled(still, signal.SIGSTOP)
        end = time.monotonic() + SLOW_SECONDS
        while not over() if fault == "late" else time.monotonic() < end:
            time.sleep(0.2)
        signalled(still, signal.SIGCONT)


def wait_for(node: Node, trains: psutil.Process) -> None:
    """Let the app of the other node, which trains, stand still until all nodes are online."""
    signalled([trains.pid], signal.SIGSTOP)
    end = time.monotonic() + BACK_SECONDS
    while here.online(node.federation) < 2 and time.monotonic() < end:
        node.keep_up()
    signalled([trains.pid], signal.SIGCONT)


def simulated(experiment: Experiment, missed: list[int], folder: Path) -> str:
    """Return the digest of the model that a simulation gives, in which client 1 is absent in the rounds `missed`."""
    absences = " + ".join(f"absent(first={round}, last={round})" for round in missed)
    lines = [f"1: {absences}"] if missed else []
    run = fedrobust.run(experiment.changed(federation__availability=lines), out=folder)
    return str(run.result["model"]["digest"])


def measure(faults: list[str], rounds: int, folder: Path, most: float) -> dict[str, Any]:
    """Run a study while node 1 suffers `faults`, and return the figures.

    Args:
        faults: in their order; each hits the first round in which the node trains again after the one before.
        rounds: of the study.
        folder: new folder for everything.
        most: seconds after which the study is given up.
    """
    run, waiting = folder / "run", list(faults)
    experiment = Experiment.quickstart(**SETTINGS, federation__rounds=rounds, output__dir=str(run))
    hits: dict[int, str] = {}
    seconds: list[float] = []
    began = looked = time.monotonic()
    federation = here.prepared(experiment, folder)
    with here.opened(federation, 2) as (_, other, hurt), ExitStack() as stack:
        node, identity = Node(federation, stack, hurt), here.submitted(federation)
        since = time.monotonic()
        state, back = "", 0
        while not state.startswith("finished") and time.monotonic() - began < most:
            node.keep_up()
            done = here.rounds_done(run)
            if done > len(seconds):
                seconds.append(round(time.monotonic() - since, 1))
                since = time.monotonic()
                print(f"round {done}: {seconds[-1]} s {hits.get(done, '')}", file=sys.stderr, flush=True)
            at = node.round()
            if waiting and at > max(hits, default=1) and at == done + 1 and app(node.process) is not None:
                hits[at] = waiting.pop(0)
                hit(node, hits[at], partial(is_over, run, at))
            if done in hits and back < done and (trains := app(other)) is not None:
                back = done
                wait_for(node, trains)
            # Each look starts a process: they are rare as long as rounds go on.
            if time.monotonic() - looked > (2 if done == rounds else 30):
                looked, state = time.monotonic(), here.status(federation, identity)[0]
            time.sleep(0.1)
        tracebacks = federation_tracebacks(folder)
    if state != "finished:completed":
        sys.exit(f"the run is {state or 'not finished'}; its logs: {folder}")
    result = json.loads((run / "result.json").read_text())
    trained = {entry["round"]: entry["clients"]["trained"] for entry in result["rounds"]}
    reasons = {
        entry["round"]: [each["reason"] for each in entry["clients"]["failures"]]
        for entry in result["rounds"]
    }
    missed = [number for number, clients in trained.items() if clients < 2]
    same = simulated(experiment, missed, folder / "simulated") == result["model"]["digest"]
    return {
        "faults": [
            {
                "fault": fault, "round": number, "seconds": seconds[number - 1],
                "rounds without the node": sum(number <= each < later for each in missed),
                "reason": (reasons[number] or [""])[0],
            }
            for (number, fault), later in zip(hits.items(), [*list(hits)[1:], rounds + 1], strict=True)
        ],
        "rounds": rounds, "rounds lost": rounds - len(trained), "faults that hit nobody": len(waiting),
        "starts of the node": node.starts, "nodes not back": int(rounds in missed), "other bits": int(not same),
        "tracebacks": tracebacks, "seconds of a round without a fault": [
            one for number, one in enumerate(seconds, 1) if not {number, number - 1} & {*hits, *missed}
        ],
    }  # fmt: skip


def server_lost(folder: Path, most: float) -> dict[str, Any]:
    """Kill the server with all that it started in the second round of three, start it again, and resume the study."""
    run = folder / "run"
    experiment = Experiment.quickstart(**SETTINGS, federation__rounds=3, output__dir=str(run))
    federation, began = here.prepared(experiment, folder), time.monotonic()
    with here.opened(federation, 2) as (server, *_):
        here.submitted(federation)
        log = folder / "node-0.log"
        here.wait_until("round 2", lambda: "ROUND 2]" in log.read_text(), most)
        before = here.rounds_done(run)
        signalled(whole(server), signal.SIGKILL)
    here.write_run_config(experiment.changed(output__resume=True), folder / "run.toml")
    with here.opened(federation, 2):
        identity = here.submitted(federation)
        here.wait_until("the end", lambda: here.status(federation, identity)[0].startswith("finished"), most)
        state = here.status(federation, identity)
    if state[0] != "finished:completed":
        sys.exit(f"the resumed run is {state}; its logs: {folder}")
    result = json.loads((run / "result.json").read_text())
    return {
        "server lost": {
            "rounds before": before, "rounds lost": max(0, before - result["resumed-after"][-1]),
            "other bits": int(simulated(experiment, [], folder / "simulated") != result["model"]["digest"]),
            "seconds": round(time.monotonic() - began), "tracebacks": federation_tracebacks(folder),
        }
    }  # fmt: skip


def federation_tracebacks(folder: Path) -> int:
    """Return how many logs of the server and of node 0, which nobody disturbs, have a traceback."""
    return sum("Traceback" in (folder / f"{name}.log").read_text() for name in ("superlink", "node-0"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--server", action="store_true", help="kill the server, too, in a study of its own")
    parser.add_argument("--seconds", type=float, default=1500.0, help="after which the study is given up")
    parser.add_argument("--folder", type=Path, help="keep everything there; by default it is removed")
    given = parser.parse_args()
    # The first round is not hit, a hit costs two rounds at most, and all nodes train in the last one.
    rounds = 2 * len(given.faults) + 2
    with tempfile.TemporaryDirectory() as place:
        folder = (given.folder or Path(place) / "here").resolve()
        found = measure(given.faults, rounds, folder, given.seconds)
        if given.server:
            found |= server_lost(folder.with_name(f"{folder.name}-server"), given.seconds)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
