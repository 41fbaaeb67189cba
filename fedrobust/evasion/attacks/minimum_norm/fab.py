"""The fast adaptive boundary attack (FAB): projections onto linearised decision boundaries."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count
from fedrobust.evasion.attacks.minimum_norm.hyperplane import onto_hyperplane, size
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import (
    WAY_BACK,
    MinimumNormAttack,
    approach,
    nearest_hyperplane,
)
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat, likeliest_wrong
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

OVERSHOOT = 1.05
"""The algorithm's eta: overshoot beyond the hyperplane."""
MOST_PULL = 0.1
"""Its alpha_max: largest weight of the clean image's projection in a step."""
BACK = 0.9
"""Its beta: remaining share of the distance after a backward step from an adversary."""


@dataclass(frozen=True, kw_only=True)
class Boundary(MinimumNormAttack):
    """Base class of both forms of FAB: the walk along the boundary."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: Count = 100
    targets: Count = 9

    @property
    def passes(self) -> int:
        """One gradient for each class and one query in each step, and the refinement."""
        return self.steps * (2 * self.targets + 1) + WAY_BACK

    def walk(self, state: SearchState, aims: Labels) -> None:
        """Walk along the closest of the boundaries to `aims`, (n, k) classes.

        A step is a weighted mean of two projections onto the linearised boundary: of the image, and of the clean image,
        whose weight grows as the image approaches the boundary. An adversary is moved back towards the clean image.
        """
        norm, clean = state.threat.norm, flat(state.clean)
        images = clean
        for _ in state.steps(self.steps):
            values, slopes = nearest_hyperplane(state, images, aims)
            here = onto_hyperplane(images, slopes, values, norm)
            at_clean = values + (slopes * (clean - images)).sum(axis=1)
            there = onto_hyperplane(clean, slopes, at_clean, norm)
            way, way_of_clean = size(here, norm), size(there, norm)
            pull = np.minimum(way / np.maximum(way + way_of_clean, 1e-12), MOST_PULL)[:, None]
            moved = (1 - pull) * (images + OVERSHOOT * here) + pull * (clean + OVERSHOOT * there)
            moved = np.clip(moved, 0.0, 1.0)
            logits = state.query(moved.reshape(state.clean.shape).astype(np.float32))
            wrong = state.margins(logits, state.labels) > 0
            images = np.where(wrong[:, None], clean + BACK * (moved - clean), moved)


@ATTACKS.register("fab")
@dataclass(frozen=True, kw_only=True)
class FAB(Boundary):
    """Minimise the norm along the decision boundary (Croce and Hein, 2019, arXiv:1907.02044, Algorithm 1).

    Each step projects the image and the clean image onto the closest boundary of the linearised model, within [0, 1].
    It has no step size, and is invariant to the scale of the logits.

    Attributes:
        steps: linearisations.
        targets: number of wrong classes considered in every step, the likeliest at the clean image.
    """

    def run(self, state: SearchState) -> None:
        """Walk along the closest boundaries, then refine towards the clean image."""
        self.walk(state, likeliest_wrong(state, self.targets))
        approach(state)


@ATTACKS.register("fab-t")
@dataclass(frozen=True, kw_only=True)
class FABTargeted(Boundary):
    """Targeted FAB towards each of the likeliest wrong classes in turn (Croce and Hein, 2020, arXiv:2003.01690).

    One gradient a step instead of one for every class, as in AutoAttack. Any wrong class counts as success.

    Attributes:
        steps: linearisations for each class.
        targets: most target classes.
    """

    def run(self, state: SearchState) -> None:
        """Walk along one boundary after another, then refine towards the clean image."""
        aims = likeliest_wrong(state, self.targets)
        for turn in range(aims.shape[1]):
            self.walk(state, aims[:, turn : turn + 1])
        approach(state)
