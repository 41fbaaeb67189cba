"""DeepFool: the closest decision boundary of the linearised model, iterated."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, NonNegative
from fedrobust.evasion.attacks.minimum_norm.hyperplane import onto_hyperplane, size, steepness
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import (
    WAY_BACK,
    MinimumNormAttack,
    approach,
    nearest_hyperplane,
)
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat, kept, likeliest_wrong
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

VISIBLE = 1e-6
"""Smallest mean change of a value in a step that float32 resolves."""


@ATTACKS.register("deepfool")
@dataclass(frozen=True, kw_only=True)
class DeepFool(MinimumNormAttack):
    """Step to the closest boundary of the linearised model (Moosavi-Dezfooli et al., 2015, arXiv:1511.04599).

    Their Algorithm 2, until the image is misclassified; in linf with the dual norm's step (their section 3.3); both
    within [0, 1]. Steps are at least as long as the overshoot, because float32 would round away the short ones near a
    curved boundary. The adversary is then refined towards the clean image.

    Attributes:
        steps: most linearisations.
        overshoot: share by which the perturbation is extended to cross the boundary.
        candidates: number of wrong classes considered, the likeliest first.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")

    steps: Count = 50
    overshoot: NonNegative = 0.02
    candidates: Count = 10

    @property
    def passes(self) -> int:
        """One gradient for each candidate class and step, and the refinement."""
        return 2 * self.steps * self.candidates + WAY_BACK

    def run(self, state: SearchState) -> None:
        """Cross the boundary, then refine towards the clean image."""
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
