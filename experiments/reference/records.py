"""What is kept of the cells: one JSON file a data set, in ``results/``."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cells import Place

from fedrobust.runs.record import ClientComparisonRecord, MetricsRecord, RunRecord
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.results import record_in

RESULTS = Path(__file__).parent / "results"

SCORES = ("accuracy", "balanced_accuracy", "auc")

Record = dict[str, Any]


def record(place: Place, digest: str, run: RunRecord) -> Record:
    """Return what is kept of a finished cell."""
    assert run.model_evaluation is not None
    assert run.model_evaluation.clean is not None
    clean, compared = run.model_evaluation.clean, run.clients.clients if run.clients else ()
    worst = next((one.worst_client for one in reversed(run.rounds) if one.worst_client), None)
    return {
        "data": place.data,
        "partition": place.partition,
        "method": place.method,
        "seed": place.seed,
        "hash": digest,
        "images": clean.n,
        "majority": clean.majority_rate,
        "classes": len(run.dataset.labels) if run.dataset else None,
        "global": scores(clean),
        "central": scores(run.central) if run.central else None,
        "personal": mean(compared, "personal"),
        "local": mean(compared, "local"),
        "worst-client": worst["clean"].accuracy if worst else None,
        "worse": len(run.clients.worse) if run.clients and mean(compared, "local") else None,
        "training-seconds": sum(one.training_seconds or 0.0 for one in run.rounds),
        "seconds": run.seconds,
    }


def scores(metrics: MetricsRecord) -> dict[str, float | None]:
    """Return accuracy, balanced accuracy and AUC."""
    return {name: getattr(metrics, name) for name in SCORES}


def mean(compared: Iterable[ClientComparisonRecord], model: str) -> dict[str, float] | None:
    """Return the scores of the clients' own models, means over clients; None where there are none."""
    found = [one for each in compared if (one := getattr(each, model)) is not None]
    if not found:
        return None
    values = {name: [value for one in found if (value := getattr(one, name)) is not None] for name in SCORES}
    return {name: sum(each) / len(each) for name, each in values.items() if each}


def read(data: str) -> list[Record]:
    """Return the records of a data set so far."""
    file = RESULTS / f"{data.removesuffix('.npz')}.json"
    found: list[Record] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return found


def collect(found: Mapping[Place, Cell], folder: Path) -> None:
    """Write down what came out of the cells; one that this folder has not finished keeps the record that it has."""
    for data in dict.fromkeys(place.data for place in found):
        known = {Place(data, one["partition"], one["method"], one["seed"]): one for one in read(data)}
        for place, cell in found.items():
            run = record_in(folder / "cells" / cell.hash)
            if place.data == data and run is not None and run.status == "finished":
                known[place] = record(place, cell.hash, run)
        if not known:
            continue
        lines = [
            json.dumps(known[place], sort_keys=True) for place in sorted(known, key=lambda one: one.name)
        ]
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{data.removesuffix('.npz')}.json"
        file.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
