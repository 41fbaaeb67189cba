"""The global models of some rounds, kept for attacks on privacy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.runs.folder import RunFolder
from fedrobust.runs.kept_rounds import KeptRounds
from server.callbacks.callback import FinishedRound


@dataclass(frozen=True, eq=False)
class KeptRound:
    """Write the global model of every n-th round and of the last.

    Attributes:
        folder: of the run.
        every: n; 0: none is written.
        rounds: number of the last round.
    """

    folder: RunFolder
    every: int
    rounds: int

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Write the file in those rounds; return no fields."""
        if self.every and (finished.number % self.every == 0 or finished.number == self.rounds):
            KeptRounds(self.folder).save(finished.number, finished.weights)
        return {}
