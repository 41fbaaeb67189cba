"""Auto-PGD: projected gradient ascent that chooses its own step size."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedrobust.bounds import ClassNumber, Count, PositiveShare
from fedrobust.evasion.attacks.gradient.gradient_attack import GradientAttack
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import kept, likeliest_wrong, random_start
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.rng import apart
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, column

MOMENTUM = 0.75
RISING = 0.75
"""The algorithm's alpha, and its rho: the share of steps that have to climb if the step size is to stay."""
CLASSES_IN_TURN = 3
"""Wrong classes that focused restarts aim at, one after another."""


@dataclass(frozen=True, kw_only=True)
class AutoPGD(GradientAttack):
    """Projected gradient ascent with momentum, which halves its step and goes back to its best where it stalls.

    Croce and Hein (2020), arXiv:2003.01690, Algorithm 1: there is no step size to choose.

    Attributes:
        steps: gradient steps.
        restarts: searches, each from another random point, on the unbroken images.
    """

    steps: Count = 100
    restarts: Count = 1

    @property
    def passes(self) -> int:
        """A gradient at the start and after every step."""
        return 2 * self.restarts * (self.steps + 1)

    def run(self, state: SearchState) -> None:
        """Climb from random points."""
        for restart in range(self.restarts):
            state.begin_search()
            if len(state):
                self.climb(state, random_start(state, apart(state.keys, restart)), self.aims(state))

    def climb(self, state: SearchState, images: Images, aims: Labels | None) -> None:
        """Climb from `images`, towards `aims` where there are any."""
        seen = state.gradient(images, self.climbed, aims)
        stay = state.keep()
        losses = np.nan_to_num(seen.losses.astype(np.float64), nan=-np.inf)
        images, aims, slope, losses = kept(stay, images, aims, seen.gradients, losses)
        before, top, top_slope, best = images, images, slope, losses
        size = np.full(len(images), 2.0 * state.epsilon)
        rises, halved, best_then = np.zeros(len(images)), np.zeros(len(images), bool), losses
        marks = checkpoints(self.steps)
        last = 0
        for step in state.steps(self.steps):
            climbed = state.threat.project(
                images + column(size) * state.threat.steepest(slope), state.clean, state.epsilon
            )
            share = np.float32(MOMENTUM if step else 1.0)
            drift = images + share * (climbed - images) + (1 - share) * (images - before)
            moved = state.threat.project(drift, state.clean, state.epsilon)
            seen = state.gradient(moved, self.climbed, aims)
            now = np.nan_to_num(seen.losses.astype(np.float64), nan=-np.inf)
            rises = rises + (now > losses)
            better = now > best
            before, images, slope, losses = images, moved, seen.gradients, now
            top = np.where(column(better) > 0, images, top)
            top_slope = np.where(column(better) > 0, slope, top_slope)
            best = np.maximum(best, now)
            if step + 1 in marks:
                stalled = rises < RISING * (step + 1 - last)
                stalled |= ~halved & (best_then >= best)
                size = np.where(stalled, size / 2, size)
                back = column(stalled) > 0
                images, slope = np.where(back, top, images), np.where(back, top_slope, slope)
                before, losses = np.where(back, top, before), np.where(stalled, best, losses)
                rises, halved, best_then, last = np.zeros(len(rises)), stalled, best, step + 1
            images, before, aims, slope, losses, top, top_slope, best, size, rises, halved, best_then = kept(
                state.keep(),
                images,
                before,
                aims,
                slope,
                losses,
                top,
                top_slope,
                best,
                size,
                rises,
                halved,
                best_then,
            )


def checkpoints(steps: Count) -> set[int]:
    """Return the steps after which the step size is reconsidered (Croce and Hein, 2020, section 3.1).

    Example:
        >>> sorted(checkpoints(100))[:4]
        [22, 41, 57, 70]
    """
    shares, shrink = [0.0, 0.22], 0.22
    while shares[-1] < 1.0:
        shrink = max(shrink - 0.03, 0.06)
        shares.append(shares[-1] + shrink)
    return {min(steps, math.ceil(round(share * steps, 6))) for share in shares[1:]}


