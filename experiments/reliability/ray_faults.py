"""Signals to the driver and the workers of a Ray cluster, and machines of it that are lost and come back.

    python experiments/reliability/ray_faults.py --trials 30 --machines 3 --out ray.jsonl

Ray is started once, as two machines of one core each on loopback; TensorFlow is imported once by the drivers, and once
by every worker that is started. The parts:

* signals: a study of eight rounds on two workers gets SIGKILL, SIGTERM or SIGSTOP (and SIGCONT half a second later) at
  random moments, again and again until it ends or `MOST_SIGNALS` were sent: each goes to a worker or, a third of them,
  to the driver, which is then resumed. At most two workers are killed in a study: a client that three workers die of
  counts as failed, on purpose.
* a machine lost: the second machine, with all of its processes, gets SIGKILL in a round. The rounds have to go on with
  the first, and after a new machine has joined the cluster a worker has to run on it.
* the head lost: all of Ray gets SIGKILL. The study has to end, and goes on when a cluster is at that address again.

In each, the model must have the bits of an undisturbed study on threads, without a lost round, and nothing may be left.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from trials import (
    SIGNALS,
    STUDY,
    command,
    digest,
    ended,
    forked,
    left_over,
    lost_rounds,
    options,
    play,
    reported,
    started,
    traceback,
    waited,
    words,
)

from fedrobust.deployment.processes import free_ports

MOST_SIGNALS = 4
LONG = STUDY.replace("rounds = 8", "rounds = 60").replace("batch-size = 16", "batch-size = 4\nepochs = 8")
"""A study whose rounds last until a machine has come back."""


@dataclass
class Cluster:
    """Two machines of one core each, as processes on loopback.

    Attributes:
        folder: of Ray's files; its path must be short.
        port: of the head.
    """

    folder: Path
    port: int
    head: "subprocess.Popen[bytes] | None" = None
    second: "subprocess.Popen[bytes] | None" = None
    logs: list[Path] = field(default_factory=list)

    @property
    def address(self) -> str:
        """What `engine.address` is."""
        return f"127.0.0.1:{self.port}"

    def _start(self, *options: str) -> "subprocess.Popen[bytes]":
        ray = str(Path(sys.executable).with_name("ray"))
        self.logs.append(self.folder / f"start-{len(self.logs)}.log")
        with self.logs[-1].open("wb") as log:
            process = subprocess.Popen(
                [
                    *(ray, "start", "--block", "--num-cpus=1", "--node-ip-address=127.0.0.1"),
                    *("--object-store-memory=200000000", "--disable-usage-stats", *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, "RAY_TMPDIR": str(self.folder)},
                start_new_session=True,
            )
        end = time.monotonic() + 120
        while "Ray runtime started" not in self.logs[-1].read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"Ray does not start:\n{self.logs[-1].read_text(errors='replace')}")
            time.sleep(0.2)
        return process

    def start_head(self) -> None:
        """Start the first machine."""
        self.head = self._start("--head", f"--port={self.port}", "--include-dashboard=false")

    def start_second(self) -> None:
        """Start the second machine, which joins the first."""
        self.second = self._start(f"--address={self.address}")

    def workers(self, machine: "subprocess.Popen[bytes] | None" = None) -> list[int]:
        """Return the workers of studies, of one machine or of both."""
        found = []
        for each in (machine,) if machine else (self.head, self.second):
            found += [one.pid for one in processes_of(each) if "ray::Actor" in name_of(one)]
        return found

    def close(self) -> None:
        """End all of it."""
        for each in (self.second, self.head):
            kill(each)


def processes_of(machine: "subprocess.Popen[bytes] | None") -> list[psutil.Process]:
    """Return a machine's processes."""
    if machine is None:
        return []
    with contextlib.suppress(psutil.Error):
        whole = psutil.Process(machine.pid)
        return [whole, *whole.children(recursive=True)]
    return []


def name_of(process: psutil.Process) -> str:
    """Return a process' command line, "" if it is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def kill(machine: "subprocess.Popen[bytes] | None") -> None:
    """Kill a machine: everything at once, as where its power fails."""
    if machine is None:
        return
    for each in processes_of(machine):
        with contextlib.suppress(psutil.Error):
            each.kill()
    machine.wait()


@contextmanager
def running() -> Iterator[Cluster]:
    """Start a cluster, and end it after the block."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        cluster = Cluster(Path(folder), free_ports(1)[0])
        try:
            cluster.start_head()
            cluster.start_second()
            yield cluster
        finally:
            cluster.close()


def engine(cluster: Cluster) -> list[str]:
    """Return the options by which a study runs on a cluster."""
    return ["--engine", "ray", "--set", f"engine.address={cluster.address}", "--quiet"]


