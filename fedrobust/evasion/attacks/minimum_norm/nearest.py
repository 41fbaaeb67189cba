"""What attacks that look for the nearest adversary have in common."""

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
"""Boundaries that an adversary's clean image is projected onto: those of the likeliest wrong classes."""
LOOKS, PROJECTIONS, CROSSING = 10, 3, 1.001
"""Halvings of the way back, projections after it, and how far these go beyond the boundary."""
WAY_BACK = 2 * LOOKS + 3 * PROJECTIONS * MOST_CLASSES
"""Passes of the way back, at most."""
MOST_PIXELS = 50
"""Pixels that an adversary in l0 may change if its pixels are to be tried one by one."""


@dataclass(frozen=True, kw_only=True)
class Nearest(Attack):
    """An attack that minimises the distance: run once, it answers for every epsilon."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    nearest: ClassVar[bool] = True


def nearest_hyperplane(
    state: SearchState, images: NDArray[np.float64], aims: Labels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nearest of the boundaries to `aims`, linearised at `images` (n, d): values (n,), slopes (n, d)."""
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
    """Bring each adversary nearer: along the line to the clean image, then along the boundary.

    Halving the way takes back what an attack overshot. The clean image is then projected onto the boundary, as it runs
    at the adversary, within [0, 1]: the step of Croce and Hein's FAB (2019, arXiv:1907.02044) towards it.
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
    """Go from each adversary towards its clean image as far as it stays one, by halving the way."""
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
    """Take back the changed pixels of each adversary, the least changed first, wherever it stays one without.

    Args:
        state: in the norm l0.
        most: adversaries of more pixels are left alone; a pixel is a look.
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
