"""The course of one local update: batches, learning rates, class weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fedrobust.training.batches import Batches


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches, learning rates and class weights of a client's local update.

    Attributes:
        batches: the images of each batch.
        learning_rates: (steps,) float32.
        progress: (steps,) float32, share of the training with the recipe that is over.
        class_weights: (classes,) factors of the loss by label; None: 1.
        prior: (classes,) shares of its images with each class or finding.
        noise: noise multiplier and expected batch size of DP-SGD; empty without.
    """

    batches: Batches
    learning_rates: np.ndarray
    progress: np.ndarray
    class_weights: np.ndarray | None
    prior: np.ndarray
    noise: Mapping[str, float] = field(default_factory=dict)
