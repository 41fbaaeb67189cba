"""Neurotoxin: plant a backdoor in weights that honest clients hardly change."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Share
from fedrobust.models.layout import Weights
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.shares import part_of


@POISONING.register("neurotoxin")
@dataclass(frozen=True, kw_only=True)
class Neurotoxin:
    """Do not touch the weights that the last global update changed most (Zhang et al., 2022, arXiv:2206.10341).

    Every step of the malicious client's training is projected onto the other weights (Algorithm 2), so that later
    honest rounds overwrite less of what it teaches, and the backdoor outlives the attack. It goes with an attack
    that poisons images: ``"pixel-backdoor + neurotoxin"``. The last global update is the change since the client's own
    last round; in its first round, and after a round that changed nothing, all weights are trained. The official code
    ranks weights by the gradient on clean images of clients instead, which an attacker does not have of others.

    Attributes:
        top: share of all weights that are left alone, those that changed most; the paper takes 1 % to 10 %.
    """

    top: Share = 0.01

    steers = True
    accompanies = "data"
    keeps = ("weights",)

    def train(self, start: Weights, context: AttackContext) -> Weights:
        """Return the weights after training the other weights on poisoned images."""
        tools = context.tools
        return tools.update(start, tools.poisoned, trained=quiet(context.change, self.top))


def quiet(change: np.ndarray | None, top: float) -> np.ndarray | None:
    """Return the mask of all weights but the share `top` with the largest `change` (d,); None if all are trained.

    Example:
        >>> quiet(np.array([0.1, -3.0, 0.0, 2.0]), top=0.5).tolist()
        [True, False, True, False]
        >>> quiet(np.zeros(4), top=0.5) is None
        True
    """
    if change is None or not top or not change.any():
        return None
    mask = np.ones(change.size, bool)
    mask[np.argsort(-np.abs(change), kind="stable")[: part_of(top, change.size)]] = False
    return mask
