"""Square: a score-based random search."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, PositiveShare
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.kernels import kept
from fedrobust.evasion.rng import apart, integers, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, column

SHRINKS_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries, of 10,000, after which the share of pixels in a square is halved."""

ROUNDING = 1e-6
"""Change of a pixel that is none."""


@ATTACKS.register("square")
@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    """Random squares, kept where the margin increases (Andriushchenko et al., 2019, arXiv:1912.00049).

    Their Algorithms 1 to 3; perturbations have norm epsilon. It needs no gradient, so that gradient masking does not
    stop it. As in the official code no linf query is spent on a square that is there already: its sign is turned. That
    code draws again, which is the same for grey images.

    Attributes:
        queries: most queries for an image.
        share: share of the pixels in the first squares.
        restarts: searches on the unbroken images.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    white_box: ClassVar[bool] = False
    multilabel: ClassVar[bool] = True

    queries: Count = 1000
    share: PositiveShare = 0.8
    restarts: Count = 1

    @property
    def passes(self) -> int:
        """One for each query."""
        return self.restarts * (self.queries + 1)

    def run(self, state: SearchState) -> None:
        """Search from random vertical stripes (linf) or a grid of bumps (l2)."""
        for restart in range(self.restarts):
            state.begin_search()
            if len(state):
                self.search(state, restart)

    def search(self, state: SearchState, restart: int) -> None:
        """Propose squares until all images are broken or the queries are used up."""
        start, propose = (_stripes, _square) if state.threat.norm == "linf" else (_bumps, _bump)
        keys = apart(state.keys, restart)
        images = state.threat.project(start(state, keys), state.clean, state.epsilon)
        margin = np.nan_to_num(state.margins(state.query(images), state.labels), nan=-np.inf)
        keys, images, margin = kept(state.keep(), keys, images, margin)
        for step in state.steps(self.queries):
            side = side_of(self.share_at(step), *state.clean.shape[1:3])
            proposed = state.threat.project(
                propose(state, images, keys, step + 1, side), state.clean, state.epsilon
            )
            now = state.margins(state.query(proposed), state.labels)
            better = now > margin
            images = np.where(column(better) > 0, proposed, images)
            margin = np.where(better, now, margin)
            keys, images, margin = kept(state.keep(), keys, images, margin)

    def share_at(self, step: int) -> float:
        """Return the share of pixels in a square at a step."""
        scaled = step * 10_000 / self.queries
        return self.share / 2 ** sum(scaled > mark for mark in SHRINKS_AT)


def side_of(share: PositiveShare, height: int, width: int) -> int:
    """Return the side, in pixels, of a square that covers a share of an image.

    Example:
        >>> side_of(0.8, 28, 28), side_of(0.001, 28, 28)
        (25, 1)
    """
    return min(height, width, max(1, round(float(np.sqrt(share * height * width)))))


def _signs(keys: NDArray[np.uint64], counter: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.where(uniform(keys, counter, shape) < 0.5, -1.0, 1.0).astype(np.float32)


def _stripes(state: SearchState, keys: NDArray[np.uint64]) -> Images:
    _, width, channels = state.clean.shape[1:]
    return state.clean + np.float32(state.epsilon) * _signs(keys, 0, (1, width, channels))


def _square(state: SearchState, images: Images, keys: NDArray[np.uint64], step: int, side: int) -> Images:
    height, width, channels = images.shape[1:]
    place = uniform(keys, 3 * step, (2,))
    top = (place[:, 0] * (height - side + 1)).astype(np.int64)
    left = (place[:, 1] * (width - side + 1)).astype(np.int64)
    at, rows, columns = _window(top, left, side)
    moved = images.copy()
    signs = _signs(keys, 3 * step + 1, (1, 1, channels))
    offset = np.float32(state.epsilon) * signs
    window = state.clean[at, rows, columns]
    moved[at, rows, columns] = window + offset
    changed = np.abs(state.threat.project(moved, state.clean, state.epsilon) - images) > ROUNDING
    turned = np.where(column(changed.any(axis=(1, 2, 3))) > 0, offset, -offset)
    moved[at, rows, columns] = window + turned
    return moved


def _window(
    top: NDArray[np.int64], left: NDArray[np.int64], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return indices that pick a square of each image, (n, side, side, channels)."""
    reach = np.arange(side)
    at = np.arange(len(top))[:, None, None]
    return at, (top[:, None] + reach)[:, :, None], (left[:, None] + reach)[:, None, :]


