"""An exponential moving average of the global weights, which is evaluated in place of each round's."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation import Memory
from fedrobust.models.layout import Weights
from server.memories import memory_of, with_memory

WHOSE = "average"
"""Prefix of the average in the state of rules and server optimisers."""


@dataclass(frozen=True)
class WeightAverage:
    """The exponential moving average of global weights over rounds (Polyak and Juditsky, 1992).

    Clients train from the last round's weights, not from the average.

    After r rounds the decay is min(decay, r / (r + 9)), as in TensorFlow's moving averages, so that the first round's
    weights soon lose their influence.

    BatchNorm statistics are averaged like weights. They then belong to no model's weights, as those of averaged
    clients: where the server recalibrates (`model.batchnorm-policy`), it measures those of the average anew.

    Attributes:
        decay: weight of the previous average, in (0, 1).

    Example:
        >>> ones = Weights(np.ones(1, np.float32), np.zeros(0, np.float32))
        >>> average, memory = WeightAverage(0.5).after(ones, {})
        >>> average, memory = WeightAverage(0.5).after(Weights(3 * ones.trainable, ones.statistics), memory)
        >>> round(float(average.trainable[0]), 3)
        2.8
    """

    decay: float

    def after(self, weights: Weights, memory: Memory) -> tuple[Weights, Memory]:
        """Return the average updated by `weights`, and `memory` with it."""
        before = memory_of(memory, WHOSE)
        rounds = int(before["rounds"]) if before else 0
        average = weights
        if before:
            kept = min(self.decay, rounds / (rounds + 9))
            average = Weights(
                _blend(before["trainable"], weights.trainable, kept),
                _blend(before["statistics"], weights.statistics, kept),
            )
        remembered = {
            "trainable": average.trainable,
            "statistics": average.statistics,
            "rounds": np.array(rounds + 1),
        }
        return average, with_memory(memory, WHOSE, remembered)

    def of(self, memory: Memory, weights: Weights) -> Weights:
        """Return the average in `memory`, `weights` if there is none yet."""
        held = memory_of(memory, WHOSE)
        return Weights(held["trainable"], held["statistics"]) if held else weights


def _blend(old: np.ndarray, new: np.ndarray, kept: float) -> np.ndarray:
    return np.asarray(old + np.float32(1.0 - kept) * (new - old), np.float32)
