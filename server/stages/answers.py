"""The clean logits of one model."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedrobust.data.dataset import Dataset
from fedrobust.memoize import part
from fedrobust.models.layout import Weights


@dataclass(frozen=True, eq=False)
class Answers:
    """The clean logits of one model on the splits, each computed on first use.

    Attributes:
        clean_logits: function from weights and stored images to logits.
        dataset: the splits.
        weights: of the model.
    """

    clean_logits: Callable[[Weights, np.ndarray], np.ndarray]
    dataset: Dataset
    weights: Weights

    @part
    def test(self) -> np.ndarray:
        """Logits (n, classes) of the test split."""
        return self.clean_logits(self.weights, self.dataset.test.images)

    @part
    def validation(self) -> np.ndarray:
        """Logits (n, classes) of the validation split."""
        return self.clean_logits(self.weights, self.dataset.validation.images)
