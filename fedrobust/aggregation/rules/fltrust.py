"""FLTrust: weight clients by their similarity to the server's own update."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count
from fedrobust.vectors import length


@RULES.register("fltrust")
@dataclass(frozen=True, kw_only=True)
class FLTrust:
    """Weight clients by the cosine to an update that the server computes itself (Cao et al., 2020, arXiv:2012.13995).

    Algorithm 2: trust scores ReLU(cos), norms set to that of the server's update. The server's root images are drawn
    from the validation split. It trains on them for as many steps as the client with the median number of images: in
    the paper server and clients make equally many, and otherwise `images` would be a step size. Tolerates any number of
    malicious clients if the root images are representative: the norm of the result is at most that of the server's
    update, and the angle between them is below 90°.

    Attributes:
        images: number of the server's root images. More of them represent the clients' better; the length of the
            server's update hardly depends on it.
    """

    SELECTS: ClassVar[bool] = True
    TO_SCALE: ClassVar[bool] = True

    images: Count = 100

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of `updates` weighted by trust scores."""
        root = context.root(self.images).astype(np.float64)
        own = length(root)
        scale = updates.norms * own
        cosines = np.divide(updates.inner_with(root), scale, out=np.zeros_like(scale), where=scale > 0)
        trust = np.maximum(cosines, 0)
        if not trust.any():
            return Aggregation(np.zeros(updates.size, np.float32), np.zeros(len(updates)))
        shares = trust / trust.sum()
        lengths = np.divide(own, updates.norms, out=np.zeros_like(scale), where=updates.norms > 0)
        return Aggregation(updates.combined(shares * lengths), shares)
