"""DeepFool: the nearest adversary of a model taken for linear, again and again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, NonNegative
from fedrobust.evasion.attacks.minimum_norm.hyperplane import onto_hyperplane, size, steepness
from fedrobust.evasion.attacks.minimum_norm.nearest import WAY_BACK, Nearest, approach, nearest_hyperplane
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat, kept, likeliest_wrong
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

VISIBLE = 1e-6
"""The least that a step changes every value by, on average, so that float32 holds it."""


@ATTACKS.register("deepfool")
@dataclass(frozen=True, kw_only=True)
class DeepFool(Nearest):
    """Step onto the nearest boundary of the model's linearisation (Moosavi-Dezfooli et al., 2015, arXiv:1511.04599).

    Their Algorithm 2, until the answer is wrong; in the norm linf with the dual norm's step (their section 3.3); both
    within [0, 1]. Near a curved boundary the steps become so short that float32 rounds them away: each is at least as
    long as the overshoot. The adversary found is then brought nearer to the clean image.

    Attributes:
        steps: linearisations.
        overshoot: share by which the sum of steps is lengthened, to cross the boundary.
        candidates: wrong classes considered, the likeliest.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")

    steps: Count = 50
    overshoot: NonNegative = 0.02
    candidates: Count = 10

    @property
    def passes(self) -> int:
        """A gradient a candidate a step, and the way back."""
        return 2 * self.steps * self.candidates + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Walk over the boundary, then back towards the clean image."""
        norm, clean = state.threat.norm, flat(state.clean)
        aims, change = likeliest_wrong(state, self.candidates), np.zeros_like(clean)
        for _ in state.steps(self.steps):
            reached = np.clip(clean + (1 + self.overshoot) * change, 0.0, 1.0)
            values, slopes = nearest_hyperplane(state, reached, aims)
            least = self.overshoot * size(change, norm) + VISIBLE * size(np.ones_like(change), norm)
            rise = np.maximum(-values, least * steepness(slopes, norm))
            step = onto_hyperplane(reached, slopes, -rise, norm)
            change = np.clip(clean + change + step, 0.0, 1.0) - clean
            over = np.clip(clean + (1 + self.overshoot) * change, 0.0, 1.0)
            state.query(over.reshape(state.clean.shape).astype(np.float32))
            over_or_lost = state.found | ~slopes.any(axis=1)
            clean, change, aims = kept(state.drop(over_or_lost), clean, change, aims)
        approach(state)
