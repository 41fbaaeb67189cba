"""The likelihood-ratio attack on membership."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import FromTwo
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LEAKAGE, Evidence, MembershipAttack

FEWEST = 32
"""Shadows with, and without, an image from which its own variance is estimated: 64 in all, as in the paper."""


@LEAKAGE.register("lira")
@dataclass(frozen=True, kw_only=True)
class LiRA(MembershipAttack):
    """Compare two Gaussians of an image's confidence: of models with it and without it (Carlini et al., 2022,
    arXiv:2112.03570, algorithm 1 and section V).

    Online, the score is log N(c; mean and variance with the image) - log N(c; without it). Offline, it is the distance
    from the models without the image, (c - mean) / deviation, which orders as the paper's 1 - Pr[Z > c]. The image is
    asked once; the paper also asks mirrored and shifted copies.

    Attributes:
        shadows: shadow federations.
        form: "online" needs shadows with and without each image; "offline" uses those without; "auto": online where
            every image has at least two of each.
        variance: "image": of each image; "shared": one for all images with and one without; "auto": shared below 64
            shadows, as the paper advises.

    Example:
        >>> shadows = np.array([[[3.0]], [[1.0]], [[5.0]], [[-1.0]]])
        >>> members = np.array([[True], [False], [True], [False]])
        >>> evidence = Evidence(np.array([[4.0]]), shadows, members)
        >>> LiRA(shadows=4)(evidence).tolist()  # means 4 and 0, variance 2: 4^2 / (2 * 2)
        [4.0]
        >>> LiRA(shadows=4, form="offline")(evidence).round(3).tolist()  # 4 / sqrt(2)
        [2.828]
    """  # noqa: D205

    shadows: FromTwo = 32
    form: Literal["auto", "online", "offline"] = "auto"
    variance: Literal["auto", "image", "shared"] = "auto"

    @property
    def federations(self) -> int:
        """Number of shadow federations that it needs."""
        return self.shadows

    def __call__(self, evidence: Evidence) -> Floats:
        """Return the log likelihood ratio, or the distance from the models without the image, of each image."""
        seen, there, asked = evidence.shadows[:, -1], evidence.members, evidence.target[-1]
        fewest = min(int(there.sum(axis=0).min()), int((~there).sum(axis=0).min()))
        online = self.form == "online" or (self.form == "auto" and fewest >= 2)
        shared = self.variance == "shared" or (self.variance == "auto" and len(seen) < 2 * FEWEST)
        out_mean, out_variance = gaussian(seen, ~there, shared)
        if not online:
            return (asked - out_mean) / np.sqrt(out_variance)
        in_mean, in_variance = gaussian(seen, there, shared)
        found: Floats = log_density(asked, in_mean, in_variance) - log_density(asked, out_mean, out_variance)
        return found


def gaussian(values: Floats, chosen: NDArray[np.bool_], shared: bool) -> tuple[Floats, Floats]:
    """Return mean and unbiased variance of the chosen values of each column, (n,) and (n,).

    Args:
        values: (s, n).
        chosen: the values that count, (s, n).
        shared: whether the variance is one of all columns, about each one's mean.

    Raises:
        ValueError: a column has no chosen value, or too few for a variance.
    """
    counts = chosen.sum(axis=0)
    if counts.min() < (1 if shared else 2):
        raise ValueError(
            f"an image has {int(counts.min())} shadow federations of a kind: train more of them (shadows), or choose "
            'form = "offline"'
        )
    means = np.where(chosen, values, 0).sum(axis=0) / counts
    squares = (np.where(chosen, values - means, 0) ** 2).sum(axis=0)
    if shared and not (counts > 1).any():
        raise ValueError(
            "no image has two shadow federations of a kind, which a variance takes: train more of them (shadows)"
        )
    spread = np.full(len(means), squares.sum() / (counts - 1).sum()) if shared else squares / (counts - 1)
    # Shadows that agree to the last bit leave no variance to divide by.
    return means, np.maximum(spread, 1e-12)


def log_density(values: Floats, means: Floats, variances: Floats) -> Floats:
    """Return the log density of normal distributions, without the constant."""
    found: Floats = -0.5 * np.log(variances) - (values - means) ** 2 / (2 * variances)
    return found
