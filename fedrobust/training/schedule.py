"""Learning rate schedules, and class shares and weights."""

from collections.abc import Callable

import numpy as np

SCHEDULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "constant": lambda progress: np.ones_like(progress),
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + np.cos(np.pi * progress)),
}


def progress(steps: int, round: int = 1, rounds: int = 1) -> np.ndarray:
    """Return the share of the study that is over at every local step of one round, (steps,) in [0, 1).

    It is the rounds before `round`, plus the share of this round's local steps done, over `rounds`: what depends on it
    changes equally at clients with few and with many steps.

    Args:
        steps: local steps of this round.
        round: this round.
        rounds: number of rounds of the study.

    Example:
        >>> progress(steps=2, round=2, rounds=2).tolist()
        [0.5, 0.75]
    """
    return np.asarray((round - 1 + np.arange(steps) / steps) / rounds)


def learning_rates(
    initial: float, schedule: str, steps: int, round: int = 1, rounds: int = 1, warmup: float = 0.0
) -> np.ndarray:
    """Return the learning rate of every local step of one round, (steps,) float32.

    The rate is a function of the share of the study that is over, see `progress`.

    Args:
        initial: rate at the first step of the study.
        schedule: "constant", "linear" (to 0) or "cosine" (to 0; Loshchilov and Hutter, 2016, arXiv:1608.03983).
        steps: local steps of this round.
        round: this round.
        rounds: number of rounds of the study.
        warmup: share of the study over which the rate rises linearly from 0 before it decays over the rest (Goyal et
            al., 2017, arXiv:1706.02677, section 2.2).

    Example:
        >>> learning_rates(1.0, "linear", steps=2, round=2, rounds=2).tolist()
        [0.5, 0.25]
        >>> learning_rates(1.0, "constant", steps=2, rounds=2, warmup=0.5).tolist()
        [0.5, 1.0]
    """
    over = progress(steps, round, rounds)
    if not warmup:
        return (initial * SCHEDULES[schedule](over)).astype(np.float32)
    rising = (over + 1 / (steps * rounds)) / warmup
    falling = SCHEDULES[schedule](np.maximum(over - warmup, 0.0) / (1 - warmup))
    return (initial * np.where(over < warmup, np.minimum(rising, 1.0), falling)).astype(np.float32)


def balanced_class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return n / (present classes * n_class) for every class, (classes,) float32; 0 for absent classes.

    Example:
        >>> balanced_class_weights(np.array([0, 0, 1, 1]), classes=3).tolist()
        [1.0, 1.0, 0.0]
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.zeros(classes, np.float32)
    weights[counts > 0] = len(labels) / (present * counts[counts > 0])
    return weights
