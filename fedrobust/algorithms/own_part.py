"""Base class of algorithms in which clients keep a personal part of the weights."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import State, Train
from fedrobust.models.layout import Layout, Weights


@dataclass(frozen=True, kw_only=True)
class OwnPart:
    """A client that trains from its own part and the rest of the global weights.

    An algorithm declares with `own` the trainable parameters that are a client's own, and with `own_statistics` whether
    the statistics are. They are the client's whole state.

    Attributes:
        average: True: clients also send their own part, whose aggregate is used only in the global model, which the
            server evaluates, selects and distils. False: it is not sent, and the global model keeps its initial part.
    """

    average: bool = True

    own_statistics: ClassVar[bool] = False

    def own(self, layout: Layout) -> np.ndarray:
        """Return the mask of a client's own trainable parameters, (parameters,) bool."""
        raise NotImplementedError

    def local(self, start: Weights, train: Train) -> Weights:
        """Return the weights after the local update."""
        return train(start)

    def client(self, start: Weights, state: State, train: Train) -> tuple[Weights, State]:
        """Return the weights that the client sends, and its own part as state."""
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
        """Return why the algorithm is not applicable: no own part, or no shared part; "" if it is."""
        own = self.own(layout)
        if not own.any():
            return "nothing of this model is a client's own"
        return "all that is trained is a client's own, and nothing is shared" if own.all() else ""
