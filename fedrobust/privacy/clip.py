"""Norm clipping of each client's update."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.privacy.contract import POSTPROCESSORS
from fedrobust.vectors import length


def clipped(update: np.ndarray, norm: float) -> np.ndarray:
    """Return `update` (d,) float32 scaled down to at most `norm`; values that are not finite count as 0.

    Example:
        >>> clipped(np.array([3.0, 4.0], np.float32), 10.0).tolist()
        [3.0, 4.0]
    """
    # A hostile reply may hold values whose squares overflow, but none that is not finite passes the checks of replies.
    found = length(update)
    if found <= norm:
        return update
    if not np.isfinite(found):
        update = np.nan_to_num(update, nan=0.0, posinf=0.0, neginf=0.0)
        largest = float(np.abs(update).max(initial=0.0)) or 1.0
        return clipped((update / largest).astype(np.float32), norm)
    share = norm / found
    if share < np.finfo(np.float32).tiny:
        # float32 rounds such a number, up to its double.
        update = update.astype(np.float64)
    return (update * share).astype(np.float32)


@POSTPROCESSORS.register("clip")
@dataclass(frozen=True, kw_only=True)
class Clip:
    """Clip a client's update: u min(1, norm / ||u||) (McMahan et al., 2018, arXiv:1710.06963, section 2).

    It bounds the influence of one client. Differential privacy also needs noise, which this does not add: see
    `GaussianDP`.

    Attributes:
        norm: largest Euclidean norm of an update.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> Clip(norm=1.0).client(np.array([3.0, 4.0], np.float32), draw).tolist()
        [0.6000000238418579, 0.800000011920929]
        >>> Clip(norm=10.0).client(np.array([3.0, 4.0], np.float32), draw).tolist()
        [3.0, 4.0]
    """

    norm: Positive = 1.0

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update."""
        return clipped(update, self.norm)
