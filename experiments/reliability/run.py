"""All figures of reliability in one command: at most an hour on two cores, or a quick form of minutes.

    python experiments/reliability/run.py --out figures.json
    python experiments/reliability/run.py --quick

Each part is a program of this folder in a process of its own; a part that ends with an error, or with a figure that has
to be zero and is not, is named, and the exit code is 1.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

FULL = {
    "checkpoints": ["checkpoints.py", "--times", "2000"],
    "replies": ["replies.py", "--replies", "17000"],
    "costs of replies": ["reply_costs.py", "--replies", "3000"],
    "absurd updates": ["absurd.py", "--seeds", "2"],
    "faults": ["faults.py", "--trials", "60", "--ray", "6", "--writes", "150"],
    "soak": ["soak.py", "--rounds", "5000"],
    "supply chain": ["supply_chain.py"],
}
QUICK = {
    "checkpoints": ["checkpoints.py", "--times", "60"],
    "replies": ["replies.py", "--replies", "300"],
    "costs of replies": ["reply_costs.py", "--replies", "100"],
    "absurd updates": ["absurd.py", "--seeds", "1", "--rules", "mean", "median"],
    "faults": [
        *("faults.py", "--trials", "2", "--ray", "0", "--writes", "9"),
        *("--clock", "1", "--races", "1", "--disk", "0"),
    ],
    "soak": ["soak.py", "--rounds", "60"],
    "supply chain": ["supply_chain.py", "--seconds", "1"],
}

ZERO = (
    "crashes", "crash", "lost", "without a reason", "rounds lost", "files left", "processes left", "not same bits",
    "not one sentence", "not refused", "tracebacks",
)  # fmt: skip
"""Figures that have to be zero."""


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
    """Return the figures that have to be zero and are not.

    Example:
        >>> wrong({"race": {"trials": 5, "files left": 2, "tracebacks": 0}})
        ['race: files left = 2']
    """
    if isinstance(value, list):
        return [one for each in value for one in wrong(each, path)]
    if not isinstance(value, dict):
        return []
    bad = [
        f"{path}: {name} = {value[name]}" if path else f"{name} = {value[name]}"
        for name in ZERO
        if name in value and value[name] not in (0, [], "")
    ]
    return bad + [
        one for name, each in value.items() for one in wrong(each, f"{path}, {name}" if path else name)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small forms of all parts")
    parser.add_argument("--part", action="append", choices=FULL, help="these alone")
    parser.add_argument("--out", type=Path, help="write all figures there")
    given = parser.parse_args()
    parts = QUICK if given.quick else FULL
    found, bad = {}, []
    for name in given.part or parts:
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(
                [sys.executable, str(HERE / parts[name][0]), *parts[name][1:]],
                stdout=subprocess.PIPE, stderr=errors, text=True, check=False,
            )  # fmt: skip
            errors.seek(0)
            said = errors.read()[-2000:]
        found[name] = figures(done.stdout) or done.stdout
        minutes = (time.monotonic() - began) / 60
        faults = wrong(found[name], name) + (
            [f"{name}: exit code {done.returncode}"] if done.returncode else []
        )
        bad += faults
        print(f"{name}: {minutes:.1f} min, {'; '.join(faults) or 'as it has to be'}", flush=True)
        if done.returncode:
            print(said, file=sys.stderr)
        if given.out:
            given.out.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
