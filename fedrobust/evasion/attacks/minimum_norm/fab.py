"""The fast adaptive boundary attack: from hyperplane to hyperplane, always with an eye on the clean image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count
from fedrobust.evasion.attacks.minimum_norm.hyperplane import onto_hyperplane, size
from fedrobust.evasion.attacks.minimum_norm.nearest import WAY_BACK, Nearest, approach, nearest_hyperplane
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import flat, likeliest_wrong
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

OVERSHOOT = 1.05
"""The algorithm's eta: how far a step goes beyond the hyperplane."""
MOST_PULL = 0.1
"""Its alpha_max: the largest share of the clean image's own projection in a step."""
BACK = 0.9
"""Its beta: what is left of the distance after a step back from an adversary."""


@dataclass(frozen=True, kw_only=True)
class Boundary(Nearest):
    """Walks along the boundary: what both forms of the attack share."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: Count = 100
    targets: Count = 9

    @property
    def passes(self) -> int:
        """A gradient a class and a look a step, and the way back."""
        return self.steps * (2 * self.targets + 1) + WAY_BACK

    def walk(self, state: SearchState, aims: Labels) -> None:
        """Walk along the boundaries to `aims`, (n, k) classes, always the nearest of them.

        A step is a mean of two projections onto the hyperplane that the boundary is taken for: of the image, and of the
        clean one, which counts for more as the image nears the boundary. From an adversary it goes back towards
        the clean image.
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
    """Look for the nearest adversary along the boundary (Croce and Hein, 2019, arXiv:1907.02044, Algorithm 1).

    Each step projects the image and the clean one onto the nearest boundary of the model's linearisation, inside of
    [0, 1]. It has no step size, and does not mind how logits are scaled.

    Attributes:
        steps: linearisations.
        targets: wrong classes whose boundaries are considered in every step, the likeliest of the clean image.
    """

    def run(self, state: SearchState) -> None:
        """Walk along the nearest boundaries, then back towards the clean image."""
        self.walk(state, likeliest_wrong(state, self.targets))
        approach(state)


@ATTACKS.register("fab-t")
@dataclass(frozen=True, kw_only=True)
class FABTargeted(Boundary):
    """FAB along the boundary to each of the likeliest wrong classes in turn (Croce and Hein, 2020, arXiv:2003.01690).

    A gradient a step instead of one for every class; their AutoAttack runs this form. Any wrong answer counts.

    Attributes:
        steps: linearisations, for each class.
        targets: most classes that are tried.
    """

    def run(self, state: SearchState) -> None:
        """Walk along one boundary after another, then back towards the clean image."""
        aims = likeliest_wrong(state, self.targets)
        for turn in range(aims.shape[1]):
            self.walk(state, aims[:, turn : turn + 1])
        approach(state)
