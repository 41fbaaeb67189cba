"""The worst-off client: the one whose class mix the global model serves worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.runs.record import EvaluationRecord, WorstClientRecord
from server.callbacks.callback import FinishedRound


@dataclass(frozen=True, eq=False)
class WorstClient:
    """The lowest expected accuracy of any client.

    Attributes:
        mixes: (clients, classes) share of each class among each client's training images; None for populations that are
            drawn on demand.
    """

    mixes: np.ndarray | None

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `worst_client`, None for populations that are drawn on demand."""
        if finished.measured is None:
            return {}
        return {"worst_client": None if self.mixes is None else worst_clients(self.mixes, finished.measured)}


def class_counts(labels: np.ndarray, shards: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Return how many training images of each class each client has, (clients, classes) float64."""
    return np.array([np.bincount(labels[shard], minlength=classes) for shard in shards], np.float64)


def worst_clients(mixes: np.ndarray, measured: EvaluationRecord) -> dict[str, WorstClientRecord]:
    """Return the client whose class mix the model serves worst, clean and at every attack's largest epsilon.

    A client's figure is the recall of each class on the test split, weighted by its share of the client's training
    images: the accuracy that it may expect among its own patients, if they come as they came.

    Args:
        mixes: (clients, classes), rows that sum to 1.
        measured: an evaluation, with the recall of each class.
    """
    last = {attack: list(curve.items())[-1] for attack, curve in measured.robust.items() if curve}
    assert measured.clean is not None  # only rounds with an evaluation are asked about
    tables = {
        "clean": measured.clean,
        **{f"{attack} {name}": metrics for attack, (name, metrics) in last.items()},
    }
    worst = {}
    for name, metrics in tables.items():
        recall = np.array([np.nan if value is None else value for value in metrics.recall])
        known = np.where(np.isnan(recall), 0.0, mixes)
        weight = known.sum(axis=1)
        expected = np.divide(
            np.nan_to_num(recall) @ known.T, weight, out=np.ones_like(weight), where=weight > 0
        )
        client = int(expected.argmin())
        worst[name] = WorstClientRecord(
            client=client, accuracy=float(expected[client]), mean=float(expected.mean())
        )
    return worst
