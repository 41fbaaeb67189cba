"""The points of a ROC curve."""

import numpy as np
from numpy.typing import NDArray

from fedrobust.evaluation.intervals import Floats


def roc_curve(positive: NDArray[np.bool_], score: Floats, most: int = 60) -> Floats:
    """Return the ROC curve: false and true positive rates by falling threshold, (k, 2), from (0, 0) to (1, 1).

    Points inside a straight piece are left out. A longer curve is thinned to `most` points at about equal distances
    along false plus true positive rate, so that drawn curves of any number of images look alike.

    Args:
        positive: (n,) which images are positives; at least one is, and one is not.
        score: (n,) larger for more likely positives; equal scores are one threshold.
        most: points, at least 2.

    Source: Fawcett (2006), An introduction to ROC analysis, algorithm 1.

    Example:
        >>> roc_curve(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.35, 0.8])).tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    order = np.argsort(-score, kind="stable")
    ranked = positive[order]
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # of equal scores
    counts = np.stack([np.cumsum(~ranked)[ends], np.cumsum(ranked)[ends]], axis=1)
    counts = np.vstack([[0, 0], counts])
    steps = np.diff(counts, axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] != steps[:-1, 1] * steps[1:, 0]
    points = counts[np.concatenate([[True], turns, [True]])] / counts[-1]
    if len(points) <= most:
        return np.asarray(points, np.float64)
    wanted = np.searchsorted(points.sum(axis=1), np.linspace(0, 2, most))
    return np.asarray(points[np.unique(np.append(0, wanted.clip(0, len(points) - 1)))], np.float64)
