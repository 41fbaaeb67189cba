"""Norm clipping of each client's update."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.privacy.contract import POSTPROCESSORS


@POSTPROCESSORS.register("clip")
@dataclass(frozen=True, kw_only=True)
class Clip:
    """Clip a client's update: u min(1, norm / ||u||) (McMahan et al., 2018, arXiv:1710.06963, section 2).

    It bounds the influence of one client. Differential privacy also needs noise, which this does not add.

    Attributes:
        norm: largest Euclidean norm of an update.

    Example:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> Clip(norm=1.0).client(np.array([3.0, 4.0], np.float32), draw).tolist()
        [0.6000000238418579, 0.800000011920929]
        >>> Clip(norm=10.0).client(np.array([3.0, 4.0], np.float32), draw).tolist()
        [3.0, 4.0]
    """

    norm: Positive = 1.0

    def client(self, update: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the clipped update."""
        # Not by BLAS, whose last bits depend on its threads: engines would differ.
        length = float(np.sqrt(np.sum(np.square(update, dtype=np.float64))))
        return update if length <= self.norm else (update * (self.norm / length)).astype(np.float32)
