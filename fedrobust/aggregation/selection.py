"""The largest magnitudes of a long vector."""

from collections.abc import Sequence

import numpy as np

SHORT = 2**17
"""Length up to which a vector is partitioned as a whole."""

SAMPLE = 2**14
"""Number of values that locate the threshold of a longer vector."""

CHUNK = 2**16
"""Values read at a time, whose temporary arrays fit into the processor's cache."""


def magnitude_threshold(parts: Sequence[np.ndarray], count: int) -> float:
    """Return the `count`-th largest magnitude among the values of `parts`, exactly.

    The magnitudes of a sample locate the threshold in an interval of a few percent of all values; only those are
    partitioned. If the sample misleads, all are.

    Args:
        parts: vectors of float32 values.
        count: from 1 to their number.

    Example:
        >>> magnitude_threshold([np.array([3, -5], np.float32), np.array([0, 4], np.float32)], 2)
        4.0
    """
    total = sum(len(part) for part in parts)
    if total > SHORT:
        found = _located(parts, count, total)
        if found is not None:
            return found
    return _largest(np.abs(np.concatenate(parts)), count)


def _located(parts: Sequence[np.ndarray], count: int, total: int) -> float | None:
    """Return the threshold if it lies in the interval that a sample gives, else None."""
    step = max(1, total // SAMPLE)
    sample = np.sort(np.abs(np.concatenate([part[::step] for part in parts])))[::-1]
    share = count / total
    reach = 5 * np.sqrt(share * (1 - share) / len(sample)) + 2 / len(sample)
    first, last = (int((share + side * reach) * len(sample)) for side in (-1, 1))
    high = sample[first] if first >= 0 else np.inf
    low = sample[last] if last < len(sample) else -1.0
    above, between = 0, []
    for part in parts:
        for start in range(0, len(part), CHUNK):
            chunk = np.abs(part[start : start + CHUNK])
            above += int(np.count_nonzero(chunk > high))
            between.append(chunk[(chunk >= low) & (chunk <= high)])
    inside = np.concatenate(between)
    if not above < count <= above + len(inside):
        return None
    return _largest(inside, count - above)


def _largest(magnitudes: np.ndarray, count: int) -> float:
    place = len(magnitudes) - count
    return float(np.partition(magnitudes, place)[place])
