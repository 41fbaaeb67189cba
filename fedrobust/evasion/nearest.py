"""What attacks that look for the nearest adversary have in common."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.evasion.attack import Attack
from fedrobust.evasion.hunt import Hunt
from fedrobust.evasion.threat import Norm, column

MOST_CLASSES = 5
"""Boundaries that an adversary's clean image is projected onto: those of the likeliest wrong classes."""


@dataclass(frozen=True, kw_only=True)
class Nearest(Attack):
    """An attack that minimises the distance: run once, it answers for every epsilon."""

    norms: ClassVar[tuple[Norm, ...]] = ("l2",)
    nearest: ClassVar[bool] = True


def approach(hunt: Hunt, looks: int = 10, projections: int = 3) -> None:
    """Bring each adversary nearer: along the line to the clean image, then along the boundary.

    Halving the way takes back what an attack overshot. In l2, the clean image is then projected onto the boundary as
    it runs at the adversary, which is the step of Croce and Hein's FAB (2019, arXiv:1907.02044) towards it.
    """
    halve(hunt, looks)
    for _ in range(projections if hunt.threat.norm == "l2" else 0):
        hunt.stand()
        hunt.drop(~hunt.found | (hunt.found_distance == 0))
        if not len(hunt):
            return
        adversary, clean = hunt.best, hunt.clean.astype(np.float64)
        others = hunt.answers.astype(np.float64)
        others[np.arange(len(hunt)), hunt.labels] = -np.inf
        likeliest = np.argsort(-others, axis=1, kind="stable")
        for place in range(min(MOST_CLASSES, hunt.target.classes - 1)):
            seen = hunt.gradient(adversary, "difference", likeliest[:, place].astype(np.int32))
            slope = seen.gradients.astype(np.float64)
            steepness = np.einsum("nhwc,nhwc->n", slope, slope)
            at_clean = seen.losses + np.einsum("nhwc,nhwc->n", slope, clean - adversary)
            far = -at_clean / np.maximum(steepness, 1e-30)
            hunt.look((clean + 1.001 * far[:, None, None, None] * slope).astype(np.float32))
    if projections and hunt.threat.norm == "l2":
        halve(hunt, looks)


def halve(hunt: Hunt, looks: int) -> None:
    """Go from each adversary towards its clean image as far as it stays one, by halving the way."""
    hunt.stand()
    hunt.drop(~hunt.found | (hunt.found_distance == 0))
    if not len(hunt):
        return
    adversary, clean = hunt.best, hunt.clean
    inside, outside = np.zeros(len(hunt)), np.ones(len(hunt))
    for _ in hunt.steps(looks):
        middle = (inside + outside) / 2
        logits = hunt.look(clean + column(middle) * (adversary - clean))
        wrong = hunt.margins(logits, hunt.labels) > 0
        inside, outside = np.where(wrong, inside, middle), np.where(wrong, middle, outside)
