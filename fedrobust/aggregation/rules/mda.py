"""Minimum diameter averaging: the mean of the subset with the smallest diameter."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import chosen_only
from fedrobust.aggregation.updates import Updates


def smallest_group(distances: np.ndarray, f: int) -> np.ndarray:
    """Return the positions of the subset of n - f points with the smallest diameter, exactly.

    A subset has at most a given diameter if the omitted points are a vertex cover of the pairs with a larger
    distance. A cover of f points is found in fewer than 2^f steps, instead of the (n choose f) subsets, and the
    smallest diameter by bisection over the distances.

    Args:
        distances: (n, n).
        f: number of omitted points.

    Example:
        >>> points = np.array([0.0, 1, 2, 50, 3])
        >>> smallest_group(abs(points[:, None] - points[None]), 1).tolist()
        [0, 1, 2, 4]
    """
    # Several subsets may have that diameter: the choice must not depend on the order of the clients. Beside a very
    # distant point the sums of distances are all equal: then the sums over the n - f nearest decide.
    near = np.sort(distances, axis=1)[:, : len(distances) - f].sum(1)
    order = np.lexsort((near, distances.sum(1)))
    return np.sort(order[_smallest_group(distances[np.ix_(order, order)], f)])


def _smallest_group(distances: np.ndarray, f: int) -> np.ndarray:
    n = len(distances)
    diameters = np.unique(np.append(distances[np.triu_indices(n, 1)], 0.0))
    low, high = 0, len(diameters) - 1
    while low < high:
        middle = (low + high) // 2
        if _cover(distances > diameters[middle], f) is None:
            low = middle + 1
        else:
            high = middle
    left_out = _cover(distances > diameters[low], f)
    assert left_out is not None
    kept = np.setdiff1d(np.arange(n), sorted(left_out))
    # If fewer than f points are omitted, those farthest from the others are omitted, too.
    while len(kept) > n - f:
        kept = np.delete(kept, np.argmax(distances[np.ix_(kept, kept)].sum(1)))
    return kept


def _cover(far: np.ndarray, budget: int) -> frozenset[int] | None:
    """Return a vertex cover of the pairs in `far` (n, n) bool with at most `budget` points, None if there is none."""
    degrees = far.sum(1)
    worst = int(np.argmax(degrees))
    most = int(degrees[worst])
    if most == 0:
        return frozenset()
    if budget == 0 or degrees.sum() > 2 * budget * most:
        return None
    # Either the point is in the cover, or all points far from it are.
    alone = _cover_after(far, np.array([worst]), budget)
    if alone is not None or most > budget:
        return alone
    return _cover_after(far, np.flatnonzero(far[worst]), budget)


def _cover_after(far: np.ndarray, gone: np.ndarray, budget: int) -> frozenset[int] | None:
    rest = far.copy()
    rest[gone] = False
    rest[:, gone] = False
    found = _cover(rest, budget - len(gone))
    return None if found is None else found | {int(place) for place in gone}


@RULES.register("mda")
@dataclass(frozen=True, kw_only=True)
class MinimumDiameter(ByzantineTolerant):
    """Average the n - f updates with the smallest diameter (Rousseeuw, 1985; El Mhamdi et al., arXiv:1905.03853).

    Tolerates f < n / 2 malicious clients: the distance of the result to the honest mean is at most 2 f / (n - f)
    times the largest distance between two honest clients. The subset is found exactly.
    """

    SELECTS: ClassVar[bool] = True

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the subset of `updates` with the smallest diameter."""
        n = len(updates)
        self.require(n)
        shares = chosen_only(n, smallest_group(updates.distances, self.f))
        return Aggregation(updates.combined(shares), shares)
