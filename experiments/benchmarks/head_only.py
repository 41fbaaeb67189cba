"""Training the head alone, on features that are computed once: what a round costs, and what the model loses.

    FEDROBUST_DATA=... python experiments/benchmarks/head_only.py [--seeds 3] [--parts speed clients rounds auc]

MobileNetV2 from ImageNet weights. `speed`: a round of BreastMNIST and of PneumoniaMNIST over ten clients, all layers
and the head alone, on the same data with the same batches. `clients`: a round of 1,000 clients of PneumoniaMNIST.
`rounds`: 100 clients over 100 rounds, from the call to the finished run. `auc`: the test AUC of both, over seeds. A
round is what lies between two messages to all clients: training, aggregation, the checks of the new model, its
checkpoint. CPU seconds are those of all threads, and mean something on a busy machine, too.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

import fedrobust  # noqa: E402
from fedrobust.runs.events import Event, RoundStarted  # noqa: E402

COMMON = {
    "model__weights": "imagenet",
    "evaluation__attacks": [],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}
ALL = {"training__layers": "all"}
HEAD = {"training__layers": "head"}
FEWER_EVALUATIONS = {"evaluation__every": 1000}


class Clock:
    """Notes the clock's and the processor's time at the beginning of every round."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def __call__(self, event: Event) -> None:
        """Note the beginning of a round."""
        if isinstance(event, RoundStarted):
            self.seen.append((time.perf_counter(), time.process_time()))

    def round(self) -> tuple[float, float]:
        """Return the median wall and CPU seconds of the rounds after the first, which compiles, and before the last."""
        pairs = list(zip(self.seen[1:-1], self.seen[2:], strict=True))
        return (
            statistics.median(after[0] - before[0] for before, after in pairs),
            statistics.median(after[1] - before[1] for before, after in pairs),
        )


def run(*listeners: Any, **settings: Any) -> Any:
    """Return the record of a study in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        study = fedrobust.Experiment.of(output__root=folder, **{**COMMON, **settings})
        return fedrobust.run(study, *listeners).record


def timed(**settings: Any) -> tuple[float, float]:
    """Return the wall and CPU seconds of a round of a study."""
    clock = Clock()
    run(clock, **settings, **FEWER_EVALUATIONS)
    return clock.round()


def speed() -> list[dict[str, Any]]:
    """Return what a round of ten clients costs, with all layers and with the head alone."""
    rows = []
    for name in ("breastmnist", "pneumoniamnist"):
        whole = timed(data__name=name, federation__rounds=4, **ALL)
        head = timed(data__name=name, federation__rounds=12, **HEAD)
        ratio = [round(a / b, 1) for a, b in zip(whole, head, strict=True)]
        rows.append({"data": name, "all": whole, "head": head, "times as fast (wall, CPU)": ratio})
    return rows


def clients() -> list[dict[str, Any]]:
    """Return how many clients a second a round of 1,000 trains."""
    wall, cpu = timed(data__name="pneumoniamnist", federation__clients=1000, federation__rounds=20, **HEAD)
    return [
        {
            "clients": 1000,
            "round (wall, CPU)": (wall, cpu),
            "clients a second": round(1000 / wall),
            "clients a CPU second": round(1000 / cpu),
        }
    ]


def rounds() -> list[dict[str, Any]]:
    """Return what 100 clients over 100 rounds cost, evaluated after every tenth."""
    began, before = time.perf_counter(), time.process_time()
    clock = Clock()
    found = run(
        clock,
        data__name="pneumoniamnist",
        federation__clients=100,
        federation__rounds=100,
        evaluation__every=10,
        **HEAD,
    )
    return [
        {
            "clients x rounds": "100 x 100",
            "wall seconds": time.perf_counter() - began,
            "CPU seconds": time.process_time() - before,
            "of these in rounds (wall)": clock.seen[-1][0] - clock.seen[0][0],
            "AUC": found.model_evaluation.clean.auc,
        }
    ]


STUDIES: dict[str, dict[str, Any]] = {
    "breast": {"training__learning_rate": 0.003, "training__epochs": 5, "federation__rounds": 20},
    "pneumonia": {"training__learning_rate": 0.003, "training__epochs": 5, "federation__rounds": 20},
}
"""The head's own training for a shipped study: it takes larger steps, and more of them cost nothing."""


def auc(seeds: int) -> list[dict[str, Any]]:
    """Return the test AUC of the shipped studies, with all layers as they are shipped and with the head alone."""
    rows = []
    for study, own in STUDIES.items():
        arms = {
            "all, as shipped": ALL,
            "head": {**HEAD, **own},
            "head, 128 px": {**HEAD, **own, "model__image_size": 128},
        }
        for arm, settings in arms.items():
            measured = []
            for seed in range(seeds):
                with tempfile.TemporaryDirectory() as folder:
                    found: Any = fedrobust.run(
                        str(PROJECT / "experiments" / f"{study}.toml"),
                        output__root=folder,
                        seed=seed,
                        **{**COMMON, **settings},
                    ).record
                measured.append(found.model_evaluation.clean)
            rows.append(
                {
                    "study": study,
                    "arm": arm,
                    "AUC": [round(one.auc, 4) for one in measured],
                    "mean AUC": round(statistics.mean(one.auc for one in measured), 4),
                    "mean balanced accuracy": round(
                        statistics.mean(one.balanced_accuracy for one in measured), 4
                    ),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["speed", "clients", "rounds", "auc"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("head_only.json"))
    options = parser.parse_args()
    found: dict[str, Any] = {"cores": os.cpu_count()}
    for name in options.parts:
        found[name] = (
            auc(options.seeds)
            if name == "auc"
            else {"speed": speed, "clients": clients, "rounds": rounds}[name]()
        )
        print(name, json.dumps(found[name], indent=1), flush=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
