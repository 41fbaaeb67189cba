"""``result.json`` while a study is under way."""

import time
from typing import Any

import numpy as np

from fedrobust.data.dataset import Dataset
from fedrobust.models.layout import Layout
from fedrobust.runs.events import RoundFinished, emit
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import SCHEMA


class Recorder:
    """Collects what a study finds, and writes it.

    Args:
        name: of the study.
        settings: of the study, as nested plain data.
        remarks: what a user should know before the first round.

    Attributes:
        result: what ``result.json`` holds.
        saved: the last round that a checkpoint was written of.
    """

    def __init__(self, name: str, settings: dict[str, Any], remarks: list[str]):
        self.started = time.perf_counter()
        self.saved = 0
        self.result: dict[str, Any] = {
            "schema": SCHEMA,
            "status": "running",
            "error": None,
            "name": name,
            "experiment": settings,
            "rounds": [],
            "resumed-after": [],
            "tolerance": None,
            "remarks": remarks,
            "audit": None,
            "student": None,
            "export": [],
            "seconds": 0.0,
        }

    @property
    def seconds(self) -> float:
        """Seconds that the study has taken, those before it was resumed included."""
        return time.perf_counter() - self.started

    def go_on(self, before: dict[str, Any], round: int) -> None:
        """Go on from the record of an earlier process, which ended after `round`."""
        now = self.result["environment"]
        self.started -= before["seconds"]
        self.result = {**before, "status": "running", "error": None, "environment": now}
        self.result["resumed-after"] = [*before["resumed-after"], round]

    def add_round(self, entry: dict[str, Any]) -> None:
        """Add the record of a round."""
        self.result["rounds"].append(entry)
        self.result["seconds"] = self.seconds

    def tell_round(self, folder: RunFolder, entry: dict[str, Any]) -> None:
        """Write a round's line and tell the listeners."""
        folder.append_line("metrics.jsonl", entry)
        emit(RoundFinished(entry))

    def note_status(self, folder: RunFolder, status: str, error: str | None = None) -> None:
        """Write ``result.json``."""
        self.result.update(status=status, error=error, seconds=self.seconds)
        # What made a study fail may stand in its record, and must not keep it from being written.
        write = folder.write_json if status == "finished" else folder.write_whatever
        write("result.json", self.result)


def described(dataset: Dataset) -> dict[str, Any]:
    """Return the data set's entry in ``result.json``."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        "name": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "digest": dataset.digest,
        "task": dataset.task,
        "labels": list(dataset.label_names),
        "disease": list(dataset.disease),
        "image-shape": list(dataset.image_shape),
        "samples": {name: len(split.labels) for name, split in splits.items()},
        "counts": {
            name: np.bincount(split.labels, minlength=dataset.classes).tolist()
            for name, split in splits.items()
        },
    }


def described_model(name: str, layout: Layout, weights: str, image_size: int) -> dict[str, Any]:
    """Return the global model's entry in ``result.json``."""
    return {
        "name": name,
        "parameters": layout.parameters,
        "weights": weights,
        "image-size": image_size,
        "selected-round": None,
    }
