"""Auto-PGD: projected gradient ascent with an adaptive step size."""

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
"""The algorithm's alpha (momentum) and rho (share of steps that must increase the loss, else the step is halved)."""
CLASSES_IN_TURN = 3
"""Target classes of focused restarts, in turn."""


@dataclass(frozen=True, kw_only=True)
class AutoPGD(GradientAttack):
    """Projected gradient ascent with momentum that halves its step and returns to the best image when it stalls.

    Croce and Hein (2020), arXiv:2003.01690, Algorithm 1: it has no step size to choose.

    Attributes:
        steps: gradient steps.
        restarts: searches, each from another random start, on the unbroken images.
    """

    steps: Count = 100
    restarts: Count = 1

    @property
    def passes(self) -> int:
        """One gradient at the start and one after every step."""
        return 2 * self.restarts * (self.steps + 1)

    def run(self, state: SearchState) -> None:
        """Search from random starts."""
        for restart in range(self.restarts):
            state.begin_search()
            if len(state):
                self.climb(state, random_start(state, apart(state.keys, restart)), self.aims(state))

    def climb(self, state: SearchState, images: Images, aims: Labels | None) -> None:
        """Search from `images`, towards the target classes `aims` (n,) if given."""
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
    """Return the checkpoints: steps after which the step size may be halved (Croce and Hein, 2020, section 3.1).

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
    """Auto-PGD on the difference of logits ratio (Croce and Hein, 2020); on the margin with two classes."""

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "dlr"


@ATTACKS.register("apgd-t")
@dataclass(frozen=True, kw_only=True)
class AutoPGDTargeted(AutoPGD):
    """Targeted Auto-PGD towards each of the likeliest wrong classes in turn (Croce and Hein, 2020, section 5).

    The loss is the targeted difference of logits ratio, or the difference of two logits below four classes. Any wrong
    class counts as success.

    Attributes:
        targets: most target classes.
    """

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "dlr"
    target: ClassNumber | Literal["none", "least-likely", "second"] = "second"
    targets: Count = 9
    needs: ClassVar[int] = 2

    def __post_init__(self) -> None:
        refuse_target(self)

    @property
    def passes(self) -> int:
        """One search for each target class."""
        return 2 * self.targets * self.restarts * (self.steps + 1)

    def run(self, state: SearchState) -> None:
        """Search towards one class after another."""
        for turn in range(min(self.targets, state.target.classes - 1)):
            for restart in range(self.restarts):
                state.begin_search()
                if not len(state):
                    return
                answers = state.clean_logits()
                others = answers.astype(np.float64)
                others[np.arange(len(state)), state.labels] = -np.inf
                aims = np.argsort(-others, axis=1, kind="stable")[:, turn].astype(np.int32)
                start = random_start(state, apart(state.keys, 1000 * (turn + 1) + restart))
                self.climb(state, start, aims)


@ATTACKS.register("apgd-focused")
@dataclass(frozen=True, kw_only=True)
class AutoPGDFocused(AutoPGD):
    """Auto-PGD on the margin that spends its restarts on images of small remaining margin.

    Restart k attacks the images whose lead (the label's logit minus the largest wrong one) is at most `near` / k of
    their clean lead: the closer to an error, the more restarts, independent of the other images. Restarts begin at a
    random point up to epsilon from the best image, and target the wrong classes that are likeliest there, in turn.
    Auto-PGD is Croce and Hein's (2020, arXiv:2003.01690, Algorithm 1).

    Attributes:
        restarts: most searches after the first.
        near: largest share of the clean lead that may remain for a first restart.
    """

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "margin"
    target: ClassNumber | Literal["none", "least-likely", "second"] = "second"
    restarts: Count = 20
    near: PositiveShare = 0.25

    def __post_init__(self) -> None:
        refuse_target(self)

    @property
    def passes(self) -> int:
        """The first search and all restarts."""
        return 2 * (self.restarts + 1) * (self.steps + 1)

    def run(self, state: SearchState) -> None:
        """Search once from a random start, then restart on images of small lead."""
        for turn in range(self.restarts + 1):
            state.begin_search()
            clean = state.clean_logits()
            lead, left = -state.margins(clean, state.labels), -state.margins(state.answers, state.labels)
            state.drop(left * turn > self.near * lead)
            if not len(state):
                return
            start = random_start(state, apart(state.keys, turn))
            if turn:
                start = state.threat.project(state.best + (start - state.clean), state.clean, state.epsilon)
            aims = likeliest_wrong(state, CLASSES_IN_TURN)
            self.climb(state, start, aims[:, turn % aims.shape[1]])


def refuse_target(attack: GradientAttack) -> None:
    """Refuse a target class for an attack that moves towards several classes in turn.

    Raises:
        ValueError: `target` is not its default.
    """
    if attack.target != "second":
        raise ValueError(
            f"target = {attack.target!r}: {type(attack).__name__} moves towards the likeliest wrong classes in turn; "
            "leave target out, or choose apgd-ce or apgd-dlr"
        )
