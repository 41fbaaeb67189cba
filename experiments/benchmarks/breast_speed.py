"""The speed job: the same federation with `fedrobust run`, and with Flower's TensorFlow example in two forms.

    FEDROBUST_DATA=... python experiments/benchmarks/breast_speed.py [--rounds 3] [--out breast_speed.json]

BreastMNIST over 10 iid clients, MobileNetV2 from random weights at 32 px, 1 local epoch, batch 32, Adam 1e-3, the test
set evaluated once at the end. Each arm is a process of its own; its wall time includes starting Python and importing.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def arms(rounds: int, folder: Path) -> dict[str, list[str]]:
    """Return the command of every arm."""
    settings = {
        "model.weights": "random",
        "model.batchnorm-policy": "average",
        "training.batch-size": 32,
        "training.learning-rate": 0.001,
        "training.schedule": "constant",
        "federation.clients": 10,
        "federation.rounds": rounds,
        "evaluation.every": rounds,
        "audit.enabled": "false",
        "model.image-size": "32",
        "federation.average": "0",
        "distillation.enabled": "false",
        "export.enabled": "false",
    }
    overrides = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    example = str(HERE / "flower_tensorflow.py")
    return {
        "fedrobust run": [
            sys.executable,
            "-m",
            "fedrobust",
            "run",
            str(HERE.parent / "breast.toml"),
            *overrides,
            "--out",
            str(folder / "run"),
        ],
        "Flower, model cached per actor": [sys.executable, example, "cached", str(rounds)],
        "Flower, model built in every message": [sys.executable, example, "rebuild", str(rounds)],
    }


def timed(name: str, command: list[str], folder: Path) -> tuple[float, str]:
    """Return the wall seconds of `command` and what it says of its accuracy."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    said = [line for line in done.stdout.splitlines() if "accuracy" in line]
    return seconds, said[0].strip() if said else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("breast_speed.json"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, command in arms(options.rounds, Path(folder)).items():
            # The fast arm is timed three times: its seconds are few, and a machine has its moods.
            times = [
                timed(name, command, Path(folder)) for _ in range(3 if name.startswith("fedrobust") else 1)
            ]
            seconds, said = sorted(times)[len(times) // 2]
            rows.append(
                {
                    "arm": name,
                    "seconds": round(seconds, 1),
                    "all": [round(t, 1) for t, _ in times],
                    "said": said,
                }
            )
            print(f"{name:<38} {seconds:7.1f} s   {said}", flush=True)
    ours = rows[0]["seconds"]
    for row in rows[1:]:
        print(f"fedrobust takes 1/{row['seconds'] / ours:.1f} of: {row['arm']}")
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    options.out.write_text(
        json.dumps({"rounds": options.rounds, "machine": machine, "rows": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
