"""FLTrust: weight clients by their similarity to the server's own update."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count


@RULES.register("fltrust")
@dataclass(frozen=True, kw_only=True)
class FLTrust:
    """Weight clients by the cosine to an update that the server computes itself (Cao et al., 2020, arXiv:2012.13995).

    Algorithm 2: trust ReLU(cos), lengths set to the server's. The server's root images come from the validation
    split. Tolerates any number of malicious clients as far as the root images speak for the task: the result is no
    longer than the server's own update, and leads less than 90° away from it.

    Attributes:
        images: of the server's root set.
    """

    SELECTS: ClassVar[bool] = True

    images: Count = 100

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the trusted mean of `updates`."""
        root = context.root(self.images).astype(np.float64)
        length = float(np.linalg.norm(root))
        scale = updates.norms * length
        cosines = np.divide(updates.inner_with(root), scale, out=np.zeros_like(scale), where=scale > 0)
        trust = np.maximum(cosines, 0)
        if not trust.any():
            return Aggregation(np.zeros(updates.size, np.float32), np.zeros(len(updates)))
        shares = trust / trust.sum()
        lengths = np.divide(length, updates.norms, out=np.zeros_like(scale), where=updates.norms > 0)
        return Aggregation(updates.combined(shares * lengths), shares)
