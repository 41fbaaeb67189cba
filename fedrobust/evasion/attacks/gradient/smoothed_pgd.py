"""PGD along the mean gradient of noisy copies of the image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Count, PositiveShare
from fedrobust.evasion.attacks.gradient.pgd import PGD
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import kept, random_start
from fedrobust.evasion.rng import Keys, apart, normal, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, column, lengths


@ATTACKS.register("smoothed-pgd")
@dataclass(frozen=True, kw_only=True)
class SmoothedPGD(PGD):
    """PGD along the mean gradient of noisy copies of the image (Athalye et al., 2018, arXiv:1802.00420, section 5.2).

    The mean over noise is the gradient of the loss convolved with it (SmoothGrad: Smilkov et al., 2017,
    arXiv:1706.03825): random or rapidly varying parts of the gradient average out. The gradients of one image are
    normalised first, so that no single copy dominates.

    Attributes:
        steps: gradient steps.
        step_size: as a share of epsilon; 0: decreasing from 1 to 1 / steps.
        copies: noisy copies in each step.
        noise: "uniform" or "normal".
        spread: half the width of uniform noise, or the standard deviation of normal noise, as a share of epsilon;
            noisy copies stay within the threat model.
        random_start: start at a random image within the threat model.
    """

    copies: Count = 16
    noise: Literal["uniform", "normal"] = "uniform"
    spread: PositiveShare = 0.5

    @property
    def starts_clean(self) -> bool:
        """False: its first gradients are taken at noisy copies."""
        return False

    @property
    def passes(self) -> int:
        """One gradient for each copy and one query in each step."""
        return self.restarts * (self.steps * (2 * self.copies + 1) + 1)

    def run(self, state: SearchState) -> None:
        """Search from the clean image or from random starts."""
        for restart in range(self.restarts):
            state.begin_search()
            if len(state):
                self.ascend(state, apart(state.keys, restart))

    def ascend(self, state: SearchState, keys: Keys) -> None:
        """Search once, with the random numbers of `keys`."""
        images = random_start(state, keys) if self.random_start else state.clean
        aims = self.aims(state)
        for step in state.steps(self.steps):
            mean = np.zeros_like(images)
            for copy in range(self.copies):
                noisy = self.noisy(state, keys, 2 + step * self.copies + copy, images)
                mean += unit(state.gradient(noisy, self.climbed, aims).gradients)
                keys, images, aims, mean = kept(state.keep(), keys, images, aims, mean)
            moved = images + np.float32(self.share(step) * state.epsilon) * state.threat.steepest(mean)
            images = state.threat.project(moved, state.clean, state.epsilon)
            if len(state):
                state.query(images)
            keys, images, aims = kept(state.keep(), keys, images, aims)

    def noisy(self, state: SearchState, keys: Keys, counter: int, images: Images) -> Images:
        """Return a noisy copy of each image."""
        shape = images.shape[1:]
        draws = (
            2 * uniform(keys, counter, shape) - 1 if self.noise == "uniform" else normal(keys, counter, shape)
        )
        size = state.epsilon / (1.0 if state.threat.norm == "linf" else np.sqrt(np.prod(shape)))
        return images + np.float32(self.spread * size) * draws


def unit(gradients: Images) -> Images:
    """Return each image's gradient divided by its Euclidean norm; zero stays zero."""
    return (gradients / np.maximum(column(lengths(gradients)), np.float32(1e-30))).astype(np.float32)
