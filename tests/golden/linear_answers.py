"""A linear model in the place of a network's answers, for rules that ask models."""

import numpy as np


class LinearAnswers:
    """Logits are the update's sums over parts of it, in units of `scale`; losses are distances to a goal.

    Args:
        classes: number of classes.
        goal: (d,) the update with the smallest loss.
        scale: of updates.
    """

    def __init__(self, classes: int, goal: np.ndarray, scale: float = 1.0):
        self._classes, self._goal, self._scale = classes, goal.astype(np.float64), scale

    def on_noise(self, update, statistics, images, seed):
        """Return probabilities (images, classes) that depend on the update, its statistics and the noise."""
        parts = np.array_split(update.astype(np.float64) / self._scale, self._classes)
        logits = np.array([part.mean() for part in parts]) + statistics[: self._classes].sum()
        noise = np.random.default_rng(seed).random((images, self._classes))
        odds = np.exp(np.clip(logits * noise, -50, 50))
        return odds / odds.sum(1, keepdims=True)

    def fused(self, models, start, fusion, round):
        """Return the update after `fusion.steps` steps that each take it a part of the way to the models' mean."""
        mean = np.mean([update.astype(np.float64) for update, _ in models], axis=0)
        return start[0] + (1 - (1 - min(fusion.learning_rate, 1.0)) ** fusion.steps) * (mean - start[0])

    def class_losses(self, update, statistics, images):
        """Return the squared distance to the goal in each part of the update, (classes,)."""
        apart = np.clip((update - self._goal) / self._scale, -1e9, 1e9)
        return np.array([float((part**2).mean()) for part in np.array_split(apart, self._classes)])