@ATTACKS.register("apgd-ce")
@dataclass(frozen=True, kw_only=True)
class AutoPGDCrossEntropy(AutoPGD):
    """Auto-PGD on cross-entropy (Croce and Hein, 2020, arXiv:2003.01690, Algorithm 1)."""


@ATTACKS.register("apgd-dlr")
@dataclass(frozen=True, kw_only=True)
class AutoPGDRatio(AutoPGD):
    """Auto-PGD on the difference of logits ratio; on the margin where there are two classes (Croce and Hein, 2020)."""

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "dlr"


@ATTACKS.register("apgd-t")
@dataclass(frozen=True, kw_only=True)
class AutoPGDTargeted(AutoPGD):
    """Auto-PGD towards each of the likeliest wrong classes in turn (Croce and Hein, 2020, section 5).

    Climbs the targeted difference of logits ratio, or the plain difference below four classes. Any wrong answer
    counts.

    Attributes:
        targets: most classes that are tried.
    """

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "dlr"
    target: ClassNumber | Literal["none", "least-likely", "second"] = "second"
    targets: Count = 9
    needs: ClassVar[int] = 2

    @property
    def passes(self) -> int:
        """One search a class."""
        return 2 * self.targets * self.restarts * (self.steps + 1)

    def run(self, state: SearchState) -> None:
        """Climb towards one class after another."""
        for turn in range(min(self.targets, state.target.classes - 1)):
            for restart in range(self.restarts):
                state.begin_search()
                if not len(state):
                    return
                answers = state.once("clean logits", lambda: state.target.logits(state.clean))
                others = answers.astype(np.float64)
                others[np.arange(len(state)), state.labels] = -np.inf
                aims = np.argsort(-others, axis=1, kind="stable")[:, turn].astype(np.int32)
                start = random_start(state, apart(state.keys, 1000 * (turn + 1) + restart))
                self.climb(state, start, aims)


@ATTACKS.register("apgd-focused")
@dataclass(frozen=True, kw_only=True)
class AutoPGDFocused(AutoPGD):
    """Auto-PGD on the margin whose restarts go to images that are nearly broken.

    Restart k goes to the images of whose clean lead (the label's logit minus the largest wrong one) at most `near` / k
    is left: the nearer to an error, the more searches, whatever the other images do. Restarts begin around the best
    image so far, up to epsilon from it, and climb towards the wrong classes that are likeliest there, in turn.
    Auto-PGD is Croce and Hein's (2020, arXiv:2003.01690, Algorithm 1).

    Attributes:
        restarts: searches after the first, at most.
        near: share of the clean lead that may be left for a first restart.
    """

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "margin"
    target: ClassNumber | Literal["none", "least-likely", "second"] = "second"
    restarts: Count = 20
    near: PositiveShare = 0.25

    @property
    def passes(self) -> int:
        """The first search and all restarts."""
        return 2 * (self.restarts + 1) * (self.steps + 1)

    def run(self, state: SearchState) -> None:
        """Search once from a random point, then where little is left."""
        for turn in range(self.restarts + 1):
            state.begin_search()
            clean = state.once("clean logits", lambda: state.target.logits(state.clean))
            lead, left = -state.margins(clean, state.labels), -state.margins(state.answers, state.labels)
            state.drop(left * turn > self.near * lead)
            if not len(state):
                return
            start = random_start(state, apart(state.keys, turn))
            if turn:
                start = state.threat.project(state.best + (start - state.clean), state.clean, state.epsilon)
            aims = likeliest_wrong(state, CLASSES_IN_TURN)
            self.climb(state, start, aims[:, turn % aims.shape[1]])
