"""Does a population of 100,000 clients cost more than one of 1,000, when 50 are sampled in a round?

    FEDROBUST_DATA=... python population.py --out population.json

MedNIST (28 px), every client draws 40 images of its own (`data.partition = "draw"`), edge-cnn, one local epoch. Each
arm is a process of its own; peak memory is the process', seconds are those of training rounds without the first one.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import write

SAMPLED = 50


def run(clients: int, rounds: int, folder: str) -> dict[str, float]:
    """Run one arm in this process."""
    import fedrobust

    finished = fedrobust.run(
        out=folder,
        name="population",
        data__name="mednist28.npz",
        data__partition="draw",
        federation__clients=clients,
        federation__participation=SAMPLED / clients,
        federation__rounds=rounds,
        evaluation__every=rounds,
        evaluation__epsilons=[0.005],
        distillation__enabled=False,
        export__enabled=False,
    )
    entries = finished.result["rounds"]
    assert all(entry["clients"]["trained"] == SAMPLED for entry in entries)
    training = [entry["training-seconds"] for entry in entries[1:]]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "clients": clients,
        "seconds-a-round": statistics.median(training),
        "peak-memory-mb": peak / 1e6,
        "study-seconds": finished.result["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--populations", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("population.json"))
    parser.add_argument("--arm", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(run(int(options.arm[0]), options.rounds, options.arm[1])))
        return
    rows = []
    for attempt in range(options.repeat):
        for clients in options.populations:
            with tempfile.TemporaryDirectory() as folder:
                arm = [str(clients), f"{folder}/run"]
                command = [sys.executable, __file__, "--rounds", str(options.rounds), "--arm", *arm]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            rows.append({"attempt": attempt, **json.loads(done.stdout.splitlines()[-1])})
            print(
                "{clients:>8,} clients  {seconds-a-round:6.2f} s a round  {peak-memory-mb:7.0f} MB  "
                "{study-seconds:5.1f} s in all".format(**rows[-1]),
                flush=True,
            )
    middle = {
        clients: {
            key: statistics.median(row[key] for row in rows if row["clients"] == clients)
            for key in ("seconds-a-round", "peak-memory-mb")
        }
        for clients in options.populations
    }
    first, last = (middle[clients] for clients in (options.populations[0], options.populations[-1]))
    for key in first:
        print(f"{key}: the largest population takes {last[key] / first[key]:.3f} of the smallest")
    write(options.out, rows=rows, median=middle)


if __name__ == "__main__":
    main()
