"""HopSkipJump: along the boundary, by the direction in which more of its surroundings are decided wrongly."""

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
"""Halvings of the way from an adversary to its clean image: what is left is 1 / 256 of it."""

NOISES = 40
"""Images that are tried where none of another decision is known."""

SIZES = 6
"""Step sizes that are tried at once, each half of the one before."""


@ATTACKS.register("hop-skip-jump")
@dataclass(frozen=True, kw_only=True)
class HopSkipJump(DecisionBased):
    """Go along the decision boundary towards the clean image (Chen, Jordan and Wainwright, 2019, arXiv:1904.02144).

    Their Algorithm 2: an adversary is brought to the boundary by bisection; decisions on images around it estimate the
    direction across the boundary (equation 16); a step that way is halved until it ends on the wrong side.

    Theirs asks closer and closer to the boundary. Here the images around it are a share of the distance away, far
    enough to see through rounded inputs; estimates of earlier iterations count on, discounted; and the image at
    epsilon in the estimated direction is asked for in every iteration.

    Attributes:
        queries: most for an image.
        starts: images to start from; queries are divided among them.
        directions: asked around the boundary in the first iteration; their number grows with the root of iterations.
        probe: size of a random direction, as a share of the distance to the clean image.
        memory: share of the earlier iterations' estimate that is added to each of the same basis.
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
        """Search from one start after another."""
        for start in range(self.starts):
            state.begin_search()
            self.go_on(state)
            if len(state):
                self.search(state, start)

    def search(self, state: SearchState, start: int) -> None:
        """Go along the boundary from an image of another decision."""
        keys, budget = apart(state.keys, start), self.queries // self.starts
        images, found, used = self.first(state, keys, start)
        keys, images = kept(state.drop(~found), keys, images)
        # An estimate of decisions has a direction and no length: those of two bases cannot be added up.
        bases: tuple[Basis, ...] = ("dct", "pixels") if self.basis == "both" else (self.basis,)
        estimates = [np.zeros_like(images) for _ in bases]
        nearest, radius = images, np.full(len(state), np.inf)
        turn = 0
        while len(state):
            images, far = self.to_boundary(state, images)
            # A step may lead to a part of the boundary that is further away: go on from the nearest.
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
        """Return an image decided wrongly for each unbroken image: another one, or a pattern; whether it is one."""
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
        """Return an image that has nothing to do with the clean one: white, black, then patterns and noise in turns."""
        if draw < 2:
            return np.full((len(keys), *shape), 1 - draw, np.float32)
        if draw % 2:
            return uniform(keys, draw, shape)
        pattern = random_directions(keys, draw, shape, "dct", self.frequencies if draw % 4 else 1.0)
        return (pattern > 0).astype(np.float32)

    def to_boundary(self, state: SearchState, images: Images) -> tuple[Images, NDArray[np.float64]]:
        """Return adversaries moved towards the clean images as far as they stay some, and their distances.

        In linf, values that are further away than a radius are brought back to it; in l2, all shrink (equation 12).
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
        """Return the estimated direction across the boundary, (n, height, width, channels) (equations 9 and 16)."""
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
        # All answers alike carry no difference to weigh: their own sign is what is left of the estimate.
        differ = np.where(np.abs(mean) == 1, 0.0, mean)
        return total - column(differ) * plain

    def stepped(
        self, state: SearchState, images: Images, radius: NDArray[np.float64], across: Images, turn: int
    ) -> Images:
        """Return the images after the longest step that ends on the wrong side; try the one at epsilon, too."""
        step = state.threat.steepest(across)
        state.query(state.clean + np.float32(self.reach) * step)
        sizes = radius[:, None] / np.sqrt(turn + 1) * 0.5 ** np.arange(SIZES)
        tried = images[:, None] + sizes[:, :, None, None, None].astype(np.float32) * step[:, None]
        wrong = state.margins_of_many(tried) > 0
        rows, longest = np.arange(len(images)), wrong.argmax(axis=1)
        stepped = np.clip(tried[rows, longest], 0.0, 1.0)
        return np.where(wrong[rows, longest][:, None, None, None], stepped, images)
