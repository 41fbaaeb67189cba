"""FedBN: BatchNorm layers are not shared."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS
from fedrobust.algorithms.own_part import OwnPart
from fedrobust.models.layout import Layout


@ALGORITHMS.register("fedbn")
@dataclass(frozen=True, kw_only=True)
class FedBN(OwnPart):
    """Keep BatchNorm's scales, shifts and statistics at the client (Li et al., 2021, arXiv:2102.07623, Algorithm 1).

    For clients whose images differ (devices, protocols, contrast): each normalises by its own statistics, and only the
    other layers are shared. A client's model is the global one with its own BatchNorm.

    Malicious clients cannot change an honest client's normalisation, a common target of poisoning. With
    ``average=True`` they still change that of the global model, as in federated averaging.
    """

    own_statistics: ClassVar[bool] = True

    def own(self, layout: Layout) -> np.ndarray:
        """Return the mask of BatchNorm's parameters."""
        return layout.batchnorm
