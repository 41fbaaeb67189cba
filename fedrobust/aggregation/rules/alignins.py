"""AlignIns: keep updates whose direction and whose signs are as usual."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.blocks import each, each_block
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, known
from fedrobust.aggregation.kernels import clip_factors, usual
from fedrobust.aggregation.selection import CHUNK, magnitude_threshold
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Positive, PositiveShare
from fedrobust.vectors import length


@RULES.register("alignins")
@dataclass(frozen=True, kw_only=True)
class AlignIns:
    """Filter by direction and by signs of the largest values, then clip (Xu et al., CVPR 2025, arXiv:2503.07978).

    Two numbers describe a client: the cosine of its update and the global weights (temporal direction alignment), and
    among the largest values of its update the share whose sign is the sign of the majority of clients (masked principal
    sign alignment). Clients within some standard deviations of the median in both are accepted, clipped to their median
    norm and averaged. If none is accepted, the model stays as it is.

    The rule detects, and gives no bound: attackers who are close to each other move the median and widen the deviation.
    ``clipping`` or ``arc`` before it bound the norm of the result by that of honest updates.

    The official code divides by a deviation of 0 where clients are equal, and then accepts nobody; here they are
    equally usual. It rejects two clients that differ, which both are exactly one deviation from their median, and
    averages by claimed numbers of images; here accepted clients count alike, as in the paper.

    Attributes:
        principal: share of an update's values, the largest, whose signs count.
        directions: accepted standard deviations of the cosines (the paper's lambda_c).
        signs: accepted standard deviations of the shares of signs (its lambda_s).

    Raises:
        InfeasibleError: the global weights are not known.

    Example:
        >>> updates = Updates.of(np.array([[1, 1], [1, 1.1], [1, 0.9], [1, 1], [-1, -1]], np.float32))
        >>> context = AggregationContext(np.arange(5), np.ones(5, int), current=np.array([1, 0], np.float32))
        >>> AlignIns(principal=1.0)(updates, context).influence.round(2).tolist()
        [0.25, 0.24, 0.25, 0.25, 0.0]
    """

    SELECTS: ClassVar[bool] = True

    principal: PositiveShare = 0.3
    directions: Positive = 1.0
    signs: Positive = 1.0

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the accepted `updates`, clipped to their median norm."""
        current = known(context.current, self, "the global weights that clients were sent (current)")
        count = max(1, int(self.principal * updates.size))
        accepted = usual(directions(updates, current), self.directions)
        accepted &= usual(sign_alignments(updates, count), self.signs)
        if not accepted.any():
            return Aggregation(np.zeros(updates.size, np.float32), np.zeros(len(updates)))
        typical = float(np.median(updates.norms[accepted]))
        factors = clip_factors(updates.norms, typical) * accepted
        return Aggregation(updates.combined(factors / accepted.sum()), factors / factors.sum())


def directions(updates: Updates, current: np.ndarray) -> np.ndarray:
    """Return the cosines (n,) of `updates` and the `current` weights (d,); 0 where one of them is zero."""
    scale = updates.norms * length(current)
    return np.divide(updates.inner_with(current), scale, out=np.zeros_like(scale), where=scale > 0)


def sign_alignments(updates: Updates, count: int) -> np.ndarray:
    """Return the share of the `count` largest values of each update that have the majority's sign, (n,) float64.

    A majority of zeros, or as many positive as negative signs, has the sign 0. Of equal magnitudes the first are taken.

    Example:
        >>> sign_alignments(Updates.of(np.array([[3, -1], [2, 1], [-2, 1]], np.float32)), count=1).tolist()
        [1.0, 1.0, 0.0]
    """
    majority = np.empty(updates.size, np.float32)

    def fill(block: slice) -> None:
        majority[block] = np.sign(np.sign(updates.values(block)).sum(0))

    each_block(updates.size, len(updates.matrix), fill)

    def share(position: int) -> float:
        row = updates.row(position)
        threshold = magnitude_threshold([row], count)
        aligned, larger, ties = 0, 0, []
        for start in range(0, len(row), CHUNK):
            values, wanted = row[start : start + CHUNK], majority[start : start + CHUNK]
            magnitudes = np.abs(values)
            above = magnitudes > threshold
            larger += int(np.count_nonzero(above))
            aligned += int(np.count_nonzero(above & (values * wanted > 0)))
            at = np.flatnonzero(magnitudes == threshold)
            ties.append(np.sign(values[at]) == wanted[at])
        return (aligned + int(np.concatenate(ties)[: count - larger].sum())) / count

    return np.array(each(range(len(updates)), share))
