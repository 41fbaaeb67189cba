"""What is kept of the cells: one JSON file a data set, in ``results/``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cells import Place

from fedrobust.runs.record import MetricsRecord, RunRecord
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.results import record_in

RESULTS = Path(__file__).parent / "results"

Record = dict[str, Any]


def record(place: Place, cell: Cell, run: RunRecord) -> Record:
    """Return what is kept of a finished cell; ``robust`` are the scores of each audited image's worst case."""
    card = run.audit
    assert card is not None
    assert card.clean is not None
    assert card.attacked is not None
    assert run.model_evaluation is not None
    assert run.model_evaluation.clean is not None
    return {
        "data": place.data,
        "division": place.division,
        "defence": place.defence,
        "seed": place.seed,
        "hash": cell.hash,
        "network": cell.experiment.model.name,
        "rounds": len(run.rounds),
        "epsilon": card.threat.epsilon,
        "effort": card.settings.effort,
        "images": card.data.n,
        "test": scores(run.model_evaluation.clean),
        "clean": scores(card.clean),
        "robust": scores(card.attacked),
        "verdict": card.verdict.word,
        "training-seconds": sum(one.training_seconds or 0.0 for one in run.rounds),
        "audit-seconds": card.cost.seconds if card.cost else None,
    }


def scores(metrics: MetricsRecord) -> dict[str, float | None]:
    """Return balanced accuracy, with its interval, the recall of the worst class, and AUC."""
    recalls = [value for value in metrics.recall if value is not None]
    interval = metrics.interval.balanced_accuracy
    return {
        "balanced": metrics.balanced_accuracy,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "worst-class": min(recalls, default=None),
        "auc": metrics.auc,
    }


def key(one: Record) -> tuple[str, ...]:
    """Return what tells a record from others: its place and its protocol."""
    names = ("network", "division", "defence", "seed", "rounds", "epsilon", "effort", "images")
    return tuple(str(one[name]) for name in names)


def read(data: str) -> list[Record]:
    """Return the records of a data set so far."""
    file = RESULTS / f"{data.removesuffix('.npz')}.json"
    found: list[Record] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return found


def unfinished(found: Mapping[Place, Cell]) -> dict[Place, Cell]:
    """Return the cells that no record is of: of their place, and of a study with the same settings."""
    known = {
        (one["data"], one["division"], one["defence"], one["seed"], one["hash"])
        for data in dict.fromkeys(place.data for place in found)
        for one in read(data)
    }
    return {
        place: cell
        for place, cell in found.items()
        if (place.data, place.division, place.defence, place.seed, cell.hash) not in known
    }


def collect(found: Mapping[Place, Cell], folder: Path) -> None:
    """Write down what came out of the cells; one that this folder has not finished keeps the record that it has."""
    for data in dict.fromkeys(place.data for place in found):
        known = {key(one): one for one in read(data)}
        for place, cell in found.items():
            run = record_in(folder / "cells" / cell.hash)
            if place.data == data and run is not None and run.status == "finished":
                new = record(place, cell, run)
                known[key(new)] = new
        if not known:
            continue
        lines = [json.dumps(known[one], sort_keys=True) for one in sorted(known)]
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{data.removesuffix('.npz')}.json"
        file.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
