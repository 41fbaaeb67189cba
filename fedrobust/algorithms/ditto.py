"""Ditto: a personal model beside the global one."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, State, Train
from fedrobust.bounds import Positive
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("ditto")
@dataclass(frozen=True, kw_only=True)
class Ditto:
    """Train a personal model that is regularised towards the global one (Li et al., 2020, arXiv:2012.04221, Alg. 1).

    A client trains the global weights as in federated averaging, and sends them. It also trains a personal model v,
    which it does not send, on its loss plus strength / 2 ||v - w_global||^2. Training takes twice as long.

    Malicious clients affect a personal model only through this term. With a small strength the personal model is close
    to a local one, and hardly poisoned; with a large strength it is close to the global model. The paper shows that
    this can be fairer and more robust than a robust rule; here both can be combined.

    Attributes:
        strength: lambda, weight of half the squared distance between personal and global model.
    """

    strength: Positive = 0.1

    steered: ClassVar[bool] = True
    own_statistics: ClassVar[bool] = True

    def client(self, start: Weights, state: State, train: Train) -> tuple[Weights, State]:
        """Return the trained global weights, and the personal model."""
        own = self.personal(start, state, train.layout)
        # The gradient of the term at v is strength (v - own), added by `pull`, plus strength (own - start).
        apart = np.float32(self.strength) * (own.trainable - start.trainable)
        mine = train(own, correction=apart, pull=self.strength)
        trained = train(start)
        kept = {"trainable": mine.trainable, "statistics": mine.statistics}
        return Weights(trained.trainable, trained.statistics), kept

    def passes(self, epochs: int) -> int:
        """Return the passes of both models."""
        return 2 * epochs

    def personal(self, weights: Weights, state: State, layout: Layout) -> Weights:
        """Return the personal model; the global one if there is none yet."""
        return Weights(state["trainable"], state["statistics"]) if state else weights
