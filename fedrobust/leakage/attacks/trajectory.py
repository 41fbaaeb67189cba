"""Membership inference from the global models of several rounds."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import FromTwo, NonNegative
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LEAKAGE, Evidence, MembershipAttack, Sees

STEPS = 25
"""Newton steps of the logistic regression, which converges in about six."""


@LEAKAGE.register("trajectory")
@dataclass(frozen=True, kw_only=True)
class Trajectory(MembershipAttack):
    """Classify an image's confidences over the rounds, as any client can (after Zari et al., 2021, arXiv:2111.00430).

    From each confidence the mean over shadows without the image is subtracted; a logistic regression, fitted to the
    shadows' members and others, weighs the rounds. The paper trains a network on uncalibrated probabilities.

    Attributes:
        shadows: shadow federations.
        penalty: weight of half the squared coefficients, per image.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> members = np.concatenate([half := draw.random((4, 50)) < 0.5, ~half])
        >>> shadows = draw.normal(size=(8, 2, 50)) + 3 * members[:, None] * np.array([0.0, 1.0])[:, None]
        >>> scores = Trajectory(shadows=8)(Evidence(np.array([[0.0] * 50, [3.0] * 25 + [0.0] * 25]), shadows, members))
        >>> bool(scores[:25].mean() > scores[25:].mean() + 2)
        True
    """

    sees: ClassVar[Sees] = "rounds"

    shadows: FromTwo = 32
    penalty: NonNegative = 1e-3

    @property
    def federations(self) -> int:
        """Number of shadow federations that it needs."""
        return self.shadows

    def __call__(self, evidence: Evidence) -> Floats:
        """Return the log odds of membership of each image."""
        outside = ~evidence.members[:, None]
        counts = outside.sum(axis=0)
        if counts.min() < 2:
            raise ValueError("trajectory needs two shadow federations without each image: raise shadows")
        total = np.where(outside, evidence.shadows, 0).sum(axis=0)
        # A shadow is left out of the mean that is subtracted from it, as the target is.
        means = (total - np.where(outside, evidence.shadows, 0)) / (counts - outside)
        calibrated = evidence.shadows - means
        rows = np.moveaxis(calibrated, 1, 2).reshape(-1, calibrated.shape[1])
        scale = np.maximum(rows.std(axis=0), 1e-12)
        weights = logistic_regression(rows / scale, evidence.members.ravel(), self.penalty)
        asked = (evidence.target - total / counts).T / scale
        found: Floats = asked @ weights[:-1] + weights[-1]
        return found


def logistic_regression(rows: Floats, positive: NDArray[np.bool_], penalty: float) -> Floats:
    """Return the coefficients (d + 1,), the constant last, that minimise mean log loss + penalty / 2 |w|^2.

    Args:
        rows: (n, d).
        positive: (n,).
        penalty: of the coefficients; the constant is free.
    """
    design = np.column_stack([rows, np.ones(len(rows))])
    weights = np.zeros(design.shape[1])
    ridge = np.diag([penalty] * rows.shape[1] + [1e-9])
    for _ in range(STEPS):
        odds = np.clip(design @ weights, -30, 30)
        p = 1 / (1 + np.exp(-odds))
        slope = design.T @ (p - positive) / len(rows) + ridge @ weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design / len(rows) + ridge
        weights = weights - np.linalg.solve(curvature, slope)
    return weights
