"""Weights of which a client keeps a part for itself."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import State, Train
from fedrobust.models.layout import Layout, Weights


@dataclass(frozen=True, kw_only=True)
class OwnPart:
    """A client that goes on from its own part and the rest of the global weights.

    An algorithm says with `own` which trainable numbers are a client's own, and with `own_statistics` whether the
    statistics are. They are all of the client's state.

    Attributes:
        average: True: clients send their own part, too, and its aggregate serves the global model alone, by which the
            server evaluates, selects and distils; no client reads it. False: it stays with the client, and the global
            model keeps the part that it began with.
    """

    average: bool = True

    own_statistics: ClassVar[bool] = False

    def own(self, layout: Layout) -> np.ndarray:
        """Return which trainable numbers are a client's own, (parameters,) bool."""
        raise NotImplementedError

    def local(self, start: Weights, train: Train) -> Weights:
        """Return the weights after the local update."""
        return train(start)

    def client(self, start: Weights, state: State, train: Train) -> tuple[Weights, State]:
        """Return what the client sends, and its own part."""
        own = self.own(train.layout)
        trained = self.local(self.personal(start, state, train.layout), train)
        kept = {"trainable": trained.trainable[own]}
        if self.own_statistics:
            kept["statistics"] = trained.statistics
        if self.average:
            return Weights(trained.trainable, trained.statistics), kept
        statistics = start.statistics if self.own_statistics else trained.statistics
        return Weights(np.where(own, start.trainable, trained.trainable), statistics), kept

    def personal(self, weights: Weights, state: State, layout: Layout) -> Weights:
        """Return `weights` with the client's own part, once it has one."""
        if not state:
            return weights
        trainable = weights.trainable.copy()
        trainable[self.own(layout)] = state["trainable"]
        return Weights(trainable, state["statistics"] if self.own_statistics else weights.statistics)

    def fault(self, layout: Layout) -> str:
        """Return why there is no own part, or nothing else."""
        own = self.own(layout)
        if not own.any():
            return "nothing of this model is a client's own"
        return "all that is trained is a client's own, and nothing is shared" if own.all() else ""
