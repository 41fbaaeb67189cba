"""FedPer: personal heads, trained together with the shared layers."""

from dataclasses import dataclass

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS
from fedrobust.algorithms.own_part import OwnPart
from fedrobust.models.layout import Layout


@ALGORITHMS.register("fedper")
@dataclass(frozen=True, kw_only=True)
class FedPer(OwnPart):
    """Keep the head at the client, and train it with all other layers (Arivazhagan et al., 2019, arXiv:1912.00818).

    The head is the last layer, from features to logits. A client's model is the global one with its own head.

    Malicious clients affect others only through the shared layers. A backdoor that depends on the head is ineffective,
    because honest heads are trained on clean images.
    """

    def own(self, layout: Layout) -> np.ndarray:
        """Return the mask of the head's parameters."""
        return layout.head
