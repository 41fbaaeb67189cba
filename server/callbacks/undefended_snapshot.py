"""The global model before adversarial training begins: the control of its audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fedrobust.models.classifier import Classifier
from fedrobust.runs.folder import RunFolder
from server.callbacks.callback import FinishedRound

UNDEFENDED = "undefended.keras"
"""The file of a run that holds the global model of the last round before its recipe began, without a defence."""


@dataclass(frozen=True, eq=False)
class UndefendedSnapshot:
    """Write the global model of the last round before the recipe begins, without its prediction-time defence.

    Attributes:
        classifier: of the global model.
        folder: of the run.
        recipe_from: the round in which the recipe begins.
    """

    classifier: Classifier
    folder: RunFolder
    recipe_from: int

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Write the file in that round; return no fields."""
        if finished.number + 1 == self.recipe_from:
            # These weights' BatchNorm statistics are those of images without the defence.
            bare = self.classifier if self.classifier.defence is None else self.classifier.with_defence(None)
            self.folder.write_with(UNDEFENDED, partial(bare.save, finished.weights))
        return {}
