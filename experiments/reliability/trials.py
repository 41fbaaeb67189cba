"""What trials of faults share: a tiny study, processes forked from one that has imported TensorFlow, what is left."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from fedrobust import cli, runtime

STUDY = """
name = "faults"
[data]
samples = 100
[model]
name = "edge-cnn(width=8)"
image-size = 28
batchnorm-policy = "average"
[federation]
clients = 4
rounds = 8
[training]
batch-size = 16
[evaluation]
attacks = []
epsilons = []
every = 4
examples = 0
[audit]
enabled = false
[distillation]
enabled = false
[export]
enabled = false
[output]
report = false
[engine]
workers = 2
"""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
COUNTED = (
    "signals", "rounds lost", "lost", "finished cells run again or lost", "files left", "processes left", "swept",
)  # fmt: skip
HELD = ("same bits", "one sentence", "refused", "went on", "took part again", "ended")
"""What has to hold in every trial."""

TEMPORARY = ".fedrobust-writing-*"


def forked(work: Callable[[], Any]) -> int:
    """Run `work` in a process of its own, in its own session and without output, and return its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.setsid()
        quiet = os.open("errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def command(*words: str) -> Callable[[], Any]:
    """Return the work of a command line."""
    return lambda: cli.app(list(words))


def ended(process: int, within: float) -> int | None:
    """Return the exit code of a child, None if it still runs after so many seconds."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def waited(process: int) -> int:
    """Return the exit code of a child that nobody disturbs."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(run: Path) -> str:
    """Return the digest of a finished run's model, "" if it is not finished."""
    try:
        result = json.loads((run / "result.json").read_text())
    except OSError:
        return ""
    return str(result["model"]["digest"]) if result["status"] == "finished" else ""


def reported(run: Path) -> int:
    """Return how many rounds `metrics.jsonl` reports."""
    lines = run / "metrics.jsonl"
    return len(lines.read_text().splitlines()) if lines.exists() else 0


def left_over(folder: Path) -> tuple[int, int]:
    """Return temporary files, and processes that still run in the folder; those that are ending have 20 seconds."""
    end = time.monotonic() + 20
    while (processes := running_in(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    return len(list(folder.rglob(TEMPORARY))), processes


def running_in(folder: Path) -> int:
    """Return how many other processes have their working folder there."""
    found = 0
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found += each.pid != os.getpid() and each.cwd().startswith(str(folder))
    return found


def started(run: Path) -> bool:
    """Return whether a study has something to go on from."""
    return any((run / "checkpoints").glob("round-*.npz")) or (run / "result.json").exists()


def words(run: Path, *more: str) -> list[str]:
    """Return the command line that goes on with a study, or starts it anew where there is nothing to go on from."""
    if started(run):
        return ["run", "--resume", run.name, *more]
    shutil.rmtree(run, ignore_errors=True)
    return ["run", "study.toml", "--out", run.name, *more]


def lost_rounds(run: Path, before: int) -> int:
    """Return how many rounds a resumed run has done again although `before` rounds had been reported."""
    resumed = json.loads((run / "result.json").read_text()).get("resumed-after")
    return max(0, before - resumed[-1]) if resumed else 0


def traceback(folder: Path) -> bool:
    """Return whether any process of a trial has printed a traceback."""
    errors = folder / "errors.txt"
    return errors.exists() and "Traceback" in errors.read_text()


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the figures of each part: trials, rounds lost, other bits, files and processes left."""
    found: dict[str, dict[str, Any]] = {}
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        found[part] = {"trials": len(mine)}
        for name in (
            "signals",
            "rounds lost",
            "lost",
            "finished cells run again or lost",
            "files left",
            "processes left",
            "swept",
        ):
            if any(name in row for row in mine):
                found[part][name] = sum(row.get(name, 0) for row in mine)
        for name in HELD:
            if any(name in row for row in mine):
                found[part][f"not {name}"] = sum(not row[name] for row in mine)
        if other := sorted({name for row in mine for name in row.get("differ", ())}):
            found[part]["differ"] = other
        if any("traceback" in row for row in mine):
            found[part]["tracebacks"] = sum(row["traceback"] for row in mine)
    return found


class OverError(Exception):
    """The time is over: the trials that were played count."""


def options(parser: argparse.ArgumentParser, **counts: int) -> argparse.Namespace:
    """Return the command line of a program: how many trials of each part, a seed, a limit of time, a file of rows."""
    for name, number in counts.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no trial is begun after these")
    parser.add_argument("--out", type=Path, help="a line of JSON for every trial, as it ends")
    return parser.parse_args()


def play(
    measure: Callable[[argparse.Namespace, Path, Callable[[dict[str, Any]], None]], None],
    given: argparse.Namespace,
) -> None:
    """Import TensorFlow once, play all trials of a program in a temporary folder, and print the figures of its parts.

    Args:
        measure: gets the command line, the folder, and a function to which it gives a row for every trial.
        given: of `options`.
    """
    began = time.monotonic()
    runtime.claim_process = lambda: None
    runtime.start_tensorflow(2)
    import server.app
    import server.pipeline  # noqa: F401

    rows: list[dict[str, Any]] = []
    out = given.out.absolute() if given.out else None

    def tell(row: dict[str, Any]) -> None:
        rows.append(row)
        if out:
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if time.monotonic() - began > 60 * given.minutes:
            raise OverError

    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(given, Path(folder).resolve(), tell)
        except OverError:
            print(f"the time is over after {len(rows)} trials", file=sys.stderr)
        finally:
            os.chdir(home)
    print(json.dumps(summary(rows), indent=1))
