"""The worst-off client: the lowest expected accuracy of the global model under a client's class distribution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.epsilon import ascending
from fedrobust.runs.record import EvaluationRecord, WorstClientRecord
from server.callbacks.callback import FinishedRound


@dataclass(frozen=True, eq=False)
class WorstClient:
    """The lowest expected accuracy of any client.

    Attributes:
        mixes: (clients, classes) class distribution of each client's training images; None for populations that are
            drawn on demand.
    """

    mixes: np.ndarray | None

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `worst_client`, None for populations that are drawn on demand."""
        if finished.measured is None:
            return {}
        return {"worst_client": None if self.mixes is None else worst_clients(self.mixes, finished.measured)}


def worst_clients(mixes: np.ndarray, measured: EvaluationRecord) -> dict[str, WorstClientRecord]:
    """Return the client with the lowest expected accuracy, clean and at every attack's largest epsilon.

    The expected accuracy is the mean of the classes' recalls on the test split, weighted by the client's class
    distribution. Clients none of whose classes are there have none; without any other, the worst client is None.

    Args:
        mixes: (clients, classes), rows that sum to 1.
        measured: an evaluation, with the recall of each class.
    """
    last = {attack: ascending(curve)[-1] for attack, curve in measured.robust.items() if curve}
    assert measured.clean is not None  # called only for rounds with an evaluation
    tables = {
        "clean": measured.clean,
        **{f"{attack} {name}": metrics for attack, (name, metrics) in last.items()},
    }
    worst = {}
    for name, metrics in tables.items():
        recall = np.array([np.nan if value is None else value for value in metrics.recall])
        known = np.where(np.isnan(recall), 0.0, mixes)
        weight = known.sum(axis=1)
        measurable = np.flatnonzero(weight > 0)
        if not measurable.size:
            worst[name] = WorstClientRecord()
            continue
        expected = (np.nan_to_num(recall) @ known.T)[measurable] / weight[measurable]
        least = int(expected.argmin())
        worst[name] = WorstClientRecord(
            client=int(measurable[least]), accuracy=float(expected[least]), mean=float(expected.mean())
        )
    return worst
