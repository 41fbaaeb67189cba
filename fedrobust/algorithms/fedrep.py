"""FedRep: personal heads, trained before the shared layers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.algorithms.contract import ALGORITHMS, Train
from fedrobust.algorithms.own_part import OwnPart
from fedrobust.bounds import Count
from fedrobust.models.layout import Layout, Weights


@ALGORITHMS.register("fedrep")
@dataclass(frozen=True, kw_only=True)
class FedRep(OwnPart):
    """Train the client's own head first, then the shared layers under it (Collins et al., 2021, arXiv:2102.07078).

    Algorithm 1: `head_epochs` passes that change the head alone, then the study's ``training.epochs`` passes that
    change all other layers. BatchNorm's statistics belong to the shared layers, and follow both.

    Malicious clients: as in `fedper`.

    Attributes:
        head_epochs: passes over the images for the head.
    """

    head_epochs: Count = 1

    steered: ClassVar[bool] = True

    def own(self, layout: Layout) -> np.ndarray:
        """Return the mask of the head's parameters."""
        return layout.head

    def passes(self, epochs: int) -> int:
        """Return the passes for the head and for the other layers."""
        return self.head_epochs + epochs

    def local(self, start: Weights, train: Train) -> Weights:
        """Return the weights after the head's passes, then those of the other layers."""
        head = self.own(train.layout)
        return train(train(start, trained=head, epochs=self.head_epochs), trained=~head)
