"""Faults of machines: signals at random moments, kills within writes, a full disk at every write, clock jumps.

    python experiments/reliability/faults.py --trials 60 --writes 300 --out faults.jsonl

TensorFlow is imported once; every study runs in a process forked from that one. The parts:

* signals: a study of eight rounds gets SIGKILL, SIGTERM or SIGSTOP (and SIGCONT half a second later) at a moment drawn
  between its start and the time that an undisturbed one takes, and is resumed, perhaps under another signal, until it
  is finished. A round is lost if `metrics.jsonl` had reported it and it was run again; the final model must have the
  bits of the undisturbed study; no temporary file and no process may be left.
* writes: a process that writes checkpoints, JSON or the SQLite file of a sweep in a loop is killed. What was complete
  before must be readable, and the next start must remove temporary files.
* disk: the k-th write of a study fails with ENOSPC, for every k; it must end in one sentence and go on from there.
* clock: the system's time jumps by up to a year either way at every call while a study runs.
* race: two runs start in one folder at the same time; one must refuse.

`ray_faults.py` does the same to Ray's workers and machines, `late_faults.py` to distillation, export, audit, report and
sweeps, `supernodes.py` to the nodes of a deployment.
"""

import argparse
import contextlib
import errno
import itertools
import os
import random
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
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

from fedrobust import cli
from fedrobust.atomic import sweep
from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint, CheckpointNotice
from fedrobust.runs.folder import RunFolder
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.results import Results

CELLS = 10


def counted() -> Iterator[int]:
    """Yield 0, 1, 2 and so on, as long as the process that this one was forked from is there."""
    parent = os.getppid()
    yield from itertools.takewhile(lambda _: os.getppid() == parent, itertools.count())


def hit(process: int, which: signal.Signals) -> None:
    """Send a signal to a study; one that stands still goes on after half a second."""
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if which == signal.SIGKILL else os.kill)(process, which)
        if which == signal.SIGSTOP:
            time.sleep(0.5)
            os.kill(process, signal.SIGCONT)


def signalled(folder: Path, seconds: float, expected: str, draw: random.Random) -> dict[str, Any]:
    """Run a study under signals until it is finished, and return what happened."""
    run, sent, lost, codes = folder / "run", [], 0, []
    for attempt in range(8):
        before, resumes = reported(run), started(run)
        process = forked(command(*words(run, "--quiet")))
        code = None
        if attempt < 2 and (attempt == 0 or draw.random() < 0.5):
            code = ended(process, draw.uniform(0, seconds))
            if code is None:
                which = draw.choice(SIGNALS)
                hit(process, which)
                sent.append(which.name)
        code = waited(process) if code is None else code
        codes.append(code)
        if resumes and code == 0:
            lost += lost_rounds(run, before)
        if digest(run):
            break
    files, processes = left_over(folder)
    return {
        "part": "signals, threads", "sent": sent, "codes": codes, "signals": len(sent), "rounds lost": lost,
        "same bits": digest(run) == expected, "files left": files, "processes left": processes,
        "traceback": traceback(folder),
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
        again = ("run", "--resume", "run") if resumable else ("run", "study.toml", "--out", "run")
        code_again = waited(forked(command(*again, "--quiet")))
        yield {
            "part": "disk", "write": failing, "codes": [code, code_again], "files left": files,
            "one sentence": errors.count("error: ") == 1 and "Traceback" not in errors and "No space left" in errors,
            "rounds lost": lost_rounds(run, before) if resumable else 0, "same bits": digest(run) == expected,
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
    if not (given.trials or given.clock or given.races or given.disk):
        return
    here, began = place(), time.monotonic()
    if waited(forked(command("run", "study.toml", "--out", "run", "--quiet"))):
        sys.exit((here / "errors.txt").read_text())
    seconds, expected = time.monotonic() - began, digest(here / "run")
    for _ in range(given.clock):
        here = place()
        code = waited(forked(jumping(draw)))
        tell({"part": "clock", "codes": [code], "same bits": digest(here / "run") == expected})
    for _ in range(given.races):
        here = place()
        both = [forked(command("run", "study.toml", "--out", "run", "--quiet")) for _ in range(2)]
        codes = sorted(map(waited, both))
        tell({
            "part": "race", "codes": codes, "same bits": digest(here / "run") == expected,
            "refused": codes == [0, 2], "files left": left_over(here)[0],
        })  # fmt: skip
    if given.disk:
        for found in full_disk(place(), expected):
            tell(found)
    for number in range(given.trials):
        tell(signalled(place(), seconds, expected, random.Random(f"{given.seed} threads {number}")))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    play(measure, options(parser, trials=60, writes=300, clock=2, races=5, disk=1))


if __name__ == "__main__":
    main()
