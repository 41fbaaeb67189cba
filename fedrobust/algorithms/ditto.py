"""A personal model beside the global one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, State, Train
from fedrobust.bounds import Positive
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("ditto")
@dataclass(frozen=True, kw_only=True)
class Ditto:
    """Train a personal model that is pulled towards the global one (Li et al., 2020, arXiv:2012.04221, Algorithm 1).

    A client trains the global weights as in federated averaging, and sends them. Beside it trains a model v of its own,
    which never leaves it, on its loss plus strength / 2 ||v - w_global||^2. Training takes twice as long.

    Malicious clients: they reach a personal model only through that pull. With a small strength it is near a model of
    the client's own images alone, and hardly poisoned; with a large one, near the global model. The paper shows that
    such a choice can be fairer and more robust than a robust rule; here both can be had together.

    Attributes:
        strength: lambda, weight of half the squared distance between personal and global model.
    """

    strength: Positive = 0.1

    steered: ClassVar[bool] = True

    def client(self, start: Weights, state: State, train: Train) -> tuple[Weights, State]:
        """Return the trained global weights, and the personal model."""
        own = self.personal(start, state, train.layout)
        # The gradient of the distance at v is strength (v - own), which `pull` adds, plus strength (own - start).
        apart = np.float32(self.strength) * (own.trainable - start.trainable)
        mine = train(own, correction=apart, pull=self.strength)
        trained = train(start)
        kept = {"trainable": mine.trainable, "statistics": mine.statistics}
        return Weights(trained.trainable, trained.statistics), kept

    def passes(self, epochs: int) -> int:
        """Return the passes of both models."""
        return 2 * epochs

    def personal(self, weights: Weights, state: State, layout: Layout) -> Weights:
        """Return the personal model; the global one where there is none yet."""
        return Weights(state["trainable"], state["statistics"]) if state else weights
