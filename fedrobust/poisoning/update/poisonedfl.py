"""PoisonedFL: push the global model along a fixed random sign vector, without any honest update."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from fedrobust.bounds import Count, Positive, PositiveShare
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.poisoning.update.finite import scaled
from fedrobust.vectors import length

CONFIDENCE = 0.99
"""Probability below which as many agreeing signs are taken for chance."""


@POISONING.register("poisonedfl")
@dataclass(frozen=True, kw_only=True)
class PoisonedFL:
    """Send c |g| v * s: the same random signs s in every round (Xie et al., CVPR 2025, arXiv:2404.15611, section 4).

    g is the last global update and m the client's own last one, both known to a client without images; v has the
    magnitudes of g - (|g| / |m|) m, of length 1, so that the update looks like what the others sent. The signs are
    drawn once, from the study's seed, and shared by all malicious clients: their effects add up over rounds, where
    those of other attacks cancel. After every `window` rounds the attackers count the weights whose total change has
    the sign of s; if there are no more of them than chance would give in 99 of 100 cases, the defence has filtered them
    out, and c becomes `decay` times c.

    A client needs two rounds for a first g: in its first one it sends nothing, as there is nothing to hide among. With
    partial participation g and the total change are those since the client's own last rounds. Weights that did not
    change are not counted; the official code counts them by the sign of the weight itself, and knows the quantile of
    four models only (here it is that of the normal approximation, d / 2 + 2.33 sqrt(d) / 2, which gives theirs).

    Attributes:
        strength: the first c.
        window: rounds between two checks of the effect.
        decay: factor of c after a window without effect.
        least: c is never below this.
    """

    strength: Positive = 8.0
    window: Count = 50
    decay: PositiveShare = 0.7
    least: Positive = 0.5

    trains = False
    discards_training = True
    replaces = True
    keeps = ("weights", "update")

    def prepare(self, context: AttackContext) -> Mapping[str, np.ndarray]:
        """Return c, the last round of a check, and the global weights at that time."""
        own, current = context.memory.own, context.current
        if current is None:
            return own
        c = float(own["strength"][0]) if own else self.strength
        if own:
            if context.round - int(own["checked"][0]) < self.window:
                return own
            effect = has_effect(current - own["since"], signs(context.seed, current.size))
            if not effect and c * self.decay >= self.least:
                c *= self.decay
        return {"strength": np.array([c]), "checked": np.array([context.round]), "since": current}

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the update of this round; zeros while the last global update is not known, or if it is zero."""
        g, m = context.change, context.memory.update
        if g is None:
            return np.zeros_like(update)
        c = float(context.memory.own["strength"][0]) if context.memory.own else self.strength
        whole, magnitudes = direction(g, m)
        return scaled(magnitudes * signs(context.seed, g.size), c * whole)


def direction(g: np.ndarray, m: np.ndarray | None) -> tuple[float, np.ndarray]:
    """Return the length of the last global update `g` (d,), and v (d,) of length 1; zeros if there is no direction.

    Args:
        g: the last global update.
        m: the client's own last update; None or zero if it sent nothing.

    Example:
        >>> whole, v = direction(np.array([3.0, 4.0]), np.array([0.0, 2.0]))
        >>> whole, v.round(3).tolist()  # |(3, 4) - 5 (0, 1)| = (3, 1)
        (5.0, [0.949, 0.316])
    """
    g, m = g.astype(np.float64), np.zeros_like(g, np.float64) if m is None else m.astype(np.float64)
    whole, own = length(g), length(m)
    magnitudes = np.abs(g - m * (whole / own) if own else g)
    long = length(magnitudes)
    return whole, magnitudes / long if long else np.zeros_like(g)


def signs(seed: int, size: int) -> np.ndarray:
    """Return the sign vector of a study, (size,) of -1.0 and 1.0."""
    drawn: np.ndarray = np.random.default_rng([seed, 15611]).integers(0, 2, size) * 2.0 - 1.0
    return drawn


def has_effect(change: np.ndarray, wanted: np.ndarray) -> bool:
    """Return whether more signs of a total `change` (d,) are the `wanted` ones (d,) than by chance.

    Example:
        >>> wanted = np.ones(100)
        >>> has_effect(np.array([1.0] * 61 + [-1.0] * 39), wanted), has_effect(np.array([1.0, -1.0] * 50), wanted)
        (False, False)
        >>> has_effect(np.array([1.0] * 62 + [-1.0] * 38), wanted)
        True
    """
    moved = np.flatnonzero(change)
    return int((np.sign(change[moved]) == wanted[moved]).sum()) >= quantile(len(moved))


def quantile(size: int) -> float:
    """Return the 99 % quantile of the number of heads among `size` tosses of a coin, by the normal approximation."""
    return size / 2 + float(ndtri(CONFIDENCE)) * math.sqrt(size) / 2
