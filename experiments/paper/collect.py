"""Collect the results of run folders into records: one JSON file for each study file, in ``results/``.

python experiments/paper/collect.py runs/paper
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from cells import FILES, HERE, hash_of, name_of, paper
from check_names import CONTROL, modern

from fedrobust.runs.record import CardRecord
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.results import FILE, Results
from fedrobust.sweeps.sweep import Sweep

RESULTS = HERE / "results"

NOT_HERE = ("could not be downloaded", "no such file; searched")
"""Texts in a cell's error that mean that its weights or data are missing and cannot be downloaded."""


def collect(sweep: Sweep, folder: Path, into: Path = RESULTS) -> None:
    """Write the records of the cells of `sweep` that are finished so far.

    A cell that is unfinished in this folder keeps its finished record of the same settings and data.
    """
    # The folder of `rerun.py` has runs, but no list of failed cells.
    rows = Results.open(folder).rows() if (folder / FILE).is_file() else ()
    errors = {row.hash: row.error for row in rows}
    for file in FILES:
        known = {one["cell"]: one for one in read(file, into)}
        records = []
        for cell in (cell for cell in sweep.cells if cell.experiment.name == file):
            name, digest = name_of(cell.experiment), hash_of(cell)
            found = (
                record(name, cell, folder / "cells" / digest, errors.get(digest, ""))
                if digest
                else waiting(name, cell, "needs download")
            )
            records.append(kept(found, known.get(name), digest))
        text = ",\n".join(json.dumps(one, sort_keys=True) for one in sorted(records, key=lambda r: r["cell"]))
        into.mkdir(exist_ok=True)
        (into / f"{file}.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


def kept(found: dict[str, Any], known: dict[str, Any] | None, digest: str) -> dict[str, Any]:
    """Return the record of a cell: the one found, or the one known if only that has results.

    Args:
        found: in a run folder.
        known: the record so far.
        digest: the cell's hash; "" if its data are missing, so that changes cannot be detected.
    """
    if known is None or found["status"] == "finished":
        return found
    if known["status"] == "finished":
        return known if digest in ("", known["hash"]) else found
    return known if found["status"] == "not run" else found


def read(file: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the records of a study file, with present names of checks; none where it has not been run."""
    path = folder / f"{file}.json"
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for figures in (each for one in records for each in (one, one.get("student") or {})):
        if figures.get("audit"):
            figures["audit"] = modern(figures["audit"])
    return records


def waiting(name: str, cell: Cell, status: str) -> dict[str, Any]:
    """Return the record of a cell without results."""
    return {"cell": name, "status": status, **settings(cell)}


def settings(cell: Cell) -> dict[str, Any]:
    """Return the settings that tables are sorted by."""
    experiment = cell.experiment
    return {
        "dataset": experiment.data.name,
        "model": experiment.model.name,
        "weights": experiment.model.weights if experiment.model.weights in ("random", "imagenet") else "file",
        "seed": experiment.seed,
    }


def record(name: str, cell: Cell, folder: Path, error: str) -> dict[str, Any]:
    """Return the record of one cell from its run folder, or from its error."""
    path = folder / "result.json"
    if any(sign in error for sign in NOT_HERE):
        return waiting(name, cell, "needs download")
    if error:
        return {**waiting(name, cell, "failed"), "reason": error.strip().splitlines()[-1]}
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if result.get("status") != "finished":
        return waiting(name, cell, "not run")
    test = result["dataset"]["counts"]["test"]
    found = {
        **waiting(name, cell, "finished"),
        "hash": folder.name,
        "digest": result["model"]["digest"],
        "n": sum(test),
        "constant": max(test),
        "classes": len(test),
        "disease": result["dataset"]["disease"],
        **figures(result["model-evaluation"]),
        "audit": verdict(result["audit"]),
        "seconds": round(result["seconds"]),
        "environment": {
            key: result["environment"][key] for key in ("tensorflow", "keras", "numpy", "flwr", "processor")
        },
    }
    student = result["student"]
    if student is not None:
        found["student"] = {**figures(student), "audit": verdict(student.get("audit"))}
    return found


def figures(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of one model for its record; all but counts are rounded."""
    clean = evaluation["clean"]
    return {
        "clean": {
            "correct": clean["correct"],
            "predicted": clean["predicted"],
            "balanced": shortened(clean["balanced_accuracy"]),
            "balanced-interval": shortened(clean["interval"]["balanced_accuracy"]),
            "auc": shortened(clean["auc"]),
            "auc-interval": shortened(clean["interval"]["auc"]),
        },
        "fgsm": {
            epsilon: {"correct": metrics["correct"], "balanced": shortened(metrics["balanced_accuracy"])}
            for epsilon, metrics in evaluation["robust"].get("fgsm", {}).items()
        },
    }


def verdict(card: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the parts of an audit's card that tables show; None without an audit."""
    if card is None:
        return None
    found = CardRecord.read(card)
    assert found.standing is not None  # every audit measures both
    assert found.clean is not None
    return {
        "n": found.standing.n,
        "epsilon": found.threat.epsilon,
        "space": found.threat.space,
        "word": found.verdict.word,
        "deciding": list(found.verdict.deciding),
        "right": found.clean.correct,
        "standing": found.standing.correct,
        "pgd": {epsilon: metrics.correct for epsilon, metrics in found.robust.get("pgd", {}).items()},
        "failed": [check.check for check in found.checks if check.outcome == "failed"],
        "control": next(
            (check.outcome for check in found.checks if check.check == CONTROL), "not applicable"
        ),
    }


def shortened(value: Any) -> Any:
    """Return a number, or a list of them, with four decimals."""
    if isinstance(value, list | tuple):
        return [shortened(one) for one in value]
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    collect(paper(), Path(sys.argv[1]))
