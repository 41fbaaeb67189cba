"""Kills after the last round: in distillation, audit, export and report, in commands on a finished run, in a sweep.

    python experiments/reliability/late_faults.py --trials 30 --commands 4 --sweeps 5 --out late.jsonl

TensorFlow is imported once, every trial runs in a process forked from that one, with a folder of its own for temporary
files. The parts:

* late stages: a study whose rounds are over gets SIGKILL, or in a quarter of the cases SIGTERM, at a random moment of
  what is left, is resumed, perhaps killed again, and has to end with the bits of an undisturbed one: global model,
  student, exported files, examples, and every number in card and record but times. The report has to be there.
* commands: `audit`, `export`, `report` and `figures` on a finished run are killed and given again.
* sweeps: `bench` gets SIGKILL at random moments until it ends; every cell has to be there once, with the bits of an
  undisturbed sweep, and no cell that was finished may have been run again.

Nothing may be left: no temporary file in the run folder or in that for temporary files, no process.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trials import STUDY, command, ended, forked, left_over, options, play, reported, traceback, waited

LATE = (
    STUDY.replace("rounds = 8", "rounds = 2")
    .replace("examples = 0", "examples = 4")
    .replace("attacks = []", 'attacks = ["fgsm"]')
    .replace("epsilons = []", 'epsilons = ["2/255"]')
    .replace("every = 4", "every = 2")
    .replace("[audit]\nenabled = false", '[audit]\neffort = "quick"\nimages = 20')
    .replace("[distillation]\nenabled = false", '[distillation]\nepochs = 2\nstudent = "edge-cnn(width=8)"')
    .replace("[export]\nenabled = false", "[export]\nenabled = true")
    .replace("report = false", "report = true")
)
SWEEP = "seed = [0, 1, 2, 3]\n" + STUDY.replace("rounds = 8", "rounds = 1")
TIMES = (
    "seconds",
    "time",
    "created",
    "started",
    "finished",
    "date",
    "memory",
    "environment",
    "resumed",
    "latency",
)
"""Parts of the names of figures that differ from run to run."""


def numbers(value: Any) -> Any:
    """Return a document without times, paths and what belongs to the machine."""
    if isinstance(value, dict):
        return {
            name: numbers(each)
            for name, each in value.items()
            if not any(part in name for part in TIMES) and name not in ("output", "path", "folder")
        }
    return [numbers(each) for each in value] if isinstance(value, list) else value


def arrays(path: Path) -> str:
    """Return the digest of the arrays of an .npz file but for seconds; its container notes the time."""
    found = hashlib.sha256()
    with np.load(path) as content:
        for name in sorted({*content.files} - {"seconds"}):
            found.update(name.encode() + content[name].tobytes())
    return found.hexdigest()


def bits(folder: Path) -> dict[str, Any]:
    """Return what has to be the same in every folder of the same study or command."""
    found: dict[str, Any] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix in (".tflite", ".txt", ".py", ".csv", ".onnx", ".svg"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".npz" and path.parent.name in ("audit", "attacks"):
            # Named by a digest of the attack and of this code.
            found["audit"] = sorted([*found.get("audit", []), arrays(path)])
        elif path.suffix == ".npz":
            found[name] = arrays(path)
        elif path.name in ("result.json", "card.json"):
            found[name] = numbers(json.loads(path.read_text()))
        elif path.suffix in (".html", ".keras", ".pdf"):
            found[name] = path.stat().st_size > 1000
    return found


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names under which two results differ."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def killed(words: list[str], seconds: float, draw: random.Random) -> tuple[str, int]:
    """Run a command, stop it at a random moment, and return the signal ("" if it had ended) and its exit code."""
    process = forked(command(*words))
    code = ended(process, draw.uniform(0, seconds))
    if code is not None:
        return "", code
    which = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
    (os.killpg if which == signal.SIGKILL else os.kill)(process, which)
    return which.name, waited(process)


def temporaries(folder: Path) -> int:
    """Return how many things are left in the folder for temporary files; TensorFlow's own are not counted."""
    return sum(1 for each in (folder / "tmp").iterdir() if not each.name.startswith("__autograph"))


def trial(
    part: str,
    folder: Path,
    again: list[str],
    where: str,
    seconds: float,
    expected: dict[str, Any],
    draw: random.Random,
) -> dict[str, Any]:
    """Stop a command once or twice at random moments, run it to its end, and compare what it wrote."""
    sent, codes = [], []
    for _ in range(1 + (draw.random() < 0.3)):
        which, code = killed(again, seconds, draw)
        sent += [which] if which else []
        codes.append(code)
    codes.append(waited(forked(command(*again))))
    files, processes = left_over(folder)
    other = differing(bits(folder / where), expected)
    return {
        "part": part, "sent": sent, "codes": codes, "signals": len(sent), "same bits": not other, "differ": other,
        "files left": files + temporaries(folder), "processes left": processes, "traceback": traceback(folder),
    }  # fmt: skip


