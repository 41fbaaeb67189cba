"""RayS: a decision-based search for the direction of signs with the closest boundary."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count
from fedrobust.evasion.attacks.query.decision_based import DecisionBased, errs
from fedrobust.evasion.contract import ATTACKS
from fedrobust.evasion.kernels import kept
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, column

Radii = NDArray[np.float64]

FINE = 1 / 32
"""Precision of the bisection, as a share of the radius, or of epsilon where that is larger."""


@ATTACKS.register("rays")
@dataclass(frozen=True, kw_only=True)
class RayS(DecisionBased):
    """Flip the signs of ever smaller blocks as long as the radius decreases (Chen and Gu, 2020, arXiv:2006.12792).

    Their Algorithm 3. An adversary is clean + radius * signs. A block's signs are flipped; if the image is still
    misclassified at the present radius, the flip is kept and the radius is reduced by bisection. Blocks are boxes that
    are halved along their longest side from level to level; the paper's are segments of the flattened image.

    Attributes:
        queries: most queries for an image.
        starts: initial directions: all brighter, all darker, and towards the closest images of another predicted
            class.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)

    starts: Count = 6

    def run(self, state: SearchState) -> None:
        """Flip blocks until all images have an adversary within epsilon or the queries are used up."""
        direction, radius, used = self.first(state)
        blocks = boxes(state.clean.shape[1:], self.queries)
        block = np.zeros(len(state), np.int64)
        low = radius / 2
        direction, radius, low, block = kept(self.go_on(state), direction, radius, low, block)
        for _ in state.steps(self.queries - used):
            fine = FINE * np.maximum(radius, self.reach)
            bisecting = radius - low > fine
            asked = np.where(bisecting, (low + radius) / 2, radius)
            flipped = flip(direction, blocks[block % len(blocks)])
            tried = np.where(bisecting[:, None, None, None], direction, flipped)
            wrong = errs(state, state.clean + column(asked) * tried)
            radius = np.where(wrong, asked, radius)
            # After a kept flip the boundary may be anywhere below the radius; the search ends within epsilon.
            low = np.where(bisecting, np.where(wrong, low, asked), np.where(wrong, 0.9 * self.reach, radius))
            direction = np.where(wrong[:, None, None, None], tried, direction)
            block = block + ~bisecting
            direction, radius, low, block = kept(self.go_on(state), direction, radius, low, block)

    def first(self, state: SearchState) -> tuple[Images, Radii, int]:
        """Return the best initial direction, its radius of misclassification (1 if none), and the queries used."""
        radii = doubled(self.reach)
        candidates = self.candidates(state)[:, : max(1, self.queries // len(radii))]
        rows, count = np.arange(len(state)), candidates.shape[1]
        best, radius = np.zeros(len(state), np.int64), np.ones(len(state))
        found, used = np.zeros(len(state), bool), 0
        for asked in radii:
            wrong = state.margins_of_many(state.clean[:, None] + np.float32(asked) * candidates) > 0
            now = wrong.any(axis=1) & ~found
            best, radius = np.where(now, wrong.argmax(axis=1), best), np.where(now, asked, radius)
            found, used = found | now, used + count
        return candidates[rows, best], radius, used

    def candidates(self, state: SearchState) -> Images:
        """Return the initial directions, (n, starts, height, width, channels) of signs."""
        towards, real = self.starts_of(state, max(self.starts - 2, 0))
        up = np.ones((len(state), 1, *state.clean.shape[1:]), np.float32)
        signs = np.where(towards >= state.clean[:, None], np.float32(1), np.float32(-1))
        signs = np.where(real[:, :, None, None, None], signs, np.float32(1))
        return np.concatenate([up, -up, signs], axis=1)[:, : self.starts]


def doubled(radius: float) -> list[float]:
    """Return a radius and its doublings below 1, then 1.

    Example:
        >>> doubled(0.2)
        [0.2, 0.4, 0.8, 1.0]
    """
    radii = [radius]
    while radii[-1] < 0.5:
        radii.append(2 * radii[-1])
    return [*radii, 1.0] if radii[-1] < 1 else radii


def flip(direction: Images, box: NDArray[np.int64]) -> Images:
    """Return `direction` (n, height, width, channels) with the signs in each image's box (n, 3, 2) flipped."""
    inside = np.ones((len(direction), 1, 1, 1), bool)
    for axis in range(3):
        place = np.arange(direction.shape[axis + 1])
        within = (place >= box[:, axis, :1]) & (place < box[:, axis, 1:])
        inside = inside & np.expand_dims(within, tuple({1, 2, 3} - {axis + 1}))
    return np.where(inside, -direction, direction)


def boxes(shape: tuple[int, ...], most: int) -> NDArray[np.int64]:
    """Return the box of a whole array, then its halves, its quarters and so on, (m, 3, 2): from and to on each axis.

    Args:
        shape: (height, width, channels).
        most: most boxes; the last level may be incomplete.

    Example:
        >>> boxes((2, 2, 1), 100)[:4, :2].tolist()
        [[[0, 2], [0, 2]], [[0, 1], [0, 2]], [[1, 2], [0, 2]], [[0, 1], [0, 1]]]
        >>> len(boxes((2, 2, 1), 100))
        7
    """
    level = np.array([[[0, side] for side in shape]])
    levels, count = [level], 1
    while count < most and (sides := level[:, :, 1] - level[:, :, 0]).max() > 1:
        axis = int(sides.max(axis=0).argmax())
        middle = (level[:, axis].sum(axis=1) + 1) // 2
        first, second = level.copy(), level.copy()
        first[:, axis, 1] = second[:, axis, 0] = middle
        halves = np.stack([first, second], axis=1).reshape(-1, 3, 2)
        level = halves[halves[:, axis, 1] > halves[:, axis, 0]]
        levels.append(level)
        count += len(level)
    return np.concatenate(levels)[:most]
