"""A malicious client's local update whose course its attack decides."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedrobust.algorithms import State
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Layout, Weights
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.study.local_training import LocalRound


@dataclass(frozen=True, eq=False)
class GuidedRound:
    """The local update of an attack with ``train``, in the place of that of an honest client.

    The federated algorithm calls it as `fedrobust.algorithms.Train`; its corrections, proximal term, mask and number of
    passes apply to every local update that the attack makes.

    Attributes:
        inner: the local update on poisoned images.
        attack: the study's.
        context: the client's knowledge in this round.
    """

    inner: LocalRound
    attack: Attack
    context: AttackContext

    @property
    def layout(self) -> Layout:
        """Layout of the model's weights."""
        return self.inner.layout

    @property
    def round(self) -> int:
        """Number of the round, from 1."""
        return self.inner.round

    @property
    def broadcast(self) -> State:
        """The server's arrays beside the weights."""
        return self.inner.broadcast

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Of the calls so far."""
        return self.inner.metrics

    def __call__(
        self,
        start: Weights,
        correction: np.ndarray | None = None,
        pull: float = 0.0,
        trained: np.ndarray | None = None,
        epochs: int | None = None,
    ) -> Any:
        """Return the weights that the attack makes of `start`; for the arguments see `fedrobust.algorithms.Train`."""
        passes = epochs

        def update(
            weights: Weights,
            split: Split,
            trained: np.ndarray | None = trained,
            epochs: int | None = None,
            **changed: Any,
        ) -> Any:
            return self.inner(
                weights, correction, pull, both(mask, trained), epochs or passes, split, changed
            )

        mask = trained
        tools = replace(self.context.tools, update=update)
        return self.attack.train(start, replace(self.context, tools=tools))


def both(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Return the mask of what is in two masks; None stands for everything.

    Example:
        >>> both(np.array([True, False]), None).tolist(), both(None, None)
        ([True, False], None)
    """
    if one is None or other is None:
        return other if one is None else one
    found: np.ndarray = one & other
    return found
