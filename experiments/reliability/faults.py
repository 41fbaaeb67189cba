"""Faults of machines: signals at random moments, kills within writes, a full disk at every write, clock jumps.

    python experiments/reliability/faults.py --trials 60 --ray 6 --writes 300 --out faults.jsonl

TensorFlow is imported once; every study runs in a process forked from that one. The parts:

* signals: a study of eight rounds gets SIGKILL, SIGTERM or SIGSTOP (and SIGCONT half a second later) at a moment drawn
  between its start and the time that an undisturbed one takes, and is resumed, perhaps under another signal, until it
  is finished. On Ray half of the signals go to a worker. A round is lost if `metrics.jsonl` had reported it and it was
  run again; the final model must have the bits of the undisturbed study; no temporary file and no process may be left.
* writes: a process that writes checkpoints, JSON or the SQLite file of a sweep in a loop is killed. What was complete
  before must be readable, and the next start must remove temporary files.
* disk: the k-th write of a study fails with ENOSPC, for every k; it must end in one sentence and go on from there.
* clock: the system's time jumps by up to a year either way at every call while a study runs.
* race: two runs start in one folder at the same time; one must refuse.
"""

import argparse
import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil

from fedrobust import cli, runtime
from fedrobust.atomic import sweep
from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint, CheckpointNotice
from fedrobust.runs.folder import RunFolder
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.results import Results

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
CELLS = 10
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


def counted() -> Iterator[int]:
    """Yield 0, 1, 2 and so on, as long as the process that this one was forked from is there."""
    parent = os.getppid()
    yield from itertools.takewhile(lambda _: os.getppid() == parent, itertools.count())


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
    """Return temporary files, and processes that still run in the folder."""
    processes = 0
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            processes += each.pid != os.getpid() and each.cwd().startswith(str(folder))
    return len(list(folder.rglob(TEMPORARY))), processes


def hit(process: int, which: signal.Signals, worker: bool, draw: random.Random) -> None:
    """Send a signal to a study's driver, or to one of its Ray workers."""
    target, whole = process, True
    if worker:
        children = psutil.Process(process).children(recursive=True)
        workers = [each.pid for each in children if "ray::" in " ".join(each.cmdline())]
        target, whole = (draw.choice(workers), False) if workers else (process, True)
    kill = os.killpg if whole and which == signal.SIGKILL else os.kill
    with contextlib.suppress(ProcessLookupError):
        kill(target, which)
        if which == signal.SIGSTOP:
            time.sleep(0.5)
            os.kill(target, signal.SIGCONT)


def signalled(
    engine: str, folder: Path, seconds: float, expected: str, draw: random.Random
) -> dict[str, Any]:
    """Run a study under signals until it is finished, and return what happened."""
    run, sent, lost, codes = folder / "run", [], 0, []
    (folder / "study.toml").write_text(STUDY)
    for attempt in range(8):
        started = any((run / "checkpoints").glob("round-*.npz")) or (run / "result.json").exists()
        if not started:
            shutil.rmtree(run, ignore_errors=True)
        words = ("--resume", "run") if started else ("study.toml", "--out", "run")
        before = reported(run)
        process = forked(command("run", *words, "--engine", engine, "--quiet"))
        code = None
        if attempt < 2 and (attempt == 0 or draw.random() < 0.5):
            code = ended(process, draw.uniform(0, seconds))
            if code is None:
                which, worker = draw.choice(SIGNALS), engine == "ray" and draw.random() < 0.5
                hit(process, which, worker, draw)
                sent.append(f"{which.name}{' of a worker' if worker else ''}")
        code = waited(process) if code is None else code
        codes.append(code)
        if started and code == 0:
            resumed = json.loads((run / "result.json").read_text())["resumed-after"]
            lost += max(0, before - resumed[-1]) if resumed else 0
        if digest(run):
            break
    files, processes = left_over(folder)
    return {
        "part": f"signals, {engine}", "sent": sent, "codes": codes, "rounds lost": lost,
        "same bits": digest(run) == expected, "files left": files, "processes left": processes,
        "traceback": "Traceback" in (folder / "errors.txt").read_text(),
    }  # fmt: skip


def written(kind: str, folder: Path, draw: random.Random) -> dict[str, Any]:
    """Kill a process that writes in a loop, and return what can be read of it."""
    run = RunFolder(folder)
    values = np.random.default_rng(0).random(200_000).astype(np.float32)

    def checkpoints() -> None:
        for number in counted():
            weights = Weights(values + np.float32(number), values[:10])
            Checkpoint(number, weights, weights, -np.inf, "", {"round": number}).save(run)
            (folder / "done").write_text(str(number))

    def documents() -> None:
        for number in counted():
            run.write_json("result.json", {"number": number, "filling": ["x"] * 20_000})
            (folder / "done").write_text(str(number))

    def rows() -> None:
        cells = [Cell({"seed": seed}, Experiment.of(seed=seed)) for seed in range(CELLS)]
        results = Results.create(folder)
        results.begin(cells)
        for number in counted():
            results.add(cells[number % CELLS], number % CELLS, None, f"{number} {'x' * 5000}")
            (folder / "done").write_text(str(number))

    work = {"checkpoints": checkpoints, "documents": documents, "rows": rows}[kind]
    process = forked(work)
    while not (folder / "done").exists() or not (folder / "done").read_text():
        time.sleep(0.001)
    time.sleep(draw.uniform(0, 0.1))
    os.killpg(process, signal.SIGKILL)
    waited(process)
    done = int((folder / "done").read_text() or -1)
    found = -1
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointNotice)
        if kind == "checkpoints":
            found = Checkpoint.latest(run).round
        elif kind == "documents":
            found = run.read_json("result.json")["number"]
        else:
            texts = [row.error for row in Results.open(folder).rows() if row.status == "failed"]
            found = max(int(text.split()[0]) for text in texts)
    temporary = sweep(folder)
    return {
        "part": f"writes, {kind}", "lost": max(0, done - found), "swept": temporary, "files left": left_over(folder)[0],
    }  # fmt: skip


