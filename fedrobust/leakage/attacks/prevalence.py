"""The share of a class at a hospital, from its update."""

from dataclasses import dataclass

import numpy as np

from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LEAKAGE, PropertyAttack

PENALTIES = tuple(10.0**power for power in range(-6, 5))
"""Ridge penalties that are tried, in units of the mean squared length of the updates."""


@LEAKAGE.register("prevalence")
@dataclass(frozen=True, kw_only=True)
class Prevalence(PropertyAttack):
    """Regress the share of a class on updates (after Melis et al., 2019, arXiv:1805.04049, section 4.4).

    Shadow clients, whose images are drawn from the server's own with known shares, give updates of the same global
    model; ridge regression, with the penalty of the smallest leave-one-out error, reads the share from the client's.
    The paper asks whether an image of a kind is in a batch, and uses a random forest.

    Attributes:
        updates: shadow clients for each attacked client.
        round: of the attacked updates, see `output.keep-every`.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> direction, shares = draw.normal(size=50), draw.random(40)
        >>> updates = shares[:, None] * direction + 0.01 * draw.normal(size=(40, 50))
        >>> found = Prevalence(updates=30)(updates[:30], shares[:30], updates[30:])
        >>> bool(np.abs(found - shares[30:]).max() < 0.02)
        True
    """

    def __call__(self, updates: Floats, properties: Floats, attacked: Floats) -> Floats:
        """Return the estimated shares of the attacked updates, (m,), in [0, 1]."""
        centre, mean = updates.mean(axis=0), properties.mean()
        rows, asked = updates - centre, attacked - centre
        inner = rows @ rows.T
        scale = max(float(np.trace(inner)) / len(rows), 1e-30)
        values, vectors = np.linalg.eigh(inner)
        values = np.clip(values, 0, None)
        projected = vectors.T @ (properties - mean)
        # Leave-one-out residuals of ridge regression, from the hat matrix; the constant costs 1 / n.
        errors = []
        for penalty in PENALTIES:
            shrunk = values / (values + penalty * scale)
            residuals = properties - mean - vectors @ (shrunk * projected)
            kept = 1 - 1 / len(rows) - np.einsum("ij,j,ij->i", vectors, shrunk, vectors)
            errors.append(float(np.mean((residuals / np.maximum(kept, 1e-9)) ** 2)))
        penalty = PENALTIES[int(np.argmin(errors))] * scale
        weights = vectors @ (projected / (values + penalty))
        found: Floats = np.clip(mean + asked @ (rows.T @ weights), 0, 1)
        return found