def bump(height: int, width: int) -> NDArray[np.float32]:
    """Return a bump of l2 norm one around two centres, (height, width) (Algorithm 3's eta).

    One half is positive and the other negative.
    """
    first = height // 2
    upper = _pyramid(first or 1, width)
    lower = -_pyramid(height - first, width) if height > 1 else np.zeros((0, width), np.float32)
    whole = np.concatenate([upper[:first], lower]) if height > 1 else upper
    return (whole / np.sqrt((whole**2).sum())).astype(np.float32)


def _pyramid(height: int, width: int) -> NDArray[np.float32]:
    """Return concentric rectangles, increasing towards the centre."""
    values = np.zeros((height, width), np.float32)
    rows, columns = np.indices((height, width))
    depth = np.minimum(np.minimum(rows, height - 1 - rows), np.minimum(columns, width - 1 - columns))
    for ring in range(int(depth.max()) + 1):
        values += (depth >= ring) / np.float32((depth.max() - ring + 1) ** 2)
    return values


def _bumps(state: SearchState, keys: NDArray[np.uint64]) -> Images:
    height, width, channels = state.clean.shape[1:]
    side = max(1, min(height, width) // 5)
    change = np.zeros_like(state.clean)
    tile = bump(side, side)[None, :, :, None]
    count = 0
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            change[:, top : top + side, left : left + side] += tile * _signs(
                keys, 1_000_000 + count, (1, 1, channels)
            )
            count += 1
    length = np.sqrt((change**2).sum(axis=(1, 2, 3)))
    return state.clean + change * column(state.epsilon / np.maximum(length, 1e-12))


def _bump(state: SearchState, images: Images, keys: NDArray[np.uint64], step: int, side: int) -> Images:
    """Move the l2 budget of one square to another, so that the perturbation keeps norm epsilon (Algorithm 3)."""
    height, width, channels = images.shape[1:]
    side = max(side, min(3, height, width))
    change = images - state.clean
    first = integers(keys, 4 * step, height - side + 1), integers(keys, 4 * step + 1, width - side + 1)
    second = integers(keys, 4 * step + 2, height - side + 1), integers(keys, 4 * step + 3, width - side + 1)
    here, there = _window(*first, side), _window(*second, side)
    in_either = np.zeros(images.shape[:3], bool)
    in_either[here] = in_either[there] = True
    # The budget of both squares, plus the part that clipping to [0, 1] left unused.
    held = np.where(in_either[..., None], change, 0.0)
    spent = (held**2).sum(axis=(1, 2), keepdims=True)
    unused = np.maximum(state.epsilon**2 - (change**2).sum(axis=(1, 2, 3), keepdims=True), 0.0)
    budget = np.sqrt(spent + unused / channels)
    window = change[here]
    length = np.sqrt((window**2).sum(axis=(1, 2), keepdims=True))
    old = window / np.maximum(length, 1e-12)
    new = bump(side, side)[None, :, :, None] * _signs(keys, 5_000_000 + step, (1, 1, channels)) + old
    new = new / np.maximum(np.sqrt((new**2).sum(axis=(1, 2), keepdims=True)), 1e-12)
    moved = np.where(in_either[..., None], 0.0, change)
    moved[here] = new * budget.astype(np.float32)
    return (state.clean + moved).astype(np.float32)
