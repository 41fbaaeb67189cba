"""Measure the time and memory of a local training step on this machine."""

import resource
import sys
import time
from dataclasses import dataclass

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.training.batches import draw_batches
from fedrobust.training.head_update import HeadUpdate
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.part_update import PartUpdate
from fedrobust.training.private_update import PrivateUpdate
from fedrobust.training.training_data import TrainingData


@dataclass(frozen=True)
class Calibration:
    """The measured cost of a trial step.

    Attributes:
        step_seconds: duration of one optimisation step on a full batch, after compilation.
        memory_bytes: peak memory of the process so far, including the trial step.
    """

    step_seconds: float
    memory_bytes: int


STEPS = 3
"""Timed together where a step is short."""

SHORT = 0.03
"""Seconds: a step that takes longer is timed alone, once."""


def calibrate(
    update: LocalUpdate | HeadUpdate | PartUpdate | PrivateUpdate, shard: Split, batch_size: int
) -> Calibration:
    """Run `update` on images of `shard` from arbitrary weights, and discard the result.

    The first step, which compiles, is not timed; the second one is, or some more where it is short. A shard smaller
    than a batch is repeated to a full batch.

    Args:
        update: a compiled local update.
        shard: images and labels.
        batch_size: images in a batch.
    """
    rows = np.resize(np.arange(len(shard)), batch_size)
    data = TrainingData.of(shard.images[rows], shard.labels[rows])
    layout = update.classifier.layout
    start = Weights(np.full(layout.parameters, 0.01, np.float32), np.ones(layout.statistics, np.float32))

    def step_seconds(steps: int) -> float:
        batches = draw_batches(np.arange(batch_size), steps, batch_size, np.random.default_rng(0))
        began = time.perf_counter()
        update(start, data, batches, np.zeros(steps, np.float32), seed=[0, 0])
        return (time.perf_counter() - began) / steps

    step_seconds(1)
    seconds = step_seconds(1)
    return Calibration(seconds if seconds > SHORT else step_seconds(STEPS), peak_memory())


def peak_memory() -> int:
    """Return the peak memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
