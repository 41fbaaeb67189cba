"""Arithmetic shared by rules: on sorted rows, distances and norms."""

import numpy as np

from fedrobust.aggregation.contract import AggregationContext
from fedrobust.aggregation.updates import Updates


def middle(values: np.ndarray) -> np.ndarray:
    """Return the median of every row of `values` (b, n), which is ascending, as float64 (b,).

    Example:
        >>> middle(np.array([[1.0, 2, 9], [0, 1, 5]])).tolist(), middle(np.array([[1.0, 2]])).tolist()
        ([2.0, 1.0], [1.5])
    """
    n = values.shape[1]
    return (values[:, (n - 1) // 2].astype(np.float64) + values[:, n // 2]) / 2


def row_means(values: np.ndarray) -> np.ndarray:
    """Return the mean of every row of `values` (b, n) in float64; a product, which is faster than short sums."""
    n = values.shape[1]
    means: np.ndarray = values.astype(np.float64) @ np.full(n, 1.0 / n)
    return means


def mean_around_median(values: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of the `count` values of every row that lie nearest to the row's median, float64 (b,).

    Among sorted values the nearest ones are contiguous, so that only their start has to be found. Of two groups with
    equal distance the lower one is taken.

    Args:
        values: (b, n) float32; sorted in place.
        count: from 1 to n.

    Example:
        >>> mean_around_median(np.array([[0, 5, 6, 8, 99]], np.float32), 3).tolist()
        [6.333333333333333]
    """
    values.sort(axis=1)
    n = values.shape[1]
    centre = middle(values)
    begin = np.zeros(len(values), np.intp)
    nearest = np.full(len(values), np.inf)
    for start in range(n - count + 1):
        reach = np.maximum(centre - values[:, start], values[:, start + count - 1] - centre)
        better = reach < nearest
        begin[better] = start
        nearest = np.minimum(reach, nearest)
    return row_means(np.take_along_axis(values, begin[:, None] + np.arange(count), axis=1))


def krum_scores(squared: np.ndarray, f: int) -> np.ndarray:
    """Return the sum of squared distances from every update to its n - f - 2 nearest others, (n,) float64.

    Args:
        squared: (n, n) squared distances.
        f: number of malicious clients; at least one neighbour counts.
    """
    n = len(squared)
    neighbours = max(1, min(n - 1, n - f - 2))
    others = np.where(np.eye(n, dtype=bool), np.inf, squared)
    scores: np.ndarray = np.sort(others, axis=1)[:, :neighbours].sum(1) if n > 1 else np.zeros(1)
    return scores


def chosen_only(n: int, chosen: np.ndarray) -> np.ndarray:
    """Return equal shares (n,) for the `chosen` places and 0 for the others; all 0 where none is chosen."""
    shares = np.zeros(n)
    shares[chosen] = 1 / max(1, len(chosen))
    return shares


def clip_factors(lengths: np.ndarray, threshold: float) -> np.ndarray:
    """Return the factors that clip vectors of norm `lengths` to `threshold`, (n,) in (0, 1]."""
    return np.minimum(1.0, np.divide(threshold, lengths, out=np.ones_like(lengths), where=lengths > 0))


def deviations(values: np.ndarray) -> np.ndarray:
    """Return the distances of `values` (n,) to their median, in standard deviations; 0 where all are equal.

    Example:
        >>> deviations(np.array([1.0, 2, 3, 10])).round(3).tolist(), deviations(np.ones(3)).tolist()
        ([0.424, 0.141, 0.141, 2.121], [0.0, 0.0, 0.0])
    """
    apart = np.abs(values - np.median(values))
    deviation = values.std()
    return np.divide(apart, deviation, out=np.zeros_like(apart), where=deviation > 0)


def usual(values: np.ndarray, most: float) -> np.ndarray:
    """Return which of `values` (n,) are at most `most` standard deviations from their median, (n,) bool.

    Rounding is allowed for: two values, or two halves of equal values, are exactly one deviation from their median.
    """
    return deviations(values) <= most * (1 + 1e-9)


def with_noise(update: np.ndarray, deviation: float, context: AggregationContext) -> np.ndarray:
    """Return `update` (d,) with Gaussian noise of a standard `deviation` on every coordinate.

    Values are clipped to the range of float32.
    """
    if not deviation:
        return update
    most = np.finfo(np.float32).max
    noise = context.generator.standard_normal(len(update), dtype=np.float32)
    with np.errstate(over="ignore"):
        noisy = update + noise * np.float32(min(deviation, float(most)))
    return np.clip(noisy, -most, most)


def drawn_coordinates(updates: Updates, count: int, context: AggregationContext) -> np.ndarray:
    """Return `count` coordinates of all updates, drawn without repetition, (n, count) float64."""
    chosen = np.arange(updates.size)
    if count < updates.size:
        chosen = np.sort(context.generator.choice(updates.size, count, replace=False, shuffle=False))
    part = updates.matrix[:, chosen].astype(np.float64)
    return part if updates.mixture is None else updates.mixture @ part
