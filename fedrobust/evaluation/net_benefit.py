"""Net benefit: what treating those whom a model calls diseased is worth, against treating all or none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Probabilities of disease above which somebody is treated: from where missing it is far worse, to where it is not."""


def net_benefit(probability: NDArray[np.floating], diseased: NDArray[np.bool_], threshold: float) -> float:
    """Return the net benefit of treating those whose probability of disease is at least `threshold`.

    True positives less weighted false positives, per image: TP / n - FP / n * t / (1 - t) (Vickers and Elkin, 2006,
    doi:10.1177/0272989X06295361). Who treats from a probability t on holds a missed disease for (1 - t) / t times as
    bad as a needless treatment. Treating none is worth 0.

    Args:
        probability: of disease, (n,) in [0, 1].
        diseased: (n,) bool.
        threshold: above 0, below 1.

    Example:
        >>> ill = np.array([True, True, False, False, False])
        >>> net_benefit(np.array([0.9, 0.2, 0.6, 0.1, 0.1]), ill, threshold=0.5)  # 1/5 - 1/5
        0.0
        >>> round(net_benefit(np.ones(5), ill, threshold=0.2), 2)  # all: 2/5 - 3/5 / 4
        0.25
    """
    treated = probability >= threshold
    n = len(diseased)
    right, needless = int((treated & diseased).sum()), int((treated & ~diseased).sum())
    return right / n - needless / n * threshold / (1 - threshold)


def decision_curve(
    probability: NDArray[np.floating],
    diseased: NDArray[np.bool_],
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, tuple[float, float]]:
    """Return the net benefits of the model and of treating all, by threshold.

    Args:
        probability: of disease, (n,) in [0, 1].
        diseased: (n,) bool.
        thresholds: each above 0, below 1.

    Example:
        >>> decision_curve(np.array([0.9, 0.1]), np.array([True, False]), [0.5])
        {'0.5': (0.5, 0.0)}
    """
    everybody = np.ones(len(diseased))
    return {
        f"{each:g}": (net_benefit(probability, diseased, each), net_benefit(everybody, diseased, each))
        for each in thresholds
    }
