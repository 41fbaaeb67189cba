"""What changes an aggregate before it is added to the weights: postprocessors, algorithm, server optimiser."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation import Memory, ServerOptimizer
from fedrobust.algorithms import Algorithm
from fedrobust.algorithms.contract import Received
from fedrobust.privacy import Counted, Postprocessor, at_server, changes_aggregates
from server.memories import memory_of, with_memory
from server.soundness import memory_fault, update_fault


@dataclass(frozen=True)
class AggregateChange:
    """The function from an aggregate to the change of the trainable weights.

    Attributes:
        postprocessors: come first.
        algorithm: its server side comes next.
        optimizer: the server optimiser comes last; None: there is none.
    """

    postprocessors: tuple[Postprocessor, ...]
    algorithm: Algorithm
    optimizer: ServerOptimizer | None

    @property
    def acts(self) -> bool:
        """Whether the change can differ from the aggregate."""
        return (
            self.optimizer is not None
            or changes_aggregates(self.postprocessors)
            or hasattr(self.algorithm, "server")
        )

    def __call__(
        self,
        round: int,
        update: np.ndarray,
        memory: Memory,
        received: Received,
        draw: np.random.Generator,
        taken: Counted,
    ) -> tuple[np.ndarray, Memory, str]:
        """Return the change of the trainable weights, the next state, and why both are unusable.

        Args:
            round: from 1.
            update: the aggregate.
            memory: the present state.
            received: what else the algorithm's server side takes.
            draw: random numbers of the postprocessors.
            taken: the updates that the aggregate is of.
        """
        # State must not be computed from values that are not finite.
        if self.acts and (fault := update_fault(update)):
            return np.zeros_like(update), memory, fault
        update, own = at_server(self.postprocessors, update, draw, taken, memory_of(memory, "privacy"))
        if own:
            memory = with_memory(memory, "privacy", own)
        if hasattr(self.algorithm, "server"):
            update, remembered = self.algorithm.server(update, memory_of(memory, "algorithm"), received)
            memory = with_memory(memory, "algorithm", remembered)
        if self.optimizer is not None:
            update, remembered = self.optimizer(update, memory_of(memory, "optimizer"), round)
            memory = with_memory(memory, "optimizer", remembered)
        return update, memory, memory_fault(memory)