def still(process: int) -> None:
    """Let a process stand still for half a second."""
    os.kill(process, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(process, signal.SIGCONT)


def gone(cluster: Cluster, seconds: float = 20.0) -> bool:
    """Return whether no worker is left, after so many seconds at most."""
    end = time.monotonic() + seconds
    while cluster.workers():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def row(part: str, cluster: Cluster, folder: Path, expected: str, **more: Any) -> dict[str, Any]:
    """Return the figures of one trial."""
    files, processes = left_over(folder)
    return {
        "part": part, **more, "same bits": digest(folder / "run") == expected, "files left": files,
        "processes left": processes + (not gone(cluster)), "traceback": traceback(folder),
    }  # fmt: skip


def signalled(cluster: Cluster, folder: Path, expected: str, draw: random.Random) -> dict[str, Any]:
    """Run a study under signals to its driver and its workers until it is finished."""
    run, lost, killed = folder / "run", 0, 0
    sent: list[str] = []
    codes: list[int] = []
    for _ in range(MOST_SIGNALS + 4):
        before, resumes = reported(run), started(run)
        process = forked(command(*words(run, *engine(cluster))))
        if draw.random() < 0.75:
            until(partial(settled, cluster, process), 120)
        code = ended(process, draw.uniform(0, 4))
        while code is None and len(sent) < MOST_SIGNALS:
            which, workers = draw.choice(SIGNALS), cluster.workers()
            of_driver = not workers or draw.random() < 1 / 3
            target = process if of_driver else draw.choice(workers)
            if which != signal.SIGSTOP and not of_driver:
                killed += 1
                which = signal.SIGSTOP if killed > 2 else which
            with contextlib.suppress(ProcessLookupError):
                still(target) if which == signal.SIGSTOP else os.kill(target, which)
                sent.append(f"{which.name} of {'the driver' if of_driver else 'a worker'}")
            code = ended(process, draw.uniform(0, 4))
        code = waited(process) if code is None else code
        codes.append(code)
        if resumes and code == 0:
            lost += lost_rounds(run, before)
        if digest(run):
            break
    return row(
        "signals, Ray", cluster, folder, expected,
        **{"sent": sent, "codes": codes, "signals": len(sent), "rounds lost": lost},
    )  # fmt: skip


def settled(cluster: Cluster, process: int) -> bool:
    """Return whether a study has workers, or has ended; it is not waited for."""
    return bool(cluster.workers()) or (
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    )


def until(what: Callable[[], bool], seconds: float) -> bool:
    """Return whether something holds within so many seconds."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def machine_lost(cluster: Cluster, folder: Path, expected: str, draw: random.Random) -> dict[str, Any]:
    """Lose the second machine in a round, and let it come back."""
    run = folder / "run"
    process = forked(command("run", "study.toml", "--out", "run", *engine(cluster)))
    began = until(lambda: reported(run) >= 2, 300)
    time.sleep(draw.uniform(0, 1))
    kill(cluster.second)
    at, lost_at = reported(run), time.monotonic()
    on = until(lambda: reported(run) >= at + 3, 120)
    pause = time.monotonic() - lost_at
    cluster.start_second()
    back = until(lambda: bool(cluster.workers(cluster.second)), 120)
    finished_before_it_was_back = bool(digest(run))
    code = waited(process)
    return row(
        "a machine of Ray lost and back", cluster, folder, expected,
        **{
            "codes": [code], "went on": began and on, "took part again": back and not finished_before_it_was_back,
            "seconds to three more rounds": round(pause, 1), "rounds lost": 0,
        },
    )  # fmt: skip


def head_lost(cluster: Cluster, folder: Path, expected: str, draw: random.Random) -> dict[str, Any]:
    """Lose all of Ray in a round, and resume on a new cluster."""
    run = folder / "run"
    process = forked(command("run", "study.toml", "--out", "run", *engine(cluster)))
    until(lambda: reported(run) >= 2, 300)
    time.sleep(draw.uniform(0, 1))
    cluster.close()
    lost_at = time.monotonic()
    code = ended(process, 300)
    if code is None:
        os.killpg(process, signal.SIGKILL)
        waited(process)
    pause, before = time.monotonic() - lost_at, reported(run)
    said = (folder / "errors.txt").read_text()
    cluster.start_head()
    cluster.start_second()
    again = waited(forked(command(*words(run, *engine(cluster)))))
    return row(
        "all of Ray lost", cluster, folder, expected,
        **{
            "codes": [code, again], "ended": code is not None, "seconds to the end": round(pause, 1),
            "said": said[-300:], "rounds lost": lost_rounds(run, before),
        },
    )  # fmt: skip


def measure(given: argparse.Namespace, folder: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """Play all parts, and tell the figures of every trial."""
    numbers = iter(range(10**6))

    def place(study: str) -> Path:
        found = folder / f"trial-{next(numbers)}"
        found.mkdir()
        os.chdir(found)
        (found / "study.toml").write_text(study)
        return found

    def undisturbed(study: str) -> str:
        here = place(study)
        if waited(forked(command("run", "study.toml", "--out", "run", "--quiet"))):
            sys.exit((here / "errors.txt").read_text())
        return digest(here / "run")

    with running() as cluster:
        expected = undisturbed(STUDY) if given.trials else ""
        for number in range(given.trials):
            tell(signalled(cluster, place(STUDY), expected, random.Random(f"{given.seed} Ray {number}")))
        expected = undisturbed(LONG) if given.machines or given.heads else ""
        for number in range(given.machines):
            tell(
                machine_lost(cluster, place(LONG), expected, random.Random(f"{given.seed} machine {number}"))
            )
        for number in range(given.heads):
            tell(head_lost(cluster, place(LONG), expected, random.Random(f"{given.seed} head {number}")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    play(measure, options(parser, trials=30, machines=3, heads=1))
