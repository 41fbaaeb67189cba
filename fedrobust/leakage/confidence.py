"""The confidence of a model in an image's own label, on the logit scale."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def confidence(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Return log(p / (1 - p)) of the probability p of each image's label, (n,).

    Computed as the label's logit minus the log of the summed exponentials of the others, which does not lose the
    digits of p near 1 (Carlini et al., 2022, arXiv:2112.03570, section IV-C). The cross-entropy is log(1 + exp(-it)).

    Args:
        logits: (n, classes).
        labels: (n,).

    Example:
        >>> confidence(np.array([[0.0, 0.0], [1.0, 3.0], [60.0, 0.0]]), np.array([0, 1, 0])).tolist()
        [0.0, 2.0, 60.0]
    """
    scores, rows = np.asarray(logits, np.float64), np.arange(len(labels))
    own, others = scores[rows, labels], scores.copy()
    others[rows, labels] = -np.inf
    highest = others.max(axis=1)
    found: Floats = own - highest - np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return found


def probability(confidences: Floats) -> Floats:
    """Return the probability p of which `confidences` is log(p / (1 - p)).

    Example:
        >>> probability(np.array([0.0, 800.0, -800.0])).tolist()
        [0.5, 1.0, 0.0]
    """
    shrunk = np.exp(-np.abs(confidences))
    found: Floats = np.where(confidences >= 0, 1 / (1 + shrunk), shrunk / (1 + shrunk))
    return found
