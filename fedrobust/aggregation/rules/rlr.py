"""Robust learning rate: flip the sign of the step where clients' signs disagree."""

from dataclasses import dataclass, replace

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, InfeasibleError
from fedrobust.aggregation.updates import Updates
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.bounds import NonNegative


@RULES.register("rlr")
@dataclass(frozen=True, kw_only=True)
class RobustLearningRate(SiteWeights):
    """Average with a negative learning rate where signs disagree (Ozdayi et al., 2020, arXiv:2007.03767, equation 4).

    A coordinate has its mean update if the absolute sum of signs is at least the threshold, and the negated one
    otherwise. Designed against backdoors in few clients; where honest clients disagree, training is slower. Only signs
    decide: the size of the mean is not bounded. ``clipping`` or ``arc`` before it bound the norm of the result by
    that of an honest update.

    The paper weights the mean by images and counts signs by clients. With weights both are weighted here, and the
    threshold is a share of the weight, times n: otherwise the signs of many small sites would turn round a large one.

    Attributes:
        threshold: in clients; 0: 0.4 n, as the 4 of 10 clients in the paper's experiments. In a round with fewer
            updates than it asked for it is lowered by the same share.
    """

    threshold: NonNegative = 0.0

    def fits(self, n: int) -> None:
        """Refuse a threshold that no coordinate can reach, which would negate every update.

        Raises:
            InfeasibleError: the threshold is more than `n`, or a cap is less than 1 / `n`.
        """
        super().fits(n)
        if self.threshold > n:
            raise InfeasibleError(
                f"RobustLearningRate with threshold = {self.threshold:g} of {n} clients: no sum of signs is above "
                f"{n}; choose {n} or less"
            )

    def among(self, n: int, share: float) -> "RobustLearningRate":
        """Return the rule for `n` updates, the `share` of those asked for: fewer clients agree with fewer signs."""
        return replace(self, threshold=self.threshold * share)

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of `updates`, negated where signs disagree."""
        n = len(updates)
        threshold, weights = self.threshold or 0.4 * n, self.weights(context, n)
        shares = weights / weights.sum()

        def reduce(values: np.ndarray) -> np.ndarray:
            agreement = np.abs(np.sign(values).astype(np.float64) @ shares) * n
            means: np.ndarray = values.astype(np.float64) @ shares
            return means * np.where(agreement >= threshold - 1e-6, 1.0, -1.0)

        return Aggregation(updates.by_coordinate(reduce))
