"""How the learning rate falls over a study."""

from collections.abc import Callable

import numpy as np

SCHEDULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "constant": lambda progress: np.ones_like(progress),
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + np.cos(np.pi * progress)),
}


def learning_rates(initial: float, schedule: str, steps: int, round: int = 1, rounds: int = 1) -> np.ndarray:
    """Return the learning rate of every local step of one round, shape (steps,) float32.

    The rate falls with the share of the study that is over: round `round` of `rounds` (counted from 1), and within
    it the share of the local steps done. Clients with few images take few steps and fall as far.

    Args:
        initial: rate at the first step of the study.
        schedule: "constant", "linear" (to 0) or "cosine" (to 0; Loshchilov and Hutter, 2016, arXiv:1608.03983).
        steps: local steps of this round.
        round: this round.
        rounds: of the whole study.

    Example:
        >>> learning_rates(1.0, "linear", steps=2, round=2, rounds=2).tolist()
        [0.5, 0.25]
    """
    progress = (round - 1 + np.arange(steps) / steps) / rounds
    return (initial * SCHEDULES[schedule](progress)).astype(np.float32)


def balanced_class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return n / (present classes * n_class) for every class, (classes,) float32; 0 for a class that is absent.

    Example:
        >>> balanced_class_weights(np.array([0, 0, 1, 1]), classes=3).tolist()
        [1.0, 1.0, 0.0]
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.zeros(classes, np.float32)
    weights[counts > 0] = len(labels) / (present * counts[counts > 0])
    return weights
