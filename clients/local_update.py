"""The local update as a federated algorithm calls it: bound to one client's images and to a round."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.algorithms import State
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Layout, Weights
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.steering import Steering

SUMMED = ("examples", "steps", "seconds")
"""Metrics that add up over the calls of a round; of the others the last call's count."""


@dataclass(eq=False)
class LocalUpdateOfRound:
    """A client's local update in a round; see `fedrobust.algorithms.Train`.

    Attributes:
        training: what a client does with its images.
        shard: the images.
        client: whose draws are used.
        round: from 1.
        layout: of the model's weights.
        told: what the server sends beside the weights.
        changed: settings of ``[training]`` that a malicious client changes.
        metrics: of the calls so far.
    """

    training: LocalTraining
    shard: Split
    client: int
    round: int
    layout: Layout
    told: State = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self,
        start: Weights,
        correction: np.ndarray | None = None,
        pull: float = 0.0,
        trained: np.ndarray | None = None,
        epochs: int | None = None,
    ) -> Any:
        """Return the weights after training from `start`."""
        changed = self.changed if epochs is None else {**self.changed, "epochs": epochs}
        steers = correction is not None or pull or trained is not None
        steering = Steering(correction, pull, trained) if steers else None
        after, metrics = self.training(self.shard, start, self.round, self.client, changed, steering)
        before = {name: self.metrics[name] for name in SUMMED if name in self.metrics}
        self.metrics = {**metrics, **{name: metrics[name] + value for name, value in before.items()}}
        return after
