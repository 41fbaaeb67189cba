"""Clusters of clients from the distances between them."""

import numpy as np


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
