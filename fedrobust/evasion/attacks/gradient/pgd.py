"""Projected gradient ascent (PGD), and its variants BIM and MI-FGSM."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, NonNegative
from fedrobust.evasion.attacks.gradient.gradient_attack import GradientAttack
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import kept, random_start
from fedrobust.evasion.rng import apart
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, column


@ATTACKS.register("pgd")
@dataclass(frozen=True, kw_only=True)
class PGD(GradientAttack):
    """Projected gradient ascent of the loss, onto the threat model (Madry et al., 2017, arXiv:1706.06083).

    Step sizes decrease linearly from epsilon to epsilon / steps: large steps first leave poor local maxima, small ones
    then refine (the idea of Auto-PGD's halving, Croce and Hein, 2020, arXiv:2003.01690, section 3). With as many steps
    this breaks more images than Madry's constant 2.5 epsilon / steps, which is ``step_size=0.125`` for 20 steps.

    Attributes:
        steps: gradient steps.
        step_size: as a share of epsilon; 0: decreasing from 1 to 1 / steps.
        random_start: start at a random image within the threat model.
        restarts: searches, each from another random start, on the unbroken images.
    """

    multilabel: ClassVar[bool] = True

    steps: Count = 20
    step_size: NonNegative = 0.0
    random_start: bool = True
    restarts: Count = 1

    momentum: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if self.restarts > 1 and not self.random_start:
            raise ValueError(
                f"restarts = {self.restarts} without random_start: every restart would give the same result; set "
                "random_start=True or restarts=1"
            )

    @property
    def starts_clean(self) -> bool:
        """Its first gradient is taken at the clean image, which is evaluated with it."""
        return not self.random_start

    @property
    def passes(self) -> int:
        """One gradient a step, and one query at the end."""
        return self.restarts * (2 * self.steps + 1)

    def share(self, step: int) -> float:
        """Return the size of step 0, 1, ... as a share of epsilon."""
        return self.step_size or 1.0 - step / self.steps

    def run(self, state: SearchState) -> None:
        """Search from the clean image or from random starts."""
        for restart in range(self.restarts):
            state.begin_search()
            start = random_start(state, apart(state.keys, restart)) if self.random_start else state.clean
            self.climb(state, start)

    def climb(self, state: SearchState, images: Images) -> None:
        """Search from `images`."""
        aims, speed = self.aims(state), np.zeros_like(images)
        for step in state.steps(self.steps):
            seen = state.gradient(images, self.climbed, aims)
            images, aims, speed, gradient = kept(state.keep(), images, aims, speed, seen.gradients)
            if self.momentum:
                mean = np.abs(gradient).mean(axis=(1, 2, 3))
                speed = self.momentum * speed + gradient / column(np.maximum(mean, 1e-30))
                gradient = speed
            moved = images + np.float32(self.share(step) * state.epsilon) * state.threat.steepest(gradient)
            images = state.threat.project(moved, state.clean, state.epsilon)
        if len(state):
            state.query(images)
            state.keep()


@ATTACKS.register("bim")
@dataclass(frozen=True, kw_only=True)
class BIM(PGD):
    """The basic iterative method: FGSM in small steps from the clean image (Kurakin et al., 2016, arXiv:1607.02533).

    Attributes:
        steps: gradient steps.
        step_size: as a share of epsilon; 0: 1 / steps.
    """

    steps: Count = 10
    random_start: bool = False

    def share(self, step: int) -> float:
        """Return the size of every step as a share of epsilon."""
        return self.step_size or 1.0 / self.steps


@ATTACKS.register("mi-fgsm")
@dataclass(frozen=True, kw_only=True)
class MomentumFGSM(BIM):
    """BIM with gradient momentum, whose adversaries transfer better (MI-FGSM, Dong et al., 2017, arXiv:1710.06081).

    Attributes:
        decay: share of the accumulated gradient that a step keeps (the paper's mu).
    """

    decay: NonNegative = 1.0

    @property
    def momentum(self) -> float:  # type: ignore[override]
        """Share of the accumulated gradient that a step keeps."""
        return self.decay
