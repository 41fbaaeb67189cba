"""What the server takes in place of each update that arrives, by the study's privacy mechanism."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedrobust.aggregation import Memory
from fedrobust.models.layout import Weights
from fedrobust.privacy import Counted, Postprocessor, looks_at_replies, on_arrival, promise_of
from server.memories import memory_of


@dataclass(eq=False)
class Arrival:
    """The clipping of a round's updates, and the number of those that it left as they were.

    Attributes:
        postprocessors: of the study.
        memory: the server's state after the last accepted round.
        counted: the updates taken so far.
    """

    postprocessors: Sequence[Postprocessor] = ()
    memory: Memory = field(default_factory=dict)
    counted: Counted = field(default_factory=lambda: Counted(0))

    @property
    def acts(self) -> bool:
        """Whether updates are changed at all."""
        return looks_at_replies(self.postprocessors)

    def one(self, update: np.ndarray) -> np.ndarray:
        """Return what is taken in place of one `update` (d,)."""
        taken, unchanged = on_arrival(self.postprocessors, update, memory_of(self.memory, "privacy"))
        self.counted = Counted(self.counted.replies + 1, self.counted.unchanged + unchanged)
        return taken

    def matrix(self, updates: np.ndarray) -> np.ndarray:
        """Return what is taken in place of the rows of `updates` (n, d), counted anew."""
        self.counted = Counted(0)
        return np.stack([self.one(row) for row in updates])

    def sent(self, weights: Weights, current: Weights) -> Weights:
        """Return what is taken in place of a client's `weights`; with a promise not its BatchNorm statistics.

        The clients of a mean are added to it one by one; a matrix of updates is clipped when the rows of colluding
        clients are known, too.
        """
        if promise_of(self.postprocessors) is None:
            return weights
        rest = weights.statistics[len(current.statistics) :]
        return replace(weights, statistics=np.concatenate([current.statistics, rest]))
