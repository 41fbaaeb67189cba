"""SPSA: PGD along a gradient that is estimated from queries."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedrobust.bounds import Count, PositiveShare, Share
from fedrobust.evasion.attacks.query.directions import parts_of, random_directions
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.kernels import kept, random_start
from fedrobust.evasion.rng import Keys
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm


@ATTACKS.register("spsa")
@dataclass(frozen=True, kw_only=True)
class SPSA(Attack):
    """PGD of the margin along finite differences in random directions (Uesato et al., 2018, arXiv:1802.05666).

    Simultaneous perturbation: the mean of (f(x + d v) - f(x - d v)) v over random signs v (their Algorithm 1; with
    normal v it is the NES estimate of Ilyas et al., 2018, arXiv:1804.08598). The differences are a share of epsilon
    long, so that fine ripples of the logits average out.

    Attributes:
        steps: ascent steps, whose size decreases from epsilon to epsilon / steps.
        directions: random directions in each step, with two queries each.
        probe: length d of a difference, as a share of epsilon.
        memory: discount of the earlier steps' estimate.
        basis: of random directions: "pixels", "dct" (low frequencies), or "both" in turns.
        frequencies: share of the frequencies of each axis that "dct" uses.
        random_start: start at a random image within the threat model.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    white_box: ClassVar[bool] = False

    steps: Count = 20
    directions: Count = 25
    probe: PositiveShare = 0.5
    memory: Share = 0.9
    basis: Literal["pixels", "dct", "both"] = "both"
    frequencies: PositiveShare = 0.25
    random_start: bool = False

    @property
    def passes(self) -> int:
        """Two queries for each direction, and one at the end of every step."""
        return self.steps * (2 * self.directions + 1)

    def run(self, state: SearchState) -> None:
        """Search from the clean image or from a random start."""
        keys, threat = state.keys, state.threat
        images = random_start(state, keys, 1) if self.random_start else state.clean
        slope = np.zeros_like(images)
        for step in state.steps(self.steps):
            slope = self.memory * slope + self.slope(state, keys, step, images)
            keys, images, slope = kept(state.keep(), keys, images, slope)
            size = np.float32((1 - step / self.steps) * state.epsilon)
            images = threat.project(images + size * threat.steepest(slope), state.clean, state.epsilon)
            if len(state):
                state.query(images)
            keys, images, slope = kept(state.keep(), keys, images, slope)

    def slope(self, state: SearchState, keys: Keys, step: int, images: Images) -> Images:
        """Return the estimated gradient of the margin up to a factor, (n, height, width, channels)."""
        shape = images.shape[1:]
        size = self.probe * state.epsilon / (1.0 if state.threat.norm == "linf" else np.sqrt(np.prod(shape)))
        low = self.basis == "dct" or (self.basis == "both" and step % 2 == 1)
        # With fewer frequencies each has a larger amplitude, at equal mean square.
        weight = np.float32(self.frequencies**2 if low else 1.0)
        total = np.zeros_like(images)
        for part, count in enumerate(parts_of(self.directions, 2 * len(state), shape)):
            directions = random_directions(
                keys, (step << 12) + part, (count, *shape), "dct" if low else "pixels", self.frequencies
            )
            away = np.float32(size) * directions
            margins = [state.margins_of_many(images[:, None] + side * away) for side in (1, -1)]
            apart = np.nan_to_num(margins[0] - margins[1]).astype(np.float32)
            total += weight * np.einsum("nk,nkhwc->nhwc", apart, directions)
        return total
