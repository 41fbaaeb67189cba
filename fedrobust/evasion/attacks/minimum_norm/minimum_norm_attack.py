"""Base class of minimum-norm attacks, and the refinement of their adversaries."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.attacks.minimum_norm.hyperplane import onto_hyperplane, steepness
from fedrobust.evasion.contract import Attack
from fedrobust.evasion.kernels import flat, kept, likeliest_wrong
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm, column

MOST_CLASSES = 5
"""Boundaries that the clean image is projected onto in the refinement: those of the likeliest wrong classes."""
LOOKS, PROJECTIONS, CROSSING = 10, 3, 1.001
"""Bisection steps of the refinement, projections after them, and the factor by which these cross the boundary."""
WAY_BACK = 2 * LOOKS + 3 * PROJECTIONS * MOST_CLASSES
"""Most queries and gradients of the refinement."""
MOST_PIXELS = 50
"""Adversaries in l0 that change more pixels are not refined."""


@dataclass(frozen=True, kw_only=True)
class MinimumNormAttack(Attack):
    """Base class of attacks that minimise the norm of the perturbation: one run gives the success at every epsilon."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    minimum_norm: ClassVar[bool] = True


def nearest_hyperplane(
    state: SearchState, images: NDArray[np.float64], aims: Labels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the closest of the boundaries to the classes `aims` (n, k), linearised at `images` (n, d).

    Returns:
        the affine function of that boundary at the images: values (n,) and slopes (n, d).
    """
    shown = images.reshape(state.clean.shape).astype(np.float32)
    values, slopes, nearest = np.zeros(len(state)), np.zeros_like(images), np.full(len(state), np.inf)
    for place in range(aims.shape[1]):
        seen = state.gradient(shown, "difference", aims[:, place])
        value = np.nan_to_num(seen.losses.astype(np.float64), posinf=0.0, neginf=0.0)
        slope = flat(seen.gradients)
        steep = steepness(slope, state.threat.norm)
        far = np.where(steep > 0, np.abs(value) / np.maximum(steep, 1e-30), np.inf)
        closer = far < nearest
        values, slopes = np.where(closer, value, values), np.where(closer[:, None], slope, slopes)
        nearest = np.minimum(far, nearest)
    return values, slopes


def approach(state: SearchState, looks: int = LOOKS, projections: int = PROJECTIONS) -> None:
    """Refine each adversary: bisection towards the clean image, then projections along the boundary.

    Bisection removes the overshoot. The clean image is then projected onto the boundary linearised at the adversary,
    within [0, 1], as in FAB (Croce and Hein, 2019, arXiv:1907.02044).

    Args:
        state: in the norm linf or l2.
        looks: bisection steps.
        projections: steps along the boundary.
    """
    halve(state, looks)
    for _ in range(projections):
        state.begin_search()
        state.drop(~state.found | (state.found_distance == 0))
        if not len(state):
            return
        adversary, aims = state.best, likeliest_wrong(state, MOST_CLASSES)
        at, clean = flat(adversary), flat(state.clean)
        for place in range(aims.shape[1]):
            seen = state.gradient(adversary, "difference", aims[:, place])
            slopes = flat(seen.gradients)
            at_clean = seen.losses + np.einsum("nd,nd->n", slopes, clean - at)
            way = onto_hyperplane(clean, slopes, np.nan_to_num(at_clean), state.threat.norm)
            state.query((clean + CROSSING * way).reshape(adversary.shape).astype(np.float32))
    if projections:
        halve(state, looks)


def halve(state: SearchState, looks: int) -> None:
    """Move each adversary towards its clean image by `looks` bisection steps, as far as it stays an adversary."""
    state.begin_search()
    state.drop(~state.found | (state.found_distance == 0))
    if not len(state):
        return
    adversary, clean = state.best, state.clean
    inside, outside = np.zeros(len(state)), np.ones(len(state))
    for _ in state.steps(looks):
        middle = (inside + outside) / 2
        logits = state.query(clean + column(middle) * (adversary - clean))
        wrong = state.margins(logits, state.labels) > 0
        inside, outside = np.where(wrong, inside, middle), np.where(wrong, middle, outside)


def take_back(state: SearchState, most: int = MOST_PIXELS) -> None:
    """Restore the changed pixels of each adversary, the least changed first, where it stays an adversary.

    Args:
        state: in the norm l0.
        most: adversaries with more changed pixels are skipped; each pixel costs one query.
    """
    state.begin_search()
    state.drop(~state.found | (state.found_distance == 0) | (state.found_distance > most))
    if not len(state):
        return
    images = state.best
    change = np.abs(images - state.clean).max(axis=3).reshape(len(state), -1)
    order = np.argsort(np.where(change > 0, change, np.inf), axis=1, kind="stable")
    left = (change > 0).sum(axis=1)
    for turn in state.steps(int(left.max())):
        images, order, left = kept(state.drop(left <= turn), images, order, left)
        row, place = np.unravel_index(order[:, turn], images.shape[1:3])
        at = np.arange(len(state)), row, place
        less = images.copy()
        less[at] = state.clean[at]
        wrong = state.margins(state.query(less), state.labels) > 0
        images = np.where(wrong[:, None, None, None], less, images)
