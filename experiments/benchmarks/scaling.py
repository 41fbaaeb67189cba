"""How much of the workers' time is training: PneumoniaMNIST, MobileNetV2, through `fedrobust.run`.

    FEDROBUST_DATA=... python scaling.py --out scaling.json

Efficiency is the sum of the clients' pure local-update seconds over (workers x wall seconds of the training phase),
from the first message of a round to the new global weights. Each study is a process of its own; the first round
warms up.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import write

# engine, workers, clients
STUDIES = [
    ("threads", 2, 20),
    ("ray", 2, 20),
    ("threads", 1, 20),
    ("threads", 2, 5),
    ("threads", 2, 80),
    ("threads", 1, 80),
]


def run(engine: str, workers: int, clients: int, rounds: int, folder: str) -> dict[str, object]:
    """Run one study in this process."""
    import fedrobust

    finished = fedrobust.run(
        out=folder,
        name="scaling",
        data__name="pneumoniamnist",
        model__name="mobilenetv2",
        model__image_size=32,
        federation__clients=clients,
        federation__rounds=rounds,
        evaluation__every=rounds,
        evaluation__epsilons=[0.005],
        distillation__enabled=False,
        export__enabled=False,
        engine__name=engine,
        engine__workers=workers,
    )
    entries = finished.result["rounds"][1:]
    wall = sum(entry["training-seconds"] for entry in entries)
    updates = sum(entry["clients"]["seconds"] for entry in entries)
    forecast = finished.result["forecast"]
    return {
        "engine": engine,
        "workers": workers,
        "clients": clients,
        "seconds-a-round": wall / len(entries),
        "efficiency": updates / (workers * wall),
        "forecast-seconds-a-round": forecast["training-seconds"],
        "steps-a-round": forecast["steps"],
        "digest": finished.result["model"]["digest"][:16],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("scaling.json"))
    parser.add_argument("--arm", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        engine, workers, clients, folder = options.arm
        print(json.dumps(run(engine, int(workers), int(clients), options.rounds, folder)))
        return
    rows = []
    for engine, workers, clients in STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            arm = [engine, str(workers), str(clients), os.path.join(folder, "run")]
            command = [sys.executable, __file__, "--rounds", str(options.rounds), "--arm", *arm]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(
            "{engine:<8} {workers} workers {clients:>3} clients  {seconds-a-round:6.2f} s a round "
            "(forecast {forecast-seconds-a-round:.2f})  efficiency {efficiency:.3f}  {digest}".format(
                **rows[-1]
            ),
            flush=True,
        )
    write(options.out, rows=rows)


if __name__ == "__main__":
    main()
