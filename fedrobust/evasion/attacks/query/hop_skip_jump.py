"""HopSkipJump: a decision-based attack that estimates gradients at the decision boundary."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, PositiveShare, Share
from fedrobust.evasion.attacks.query.decision_based import DecisionBased, errs
from fedrobust.evasion.attacks.query.directions import Basis, parts_of, random_directions
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import kept
from fedrobust.evasion.rng import Keys, apart, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, column

BISECTIONS = 8
"""Bisection steps between an adversary and its clean image: the precision is 1 / 256 of their distance."""

NOISES = 40
"""Random images tried as starting points where no image of another predicted class is known."""

SIZES = 6
"""Step sizes tried at a time, each half of the previous."""


@ATTACKS.register("hop-skip-jump")
@dataclass(frozen=True, kw_only=True)
class HopSkipJump(DecisionBased):
    """Move along the decision boundary towards the clean image (Chen, Jordan and Wainwright, 2019, arXiv:1904.02144).

    Their Algorithm 2: bisection moves an adversary to the boundary; decisions on images around it estimate the gradient
    there (equation 16); a step along it is halved until the image is misclassified.

    Unlike theirs, the distance of the queried images from the boundary is a fixed share of the distance to the clean
    image, so that rounded inputs still differ; estimates of earlier iterations are added with a discount; and every
    iteration also queries the image at epsilon in the estimated direction.

    Attributes:
        queries: most queries for an image.
        starts: starting points, among which queries are divided.
        directions: queries for the estimate in the first iteration; they grow with the root of the iteration's number.
        probe: norm of a random direction, as a share of the distance to the clean image.
        memory: discount of the earlier iterations' estimate.
        basis: of random directions: "pixels", "dct" (low frequencies), or "both" in turns.
        frequencies: share of the frequencies of each axis that "dct" uses.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    queries: Count = 2000
    starts: Count = 1
    directions: Count = 50
    probe: PositiveShare = 0.3
    memory: Share = 0.8
    basis: Literal["pixels", "dct", "both"] = "both"
    frequencies: PositiveShare = 0.25

    def run(self, state: SearchState) -> None:
        """Search from one starting point after another."""
        for start in range(self.starts):
            state.begin_search()
            self.go_on(state)
            if len(state):
                self.search(state, start)

    def search(self, state: SearchState, start: int) -> None:
        """Search along the boundary from one starting point."""
        keys, budget = apart(state.keys, start), self.queries // self.starts
        images, found, used = self.first(state, keys, start)
        keys, images = kept(state.drop(~found), keys, images)
        # Estimates from decisions have no scale, so that those of two bases cannot be added: one memory for each.
        bases: tuple[Basis, ...] = ("dct", "pixels") if self.basis == "both" else (self.basis,)
        estimates = [np.zeros_like(images) for _ in bases]
        nearest, radius = images, np.full(len(state), np.inf)
        turn = 0
        while len(state):
            images, far = self.to_boundary(state, images)
            # A step may end at a larger distance: continue from the closest adversary.
            closer = far < radius
            nearest = np.where(closer[:, None, None, None], images, nearest)
            radius = np.minimum(far, radius)
            used += BISECTIONS
            keys, nearest, radius, *estimates = kept(self.go_on(state), keys, nearest, radius, *estimates)
            count = min(int(self.directions * (turn + 1) ** 0.5), budget - used - SIZES - BISECTIONS - 1)
            if count < 2 or not len(state):
                return
            place = turn % len(bases)
            asked = self.across(state, keys, turn, bases[place], nearest, radius, count)
            estimates[place] = self.memory * estimates[place] + asked
            images = self.stepped(state, nearest, radius, estimates[place], turn)
            used += count + SIZES + 1
            turn += 1
            keys, images, nearest, radius, *estimates = kept(
                self.go_on(state), keys, images, nearest, radius, *estimates
            )

    def first(self, state: SearchState, keys: Keys, start: int) -> tuple[Images, NDArray[np.bool_], int]:
        """Return a misclassified image for each unbroken image, whether one was found (n,), and the queries used."""
        others, real = self.starts_of(state, start + 1)
        place = np.minimum(start, np.maximum(real.sum(axis=1) - 1, 0))
        rows = np.arange(len(state))
        images, found = others[rows, place], real[rows, place]
        for draw in range(NOISES):
            images = np.where(found[:, None, None, None], images, self.far_away(keys, draw, images.shape[1:]))
            found = errs(state, images)
            if found.all():
                break
        return images, found, draw + 1

    def far_away(self, keys: Keys, draw: int, shape: tuple[int, ...]) -> Images:
        """Return an image that does not depend on the clean one: white, black, then low-frequency and pixel noise."""
        if draw < 2:
            return np.full((len(keys), *shape), 1 - draw, np.float32)
        if draw % 2:
            return uniform(keys, draw, shape)
        pattern = random_directions(keys, draw, shape, "dct", self.frequencies if draw % 4 else 1.0)
        return (pattern > 0).astype(np.float32)

    def to_boundary(self, state: SearchState, images: Images) -> tuple[Images, NDArray[np.float64]]:
        """Return adversaries moved to the boundary by bisection, and their distances (n,).

        In linf the perturbation is clipped to a radius; in l2 it is scaled (equation 12).
        """
        clean, threat = state.clean, state.threat
        high = threat.distance(images, clean)
        low = np.zeros(len(state))
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            wrong = errs(state, threat.project(images, clean, middle))
            low, high = np.where(wrong, low, middle), np.where(wrong, middle, high)
        return threat.project(images, clean, high), high

    def across(
        self,
        state: SearchState,
        keys: Keys,
        turn: int,
        basis: Basis,
        images: Images,
        radius: NDArray[np.float64],
        count: int,
    ) -> Images:
        """Return the estimated gradient at the boundary, (n, height, width, channels) (equations 9 and 16)."""
        shape = state.clean.shape[1:]
        size = self.probe * radius / (1.0 if state.threat.norm == "linf" else np.sqrt(np.prod(shape)))
        total, plain, wrongs = np.zeros_like(images), np.zeros_like(images), np.zeros(len(state))
        for part, number in enumerate(parts_of(count, len(state), shape)):
            directions = random_directions(
                keys, (turn << 12) + part, (number, *shape), basis, self.frequencies
            )
            wrong = (state.margins_of_many(images[:, None] + column(size)[:, None] * directions) > 0).astype(
                np.float32
            )
            total += np.einsum("nk,nkhwc->nhwc", 2 * wrong - 1, directions)
            plain += directions.sum(axis=1)
            wrongs += wrong.sum(axis=1)
        mean = 2 * wrongs / count - 1
        # Where all decisions are equal their deviations from the mean are 0: use the decisions' sign instead.
        differ = np.where(np.abs(mean) == 1, 0.0, mean)
        return total - column(differ) * plain

    def stepped(
        self, state: SearchState, images: Images, radius: NDArray[np.float64], across: Images, turn: int
    ) -> Images:
        """Return the images after the longest step that stays misclassified; query the one at epsilon, too."""
        step = state.threat.steepest(across)
        state.query(state.clean + np.float32(self.reach) * step)
        sizes = radius[:, None] / np.sqrt(turn + 1) * 0.5 ** np.arange(SIZES)
        tried = images[:, None] + sizes[:, :, None, None, None].astype(np.float32) * step[:, None]
        wrong = state.margins_of_many(tried) > 0
        rows, longest = np.arange(len(images)), wrong.argmax(axis=1)
        stepped = np.clip(tried[rows, longest], 0.0, 1.0)
        return np.where(wrong[rows, longest][:, None, None, None], stepped, images)
