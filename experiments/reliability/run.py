"""All figures of reliability in one command: about 40 minutes on two cores, or a quick form of minutes.

    python experiments/reliability/run.py --out figures.json
    python experiments/reliability/run.py --quick

Each part is a program of this folder in a process of its own. What it printed is written to `--out` as it ends; the
same command again skips the parts that are there and well, as long as they have the same settings and this code. A part
that ends with an error, or with a figure beyond its bar, is named, and the exit code is 1. Parts of many trials begin
none after their minutes, so that a slow machine takes an hour, too; the figures say how many were played.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.code_digest import code_digest

HERE = Path(__file__).resolve().parent

FULL = {
    "checkpoints": ["checkpoints.py", "--times", "2000"],
    "replies": ["replies.py", "--replies", "17000"],
    "costs of replies": ["reply_costs.py", "--replies", "3000"],
    "absurd updates": ["absurd.py", "--seeds", "1"],
    "faults": ["faults.py", "--trials", "130", "--writes", "0", "--minutes", "9"],
    "writes": [
        "faults.py",
        "--trials",
        "0",
        "--writes",
        "300",
        "--clock",
        "0",
        "--races",
        "0",
        "--disk",
        "0",
        "--minutes",
        "5",
    ],
    "faults of Ray": [
        *("ray_faults.py", "--trials", "20", "--machines", "0", "--heads", "0", "--minutes", "8"),
    ],
    "machines of Ray": [
        *("ray_faults.py", "--trials", "0", "--machines", "2", "--heads", "1", "--minutes", "4"),
    ],
    "late stages": ["late_faults.py", "--trials", "16", "--commands", "0", "--sweeps", "0", "--minutes", "6"],
    "commands": ["late_faults.py", "--trials", "0", "--commands", "2", "--sweeps", "0", "--minutes", "4"],
    "sweeps": ["late_faults.py", "--trials", "0", "--commands", "0", "--sweeps", "3", "--minutes", "2"],
    "nodes": ["supernodes.py", "--server"],
    "strangers": ["strangers.py"],
    "soak": ["soak.py", "--rounds", "5000"],
    "supply chain": ["supply_chain.py"],
}
QUICK = {
    "checkpoints": ["checkpoints.py", "--times", "60"],
    "replies": ["replies.py", "--replies", "300"],
    "costs of replies": ["reply_costs.py", "--replies", "100"],
    "absurd updates": ["absurd.py", "--seeds", "1", "--rules", "mean", "median"],
    "faults": ["faults.py", "--trials", "2", "--writes", "0", "--clock", "1", "--races", "1", "--disk", "0"],
    "writes": ["faults.py", "--trials", "0", "--writes", "9", "--clock", "0", "--races", "0", "--disk", "0"],
    "faults of Ray": ["ray_faults.py", "--trials", "1", "--machines", "0", "--heads", "0"],
    "machines of Ray": ["ray_faults.py", "--trials", "0", "--machines", "1", "--heads", "0"],
    "late stages": ["late_faults.py", "--trials", "1", "--commands", "0", "--sweeps", "0"],
    "commands": ["late_faults.py", "--trials", "0", "--commands", "1", "--sweeps", "0", "--minutes", "1"],
    "sweeps": ["late_faults.py", "--trials", "0", "--commands", "0", "--sweeps", "1"],
    "nodes": ["supernodes.py", "--faults", "restarted"],
    "strangers": ["strangers.py", "--quick"],
    "soak": ["soak.py", "--rounds", "60"],
    "supply chain": ["supply_chain.py", "--seconds", "1"],
}

ZERO = (
    "crashes", "crash", "lost", "without a reason", "rounds lost", "files left", "processes left", "tracebacks",
    "finished cells run again or lost", "strangers in", "other bits", "nodes not back", "not same bits",
    "not one sentence", "not refused", "not went on", "not took part again", "not ended",
)  # fmt: skip
"""Figures that have to be zero."""

MOST = {"times an honest reply's: largest": 10.0}
"""Figures that have a most value."""

ROUNDS_OF_A_SLOPE = 1000
"""Rounds from which the memory's slope is judged: its interval has to reach down to 0."""


def figures(output: str) -> list[Any]:
    """Return the JSON documents that a program printed, in order."""
    found, decoder, place = [], json.JSONDecoder(), 0
    while (start := output.find("{", place)) >= 0:
        try:
            value, place = decoder.raw_decode(output, start)
        except ValueError:
            place = start + 1
            continue
        found.append(value)
    return found


def wrong(value: Any, path: str = "") -> list[str]:
    """Return the figures that are beyond their bars.

    Example:
        >>> wrong({"race": {"trials": 5, "files left": 2, "tracebacks": 0}})
        ['race: files left = 2']
        >>> wrong({"rounds": 5000, "kB a round": [2.8, 2.1, 3.5]})
        ['kB a round = [2.8, 2.1, 3.5]']
        >>> wrong({"rounds": 5000, "kB a round": [0.1, -0.2, 0.4]})
        []
    """
    if isinstance(value, list):
        return [one for each in value for one in wrong(each, path)]
    if not isinstance(value, dict):
        return []
    bad = [name for name in ZERO if name in value and value[name] not in (0, [], "")]
    bad += [name for name, most in MOST.items() if value.get(name, 0) > most]
    slope = value.get("kB a round")
    if slope is not None and value["rounds"] >= ROUNDS_OF_A_SLOPE and slope[1] > 0:
        bad.append("kB a round")
    told = [f"{path}: {name} = {value[name]}" if path else f"{name} = {value[name]}" for name in bad]
    return told + [
        one for name, each in value.items() for one in wrong(each, f"{path}, {name}" if path else name)
    ]


def played(words: list[str]) -> dict[str, Any]:
    """Run a part, and return its command, minutes, exit code and figures."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            [sys.executable, str(HERE / words[0]), *words[1:]],
            stdout=subprocess.PIPE, stderr=errors, text=True, check=False,
        )  # fmt: skip
        errors.seek(0)
        said = errors.read()[-2000:]
    if done.returncode:
        print(said, file=sys.stderr)
    return {
        "command": words, "code": code_digest(), "minutes": round((time.monotonic() - began) / 60, 1),
        "exit": done.returncode, "figures": figures(done.stdout) or done.stdout,
    }  # fmt: skip


def faults(name: str, part: dict[str, Any]) -> list[str]:
    """Return what is wrong with a part: figures beyond their bars, and its exit code."""
    found = wrong(part["figures"], name)
    if part["exit"]:
        return [*found, f"{name}: exit code {part['exit']}"]
    return found if part["figures"] not in ("", [{}]) else [f"{name}: no figures"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small forms of all parts")
    parser.add_argument("--part", action="append", choices=FULL, help="these alone")
    parser.add_argument("--out", type=Path, help="write the figures there, and skip the parts that are there")
    given = parser.parse_args()
    parts = QUICK if given.quick else FULL
    found = json.loads(given.out.read_text()) if given.out and given.out.exists() else {}
    bad = []
    for name in given.part or parts:
        known = found.get(name, {})
        if known.get("command") != parts[name] or known.get("code") != code_digest() or faults(name, known):
            found[name] = played(parts[name])
            if given.out:
                with atomic(given.out) as draft:
                    draft.write_text(json.dumps(found, indent=1) + "\n")
        mine = faults(name, found[name])
        bad += mine
        before = " before" if known is found[name] else ""
        print(
            f"{name}: {found[name]['minutes']} min{before}, {'; '.join(mine) or 'as it has to be'}",
            flush=True,
        )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
