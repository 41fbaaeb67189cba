"""The Jacobian-based saliency map attack (JSMA): large changes of few values."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import PositiveShare
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import MinimumNormAttack
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import kept
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

SHORTLIST = 64
"""Values of an image that are searched for a pair: those with the largest derivatives."""


@ATTACKS.register("jsma")
@dataclass(frozen=True, kw_only=True)
class JSMA(MinimumNormAttack):
    """Change the pair of values with the largest saliency, repeatedly (Papernot et al., 2015, arXiv:1511.07528).

    Their Algorithms 2 and 3, towards the likeliest wrong class; values are raised or lowered, whichever has the larger
    saliency. Unlike theirs, the pair is the best of a shortlist, not of all pairs, and of the other classes'
    derivatives only the label's enters (with two classes that is their sum).

    Attributes:
        share: largest share of an image's values that may change.
        step: change of a value; images are in [0, 1].
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)

    share: PositiveShare = 0.145
    step: PositiveShare = 1.0

    @property
    def passes(self) -> int:
        """Two gradients for each pair, estimated for images of 28 x 28 values."""
        return 4 * int(self.share * 784 / 2)

    def run(self, state: SearchState) -> None:
        """Change one pair of values after another until the image is broken or `share` is used up."""
        n, shape = len(state), state.clean.shape[1:]
        size = int(np.prod(shape))
        answers = state.answers.astype(np.float64)
        answers[np.arange(n), state.labels] = -np.inf
        aims = answers.argmax(axis=1).astype(np.int32)
        images = state.clean.reshape(n, size).copy()
        free = np.ones((n, size), bool)
        for _ in state.steps(max(1, int(self.share * size / 2))):
            shown = images.reshape(-1, *shape)
            towards = state.gradient(shown, "logit", aims).gradients.reshape(-1, size)
            # Derivatives of logits, not of softmax; the label's logit stands for "the other classes".
            away = state.gradient(shown, "logit", state.labels).gradients.reshape(-1, size)
            stay = state.drop(state.found)
            images, free, aims, towards, away = kept(stay, images, free, aims, towards, away)
            if not len(state):
                return
            pairs, sign, gain = _best_pairs(towards, away, images, free)
            rows = np.arange(len(images))[:, None]
            images[rows, pairs] = np.clip(images[rows, pairs] + self.step * sign[:, None], 0.0, 1.0)
            spent = (images[rows, pairs] == 0) | (images[rows, pairs] == 1)
            free[rows, pairs] &= ~spent
            state.query(images.reshape(-1, *shape))
            images, free, aims = kept(state.drop(state.found | (gain <= 0)), images, free, aims)


def _best_pairs(
    towards: NDArray[np.float32],
    away: NDArray[np.float32],
    images: NDArray[np.float32],
    free: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Return the best pair of each image (n, 2), the sign of its change (n,), and its saliency (n,), 0 if none."""
    n, size = towards.shape
    count = min(SHORTLIST, size)
    pairs, signs, gains = np.zeros((n, 2), np.int64), np.ones(n, np.float32), np.zeros(n)
    upper = np.triu(np.ones((2 * count, 2 * count), bool), 1)
    for sign in (1.0, -1.0):
        alpha, beta = sign * towards.astype(np.float64), sign * away.astype(np.float64)
        able = free & (images < 1 if sign > 0 else images > 0)
        alpha, beta = np.where(able, alpha, -np.inf), np.where(able, beta, np.inf)
        short = np.concatenate(
            [
                np.argpartition(-alpha, count - 1, axis=1)[:, :count],
                np.argpartition(beta, count - 1, axis=1)[:, :count],
            ],
            axis=1,
        )
        rows = np.arange(n)[:, None]
        a, b = alpha[rows, short], beta[rows, short]
        together, against = a[:, :, None] + a[:, None, :], b[:, :, None] + b[:, None, :]
        different = short[:, :, None] != short[:, None, :]
        fits = (
            upper & different & (together > 0) & (against < 0) & np.isfinite(together) & np.isfinite(against)
        )
        saliency = np.where(fits, -np.where(fits, together, 0.0) * np.where(fits, against, 0.0), 0.0)
        best = saliency.reshape(n, -1).argmax(axis=1)
        gain = saliency.reshape(n, -1)[np.arange(n), best]
        better = gain > gains
        first, second = best // (2 * count), best % (2 * count)
        chosen = np.stack([short[np.arange(n), first], short[np.arange(n), second]], axis=1)
        pairs[better], signs[better], gains[better] = chosen[better], sign, gain[better]
    return pairs, signs, gains
