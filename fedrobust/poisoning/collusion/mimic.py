"""Mimic: all malicious clients copy one honest client's update, the same in all rounds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.vectors import length


@POISONING.register("mimic")
@dataclass(frozen=True, kw_only=True)
class Mimic:
    """Copy the honest client that stands out most (Karimireddy et al., 2020, arXiv:2006.09365, section 3.2).

    A rule that trusts the many then over-represents that client. The malicious clients follow the direction of largest
    variance between honest clients over the first rounds in which they attack, and copy the client with the largest
    signed projection on it. From then on both are fixed: who copied now one end and now the other of that direction
    would cancel himself out.

    Where the copied client is not in a round, that round's client with the largest projection is copied. The official
    code starts from a random direction, and measures differences from the mean over clients and rounds; here the first
    direction is the first round's leading eigenvector, with the sign of the largest projection, and differences are
    those from each round's own mean.

    Attributes:
        warmup: rounds in which the direction is followed.
    """

    warmup: Count = 3

    def agree(self, honest: Updates, context: CollusionContext) -> Mapping[str, np.ndarray]:
        """Return the direction (d,), the number of the copied client, and for how many rounds they were followed."""
        memory = context.memory
        followed = int(memory["followed"][0]) if memory else 0
        if followed >= self.warmup:
            return memory
        direction = along(honest, memory["direction"], followed) if memory else leading(honest)
        target = context.ids_of(honest)[int(np.argmax(honest.inner_with(direction)))]
        return {"direction": direction, "followed": np.array([followed + 1]), "target": np.array([target])}

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return the copied update (d,)."""
        memory = context.memory or self.agree(honest, context)
        there = np.flatnonzero(context.ids_of(honest) == memory["target"][0])
        chosen = there[0] if len(there) else np.argmax(honest.inner_with(memory["direction"]))
        return honest.combined(np.eye(len(honest))[int(chosen)])


def leading(honest: Updates) -> np.ndarray:
    """Return the direction (d,) of largest variance of `honest` updates, towards the one that stands out most.

    Example:
        >>> leading(Updates.of(np.array([[1, 0], [1, 1], [1, -4]], np.float32))).tolist()
        [0.0, -1.0]
    """
    # Of the Gram matrix of differences from the mean, the leading eigenvector holds every client's projection.
    n = len(honest)
    centring = np.eye(n) - 1 / n
    projections = np.linalg.eigh(centring @ honest.inner @ centring)[1][:, -1]
    return _unit(honest, projections * np.sign(projections[np.argmax(np.abs(projections))]))


def along(honest: Updates, direction: np.ndarray, followed: int) -> np.ndarray:
    """Return the mean of a `direction` (d,) that was followed for so many rounds and of this round's (Oja's rule)."""
    here = _unit(honest, honest.inner_with(direction))
    if not here.any():
        return direction
    mean = followed * direction.astype(np.float64) + here
    return np.asarray(mean / length(mean), np.float32)


def _unit(honest: Updates, weights: np.ndarray) -> np.ndarray:
    """Return the sum of differences from the mean times `weights` (n,), of length 1; zeros if it is zero."""
    centred = weights - weights.mean()
    largest = np.abs(centred).max()
    if not largest:
        return np.zeros(honest.size, np.float32)
    whole = honest.combined(centred / largest).astype(np.float64)
    return np.asarray(whole / (length(whole) or 1.0), np.float32)
