"""Clusters of clients from the distances between them."""

import numpy as np

MOST_STEPS = 100
"""Most steps of Lloyd's algorithm."""

MOST_STARTS = 16
"""Most starts of Lloyd's algorithm from each point."""


def majority_cluster(distances: np.ndarray) -> np.ndarray:
    """Return the members of the cluster of more than half of the points, (n,) bool; all points if there is none.

    HDBSCAN with clusters of more than half of the points; fewer than three points are all accepted.

    Args:
        distances: (n, n), symmetric up to rounding.

    Example:
        >>> points = np.array([0.0, 0.1, 0.2, 9.0])
        >>> majority_cluster(np.abs(points[:, None] - points)).tolist()
        [True, True, True, False]
    """
    n = len(distances)
    if n < 3:
        return np.ones(n, np.bool_)
    labels = clusters(distances, smallest=n // 2 + 1, neighbours=1, single=True)
    found = labels[labels >= 0]
    if not len(found):
        return np.ones(n, np.bool_)
    accepted: np.ndarray = labels == np.argmax(np.bincount(found))
    return accepted


def clusters(distances: np.ndarray, smallest: int, neighbours: int, single: bool) -> np.ndarray:
    """Return the HDBSCAN cluster of each point, (n,); -1 for points in none.

    Args:
        distances: (n, n), symmetric up to rounding.
        smallest: number of points of a cluster, from 2.
        neighbours: number of points, itself included, within the core distance of a point.
        single: whether all points may be one cluster.
    """
    from sklearn.cluster import HDBSCAN

    distances = np.maximum((distances + distances.T) / 2, 0)
    np.fill_diagonal(distances, 0)
    found: np.ndarray = HDBSCAN(
        min_cluster_size=smallest,
        min_samples=neighbours,
        metric="precomputed",
        allow_single_cluster=single,
        copy=True,
    ).fit_predict(distances)
    return found


def two_means(points: np.ndarray) -> np.ndarray:
    """Return the cluster of each of `points` (n, k), 0 or 1, of the best 2-means clustering found, (n,).

    Lloyd's algorithm from pairs of points: each with its farthest one, its second farthest and so on. The result does
    not depend on the order of the points.

    Example:
        >>> two_means(np.array([[0.0], [1], [9], [8]])).tolist()
        [0, 0, 1, 1]
    """
    apart = ((points[:, None] - points[None]) ** 2).sum(-1)
    partners = np.argsort(-apart, axis=1, kind="stable")[:, : min(len(points) - 1, MOST_STARTS)]
    least, best = np.inf, np.zeros(len(points), np.int64)
    for places in partners.T:
        labels, costs = _lloyd(points, np.stack([points, points[places]], axis=1))
        start = int(costs.argmin())
        if costs[start] < least:
            least, best = float(costs[start]), labels[start]
    return best if best[0] == 0 else 1 - best


def _lloyd(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters (starts, n) and their sums of squares (starts,) from first `centres` (starts, 2, k)."""
    labels = np.full((len(centres), len(points)), -1)
    for _ in range(MOST_STEPS):
        reach = ((points[None, :, None] - centres[:, None]) ** 2).sum(-1)
        found = reach.argmin(2)
        if (found == labels).all():
            break
        labels = found
        for cluster in (0, 1):
            members = (labels == cluster).astype(np.float64)
            counts = members.sum(1, keepdims=True)
            moved = members @ points / np.maximum(counts, 1)
            centres[:, cluster] = np.where(counts > 0, moved, centres[:, cluster])
    return labels, reach.min(2).sum(1)


def larger_cluster(points: np.ndarray) -> np.ndarray:
    """Return the members of the larger of two clusters of `points` (n, k), (n,) bool.

    Of two clusters of equal size the one whose centre is nearer to the median of all points. Fewer than three points,
    and equal points, are all members.

    Example:
        >>> larger_cluster(np.array([[0.0], [1], [9], [2]])).tolist()
        [True, True, False, True]
    """
    n = len(points)
    if n < 3 or not np.ptp(points, axis=0).any():
        return np.ones(n, np.bool_)
    labels = two_means(points)
    sizes = np.bincount(labels, minlength=2)
    if sizes[0] != sizes[1]:
        return np.asarray(labels == sizes.argmax())
    middle = np.median(points, axis=0)
    apart = [float(((points[labels == cluster].mean(0) - middle) ** 2).sum()) for cluster in (0, 1)]
    return np.asarray(labels == int(np.argmin(apart)))
