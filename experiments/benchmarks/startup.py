"""Where the time of a short run goes, part by part: imports, building, tracing, training, evaluation, saving.

    FEDROBUST_DATA=... python experiments/benchmarks/startup.py [--runs 3] [--network edge-cnn] [--other CHECKOUT]

The speed job of `breast_speed.py` in a process of its own for every run: seconds of the clock, and of the processor
(user and system, all threads), which mean something on a busy machine, too. With ``--other``, runs of another checkout
of this project alternate with this one's. The first run with an empty cache fills it: ``--cache off`` goes without.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]

STUDY = 'name = "speed"\n\n[data]\nname = "breastmnist"\n'

SETTINGS = (
    "model.weights=random",
    "model.image-size=32",
    "model.batchnorm-policy=average",
    "training.batch-size=32",
    "training.learning-rate=0.001",
    "training.schedule=constant",
    "federation.clients=10",
    "federation.rounds=3",
    "evaluation.every=3",
    "audit.enabled=false",
    "distillation.enabled=false",
    "export.enabled=false",
)

PARTS = (
    "imports before TensorFlow",
    "TensorFlow",
    "Flower, data, modules",
    "the model",
    "trial steps: trace, optimise",
    "training",
    "between and after rounds",
    "save, report",
    "exit",
)

Row = dict[str, tuple[float, float]]
"""Part -> seconds of the clock and of the processor."""


def measured(folder: str, overrides: list[str]) -> None:
    """Run the speed job in this process and print when each part ended."""
    began, laps = time.perf_counter() - time.process_time(), []

    def lap(part: str) -> None:
        laps.append((part, time.perf_counter() - began, time.process_time()))

    from fedrobust import api, runtime
    from fedrobust.runs.events import (
        ClientReplied,
        Event,
        ForecastMade,
        RoundStarted,
        StageStarted,
        StudyStarted,
    )

    def heard(event: Event) -> None:
        match event:
            case StageStarted("starting TensorFlow"):
                lap(PARTS[0])
            case StageStarted("loading the data"):
                lap(PARTS[2])
            case StudyStarted():
                lap(PARTS[3])
            case ForecastMade():
                lap(PARTS[4])
            case ClientReplied():
                lap(PARTS[5])
            case RoundStarted() | StageStarted("measuring the global model"):
                lap(PARTS[6])

    runtime.claim_process()
    # `simulate` has taken the name over from its module.
    simulate: Any = sys.modules["fedrobust.engines.simulate"]
    start = simulate.start_tensorflow

    def started(workers: int) -> Any:
        tensorflow = start(workers)
        lap(PARTS[1])
        return tensorflow

    simulate.start_tensorflow = started
    study = Path(f"{folder}.toml")
    study.write_text(STUDY, encoding="utf-8")
    api.run(api.experiment(study, [*SETTINGS, *overrides]), heard, out=folder)
    lap(PARTS[7])
    parts: Row = dict.fromkeys(PARTS, (0.0, 0.0))
    before = (0.0, 0.0)
    for part, *now in laps:
        clock, processor = parts[part]
        parts[part] = clock + now[0] - before[0], processor + now[1] - before[1]
        before = (now[0], now[1])
    print("PARTS", json.dumps(parts), flush=True)


def one_run(checkout: Path, overrides: list[str]) -> Row:
    """Return the parts of a run of the speed job with the code in `checkout`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--inside", f"{folder}/run"]
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*command, *(word for each in overrides for word in ("--set", each))],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
        clock, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    told = [line for line in done.stdout.splitlines() if line.startswith("PARTS ")]
    if done.returncode or not told:
        sys.exit(f"{checkout}: the run failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    parts: Row = {part: (each[0], each[1]) for part, each in json.loads(told[0][6:]).items()}
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    known = [sum(each[place] for each in parts.values()) for place in (0, 1)]
    parts["exit"] = clock - known[0], processor - known[1]
    return {**parts, "all": (clock, processor)}


def show(name: str, runs: list[Row]) -> None:
    """Print the median of every part over `runs`."""
    print(f"\n{name}: median of {len(runs)} runs, seconds of the clock and of the processor")
    for part in runs[0]:
        clock, processor = (statistics.median(run[part][place] for run in runs) for place in (0, 1))
        print(f"  {part:<30} {clock:7.2f} {processor:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--network", default="mobilenetv2")
    parser.add_argument("--other", type=Path, help="checkout whose runs alternate with this one's")
    parser.add_argument("--cache", default="", help="FEDROBUST_GRAPH_CACHE of the runs")
    parser.add_argument("--set", action="append", default=[], help="further settings of the study")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measured(options.inside, options.set)
        return
    if options.cache:
        os.environ["FEDROBUST_GRAPH_CACHE"] = options.cache
    overrides = [f"model.name={options.network}", *options.set]
    checkouts = [PROJECT, *([options.other.resolve()] if options.other else [])]
    rows: dict[Path, list[Row]] = {checkout: [] for checkout in checkouts}
    for number in range(options.runs):
        for checkout in checkouts if number % 2 == 0 else checkouts[::-1]:
            rows[checkout].append(one_run(checkout, overrides))
            clock, processor = rows[checkout][-1]["all"]
            print(f"run {number + 1}  {checkout}  {clock:6.1f} s  {processor:6.1f} CPU s", flush=True)
    for checkout, runs in rows.items():
        show(str(checkout), runs)
    if options.other:
        for place, unit in ((0, "clock"), (1, "processor")):
            ratios = [
                mine["all"][place] / other["all"][place]
                for mine, other in zip(*(rows[each] for each in checkouts), strict=True)
            ]
            print(f"{unit}: this checkout needs {statistics.median(ratios):.2f} of the other's seconds")


if __name__ == "__main__":
    main()
