"""Projection onto a hyperplane within the box [0, 1]."""

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.threat import Norm

Rows = NDArray[np.float64]


def onto_hyperplane(points: Rows, slopes: Rows, values: Rows, norm: Norm) -> Rows:
    """Return the smallest change of each point with value + slope . change = 0, within [0, 1].

    Every coordinate moves by min(t v, room): room is its distance to the edge of the box, v is 1 in linf and |slope| in
    l2, and t solves sum |slope| min(t v, room) = |value|, whose left side is piecewise linear in t; t is found by
    sorting the breakpoints (the projections of Croce and Hein, 2019, arXiv:1907.02044, section 2.2).

    Args:
        points: (n, d) in [0, 1].
        slopes: (n, d) of an affine function.
        values: (n,) of the function at the points.
        norm: "linf" or "l2".

    Returns:
        (n, d) changes; where the hyperplane does not meet the box, to the corner of the box closest to it.

    Example:
        >>> points, slopes = np.array([[0.5, 0.5]]), np.array([[2.0, 1.0]])
        >>> onto_hyperplane(points, slopes, np.array([0.6]), "linf").round(2).tolist()
        [[-0.2, -0.2]]
        >>> onto_hyperplane(points, slopes, np.array([0.5]), "l2").round(2).tolist()
        [[-0.2, -0.1]]
    """
    direction = -np.sign(values)[:, None] * np.sign(slopes)
    weight = np.abs(slopes)
    room = np.where(direction > 0, 1.0 - points, points)
    speed = np.where(weight > 0, 1.0, 0.0) if norm == "linf" else weight
    edge = np.full_like(room, np.inf)
    np.divide(room, speed, out=edge, where=speed > 0)
    order = np.argsort(edge, axis=1)
    edge_in_order = np.take_along_axis(edge, order, axis=1)
    # Coordinates before the breakpoint are at the edge of the box, the others still move.
    done = np.cumsum(np.take_along_axis(weight * room, order, axis=1), axis=1)
    rate = np.take_along_axis(weight * speed, order, axis=1)
    moving = rate.sum(axis=1, keepdims=True) - np.cumsum(rate, axis=1)
    finite = np.where(np.isfinite(edge_in_order), edge_in_order, 0.0)
    piece = (done + finite * np.maximum(moving, 0.0) < np.abs(values)[:, None]).sum(axis=1)
    rows = np.arange(len(points))
    place = np.minimum(piece, points.shape[1] - 1)
    before = np.where(piece > 0, done[rows, np.maximum(piece - 1, 0)], 0.0)
    left = moving[rows, place] + rate[rows, place]
    t = np.full(len(points), np.inf)
    np.divide(np.abs(values) - before, left, out=t, where=(left > 0) & (piece < points.shape[1]))
    with np.errstate(invalid="ignore"):
        length = np.where(speed > 0, np.minimum(t[:, None] * speed, room), 0.0)
    return direction * np.maximum(length, 0.0)


def steepness(slopes: Rows, norm: Norm) -> Rows:
    """Return the dual norm of the slopes, (n,): the largest increase of the function over a change of norm one."""
    return np.abs(slopes).sum(axis=1) if norm == "linf" else size(slopes, norm)


def size(change: Rows, norm: Norm) -> Rows:
    """Return the norm of each row, (n,)."""
    return np.abs(change).max(axis=1) if norm == "linf" else np.sqrt(np.einsum("nd,nd->n", change, change))
