"""Kill a run at random moments, resume it, and compare the final weights with those of a run that was left alone.

    python kills.py --times 20 --engine threads --out kills.json

Each time a run is started by the command line and killed (SIGKILL to its whole process group) after a time drawn
between 0 and what the undisturbed run took; then it is resumed, and half of the resumed runs are killed again, until
one ends. A run that was killed before its first checkpoint has trained nothing and is started anew. All runs must end
with the same bits and leave no process behind.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from machine import machine

STUDY = """
name = "kills"
[data]
samples = 400
[model]
name = "edge-cnn"
image-size = 28
batchnorm-policy = "recalibrate"
[federation]
clients = 6
rounds = 12
[evaluation]
epsilons = [0.005]
select = "best"
[distillation]
enabled = false
[export]
enabled = false
"""


def start(engine: str, folder: Path, resume: bool) -> "subprocess.Popen[str]":
    """Start or resume a run in a process group of its own."""
    what = ["--resume", "run"] if resume else ["study.toml", "--out", "run"]
    return subprocess.Popen(
        [sys.executable, "-m", "fedrobust", "run", *what, "--engine", engine],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    """Wait for a run that nobody kills."""
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"a run failed with exit code {process.returncode}: {errors}")


def kill(process: "subprocess.Popen[str]", after: float) -> bool:
    """Kill a run `after` seconds; return whether it was still there to be killed."""
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run has anything to go on from."""
    return any((folder / "run" / "checkpoints").glob("round-*.npz"))


def digest(folder: Path) -> str:
    """Return the digest of a finished run's weights."""
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["status"] == "finished", result["status"]
    return str(result["model"]["digest"])


def left_over(marker: str) -> list[str]:
    """Return the command lines of processes that still run in `marker`, waiting a little for them to go."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(marker):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    _, alive = psutil.wait_procs(found, timeout=30)
    return [" ".join(process.cmdline())[:100] for process in alive]


def disturbed(engine: str, folder: Path, seconds: float, draw: random.Random) -> dict[str, object]:
    """Run, kill, resume until a run ends; return what happened."""
    kills: list[float] = []
    rounds: list[int] = []
    while True:
        resume = has_checkpoint(folder)
        if not resume and (folder / "run").exists():
            for leftover in sorted((folder / "run").rglob("*"), reverse=True):
                leftover.rmdir() if leftover.is_dir() else leftover.unlink()
        process = start(engine, folder, resume)
        if kills and draw.random() < 0.5:
            finish(process)
            break
        after = draw.uniform(0, seconds)
        if not kill(process, after):
            break
        kills.append(round(after, 1))
        names = sorted((folder / "run" / "checkpoints").glob("round-*.npz"))
        rounds.append(int(names[-1].stem.split("-")[1]) if names else -1)
    return {"kills-after": kills, "checkpoint-after-kill": rounds, "digest": digest(folder)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--engine", choices=("threads", "ray"), default="threads")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which runs are killed")
    parser.add_argument("--out", type=Path, default=Path("kills.json"))
    options = parser.parse_args()
    draw = random.Random(options.seed)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        (whole / "study.toml").write_text(STUDY)
        began = time.perf_counter()
        finish(start(options.engine, whole, resume=False))
        seconds = time.perf_counter() - began
        expected = digest(whole)
        print(f"left alone: {seconds:.1f} s, digest {expected[:16]}", flush=True)
        for number in range(options.times):
            folder = Path(name) / f"run-{number}"
            folder.mkdir()
            (folder / "study.toml").write_text(STUDY)
            row = disturbed(options.engine, folder, seconds, draw)
            row["same-bits"] = row["digest"] == expected
            row["left-over"] = left_over(str(folder))
            rows.append(row)
            print(json.dumps(row), flush=True)
    good = sum(bool(row["same-bits"]) and not row["left-over"] for row in rows)
    print(f"{good} of {len(rows)} ended with the same bits and left no process")
    report = {"machine": machine(), "engine": options.engine, "seconds": seconds, "rows": rows}
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(good != len(rows))


if __name__ == "__main__":
    main()