def full_disk(folder: Path, expected: str) -> Iterator[dict[str, Any]]:
    """Yield what happens where the k-th write of a study fails, for every k until none fails."""
    fsync = os.fsync
    for failing in range(1, 1000):
        place = folder / f"disk-{failing}"
        place.mkdir()
        os.chdir(place)
        Path("study.toml").write_text(STUDY)

        def study(failing: int = failing) -> None:
            count = [0]

            def limited(handle: int) -> None:
                count[0] += 1
                if count[0] >= failing:
                    Path("failed").touch()
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                fsync(handle)

            mock.patch.object(os, "fsync", limited).start()
            cli.app(["run", "study.toml", "--out", "run", "--quiet"])

        code = waited(forked(study))
        errors = Path("errors.txt").read_text()
        if not Path("failed").exists():
            return
        files = left_over(place)[0]
        before, run = reported(place / "run"), place / "run"
        resumable = any((run / "checkpoints").glob("round-*.npz")) or (run / "model.keras").exists()
        if not resumable:
            shutil.rmtree(run, ignore_errors=True)
        words = ("--resume", "run") if resumable else ("study.toml", "--out", "run")
        again = waited(forked(command("run", *words, "--quiet")))
        resumed = json.loads((run / "result.json").read_text()).get("resumed-after") or [before]
        yield {
            "part": "disk", "write": failing, "codes": [code, again], "files left": files,
            "one sentence": errors.count("error: ") == 1 and "Traceback" not in errors and "No space left" in errors,
            "rounds lost": max(0, before - resumed[-1]) if resumable else 0, "same bits": digest(run) == expected,
        }  # fmt: skip


def jumping(draw: random.Random) -> Callable[[], None]:
    """Return the work of a study while the clock jumps."""

    def study() -> None:
        real = time.time
        time.time = lambda: real() + draw.uniform(-1, 1) * 3.2e7
        cli.app(["run", "study.toml", "--out", "run", "--quiet"])

    return study


def measure(given: argparse.Namespace, folder: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """Play all parts, and tell the figures of every trial."""
    draw = random.Random(given.seed)
    numbers = iter(range(10**6))

    def place() -> Path:
        found = folder / f"trial-{next(numbers)}"
        found.mkdir()
        os.chdir(found)
        (found / "study.toml").write_text(STUDY)
        return found

    for kind in ("checkpoints", "documents", "rows"):
        for _ in range(given.writes // 3):
            tell(written(kind, place(), draw))
    expected = {}
    for engine, trials in (("threads", given.trials), ("ray", given.ray)):
        needed = trials or (engine == "threads" and (given.clock or given.races or given.disk))
        if not needed:
            continue
        here, began = place(), time.monotonic()
        if waited(forked(command("run", "study.toml", "--out", "run", "--engine", engine, "--quiet"))):
            sys.exit((here / "errors.txt").read_text())
        seconds = time.monotonic() - began
        expected[engine] = digest(here / "run")
        for number in range(trials):
            found = signalled(
                engine, place(), seconds, expected[engine], random.Random(f"{given.seed} {engine} {number}")
            )
            tell(found)
    for _ in range(given.clock):
        here = place()
        code = waited(forked(jumping(draw)))
        tell({"part": "clock", "codes": [code], "same bits": digest(here / "run") == expected["threads"]})
    for _ in range(given.races):
        here = place()
        both = [forked(command("run", "study.toml", "--out", "run", "--quiet")) for _ in range(2)]
        codes = sorted(map(waited, both))
        tell({
            "part": "race", "codes": codes, "same bits": digest(here / "run") == expected["threads"],
            "refused": codes == [0, 2], "files left": left_over(here)[0],
        })  # fmt: skip
    if given.disk:
        for found in full_disk(place(), expected["threads"]):
            tell(found)


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the figures of each part: trials, rounds lost, other bits, files and processes left."""
    found: dict[str, dict[str, Any]] = {}
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        found[part] = {"trials": len(mine)}
        for name in ("rounds lost", "lost", "files left", "processes left", "swept"):
            if any(name in row for row in mine):
                found[part][name] = sum(row.get(name, 0) for row in mine)
        for name in ("same bits", "one sentence", "refused"):
            if any(name in row for row in mine):
                found[part][f"not {name}"] = sum(not row[name] for row in mine)
        if any("traceback" in row for row in mine):
            found[part]["tracebacks"] = sum(row["traceback"] for row in mine)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, number in (
        ("trials", 60),
        ("ray", 6),
        ("writes", 300),
        ("clock", 2),
        ("races", 5),
        ("disk", 1),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--out", type=Path, help="a line of JSON for every trial, as it ends")
    given = parser.parse_args()
    runtime.claim_process = lambda: None
    runtime.start_tensorflow(2)
    import server.app
    import server.pipeline  # noqa: F401

    rows: list[dict[str, Any]] = []

    def tell(row: dict[str, Any]) -> None:
        rows.append(row)
        if out:
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")

    out = given.out.absolute() if given.out else None
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(given, Path(folder).resolve(), tell)
        finally:
            os.chdir(home)
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