def rows(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return the cells of a sweep: of each, its state, figures and seconds."""
    file = folder / "results.sqlite"
    if not file.exists():
        return {}
    with contextlib.closing(sqlite3.connect(file)) as database:
        if not database.execute("select 1 from sqlite_master where name = 'cells'").fetchone():
            return {}
        found = database.execute("select hash, status, figures, seconds from cells").fetchall()
    return {name: (status, json.loads(figures), seconds) for name, status, figures, seconds in found}


def swept(
    folder: Path, seconds: float, expected: dict[str, tuple[Any, ...]], draw: random.Random
) -> dict[str, Any]:
    """Stop a sweep at random moments until it ends."""
    words = ["bench", "study.toml", "--out", "sweep", "--quiet"]
    sent, codes, again = [], [], 0
    done: dict[str, tuple[Any, ...]] = {}
    for _ in range(3):
        which, code = killed(words, seconds, draw)
        sent += [which] if which else []
        codes.append(code)
        now = rows(folder / "sweep")
        again += sum(now.get(name) != row for name, row in done.items())
        done = {name: row for name, row in now.items() if row[0] == "finished"}
    codes.append(waited(forked(command(*words))))
    now = rows(folder / "sweep")
    again += sum(now.get(name) != row for name, row in done.items())
    plain = [{name: list(row[:2]) for name, row in each.items()} for each in (now, expected)]
    files, processes = left_over(folder)
    return {
        "part": "sweeps", "sent": sent, "codes": codes, "signals": len(sent), "finished cells run again or lost": again,
        "same bits": numbers(plain[0]) == numbers(plain[1]), "files left": files + temporaries(folder),
        "processes left": processes, "traceback": traceback(folder),
    }  # fmt: skip


COMMANDS = {
    "audit": ["audit", "run", "--out", "audited", "--effort", "quick", "--images", "20", "--quiet"],
    "export": ["export", "run", "--out", "exported", "--images", "20", "--quiet"],
    "report": ["report", "run"],
    "figures": ["figures", "run", "--out", "drawn"],
}


def measure(given: argparse.Namespace, folder: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """Play all parts, and tell the figures of every trial."""
    numbers_of = iter(range(10**6))

    def place(study: str) -> Path:
        found = folder / f"trial-{next(numbers_of)}"
        (found / "tmp").mkdir(parents=True)
        os.chdir(found)
        (found / "study.toml").write_text(study)
        tempfile.tempdir = str(found / "tmp")
        os.environ["TMPDIR"] = str(found / "tmp")
        return found

    def undisturbed(words: list[str]) -> float:
        began = time.monotonic()
        if waited(forked(command(*words))):
            sys.exit(Path("errors.txt").read_text())
        return time.monotonic() - began

    if given.trials or given.commands:
        whole = place(LATE)
        process = forked(command("run", "study.toml", "--out", "run", "--quiet"))
        while reported(whole / "run") < 2 or not (whole / "run/checkpoints/round-000002.npz").exists():
            time.sleep(0.01)
        os.killpg(process, signal.SIGKILL)
        waited(process)
        shutil.copytree(whole / "run", folder / "rounds-are-over")
        again = ["run", "--resume", "run", "--quiet"]
        seconds = undisturbed(again)
        expected = bits(whole / "run")
        shutil.copytree(whole / "run", folder / "finished")
    for number in range(given.trials):
        here = place(LATE)
        shutil.copytree(folder / "rounds-are-over", here / "run")
        tell(
            trial(
                "late stages",
                here,
                again,
                "run",
                seconds,
                expected,
                random.Random(f"{given.seed} late {number}"),
            )
        )
    for name, words in COMMANDS.items() if given.commands else ():
        here = place(LATE)
        shutil.copytree(folder / "finished", here / "run")
        seconds, where = undisturbed(words), words[words.index("--out") + 1] if "--out" in words else "run"
        expected = bits(here / where)
        for number in range(given.commands):
            here = place(LATE)
            shutil.copytree(folder / "finished", here / "run")
            draw = random.Random(f"{given.seed} {name} {number}")
            tell(trial(f"command {name}", here, words, where, seconds, expected, draw))
    if given.sweeps:
        here = place(SWEEP)
        seconds = undisturbed(["bench", "study.toml", "--out", "sweep", "--quiet"])
        cells = rows(here / "sweep")
        for number in range(given.sweeps):
            tell(swept(place(SWEEP), seconds / 2, cells, random.Random(f"{given.seed} sweep {number}")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    play(measure, options(parser, trials=30, commands=4, sweeps=5))
