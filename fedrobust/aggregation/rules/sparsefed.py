"""SparseFed: clip updates, and apply only the largest values of what they add up to."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.kernels import clip_factors
from fedrobust.aggregation.selection import magnitude_threshold
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import LARGEST, NonNegative, PositiveShare


@RULES.register("sparsefed")
@dataclass(frozen=True, kw_only=True)
class SparseFed:
    """Average clipped updates, apply the largest values, keep the rest for later (Panda et al., arXiv:2112.06274).

    Algorithm 1 (AISTATS 2022): e <- e + mean of clipped updates; the largest values of e are applied and set to 0 in
    e (error feedback). A coordinate that only few clients move is rarely among them. Each client changes the sum of
    what is ever applied by at most threshold / n in each round; a single round applies what earlier ones kept back, so
    that its norm has no such bound.

    The official code has a server momentum besides, which ``federation.server-optimizer`` gives here, and sets
    clipping in each step of local training. Its error is lost if the rule is changed; a round that is not accepted
    leaves it as it was.

    Attributes:
        share: share of the model's values that is applied in a round (the paper's k; 1 to 10 % of the model in its
            experiments).
        threshold: largest norm (the paper's L), in the units of updates; 0: the median of the clients' norms.

    Example:
        >>> rule = SparseFed(share=0.5)
        >>> updates = Updates.of(np.array([[3, 1], [3, 1]], np.float32))
        >>> first = rule(updates, AggregationContext.of(updates))
        >>> first.update.tolist(), first.memory["error"].tolist()
        ([3.0, 0.0], [0.0, 1.0])
    """

    share: PositiveShare = 0.1
    threshold: NonNegative = 0.0

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the largest values of the error and the mean of the clipped `updates`."""
        threshold = self.threshold or float(np.median(updates.norms))
        factors = clip_factors(updates.norms, threshold)
        error = updates.combined(factors / len(updates))
        if "error" in context.memory:
            # Clients that send 3e38 in every round must not end in infinity.
            total = error.astype(np.float64) + context.memory["error"]
            error = np.clip(total, -LARGEST, LARGEST).astype(np.float32)
        count = max(1, int(self.share * updates.size))
        applied = np.where(np.abs(error) >= np.float32(magnitude_threshold([error], count)), error, 0)
        return Aggregation(applied, factors / factors.sum(), {"error": error - applied})
