"""Minimum diameter averaging: the mean of the subset with the smallest diameter."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, ByzantineTolerant
from fedrobust.aggregation.kernels import chosen_only
from fedrobust.aggregation.updates import Updates


def smallest_group(distances: np.ndarray, f: int) -> np.ndarray:
    """Return the n - f places whose largest distance between two of them is smallest, exactly.

    A group keeps within a diameter if those left out touch every pair that is farther apart: a vertex cover of f
    points. Whether there is one takes fewer than 2^f steps, not the (n choose f) of trying all groups, and the
    smallest diameter is found by bisection over the distances.

    Args:
        distances: (n, n).
        f: how many are left out.

    Example:
        >>> points = np.array([0.0, 1, 2, 50, 3])
        >>> smallest_group(abs(points[:, None] - points[None]), 1).tolist()
        [0, 1, 2, 4]
    """
    # Several groups may have that diameter: whatever the order of the clients, the same one is found. Beside one that
    # is very far away, the sums of the others are all alike: then the sums over the n - f nearest decide.
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
    # Fewer than f may have had to go: those that are farthest from the others go with them.
    while len(kept) > n - f:
        kept = np.delete(kept, np.argmax(distances[np.ix_(kept, kept)].sum(1)))
    return kept


def _cover(far: np.ndarray, budget: int) -> frozenset[int] | None:
    """Return at most `budget` points that touch every pair of `far` (n, n) bool, or None if there are none such."""
    degrees = far.sum(1)
    worst = int(np.argmax(degrees))
    most = int(degrees[worst])
    if most == 0:
        return frozenset()
    if budget == 0 or degrees.sum() > 2 * budget * most:
        return None
    # Either the point goes, or all that are far from it do.
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

    Tolerates f < n / 2 malicious clients: the result is no farther from the honest mean than 2 f / (n - f) times what
    two honest clients are apart at most. The group is the exact one.
    """

    SELECTS: ClassVar[bool] = True

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the closest group of `updates`."""
        n = len(updates)
        self.require(n)
        shares = chosen_only(n, smallest_group(updates.distances, self.f))
        return Aggregation(updates.combined(shares), shares)
