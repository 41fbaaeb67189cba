"""The mean of what lies around the median, coordinate by coordinate."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.median import middle
from fedrobust.aggregation.rule import RULES, Aggregation, Cohort, Tolerant
from fedrobust.aggregation.trimmed_mean import row_means
from fedrobust.aggregation.updates import Updates


def mean_around_median(values: np.ndarray, count: int) -> np.ndarray:
    """Return the mean of the `count` values of every row that lie nearest to the row's median, float64 (b,).

    Among sorted values the nearest ones stand side by side, so that it is enough to find where they begin. Of two
    groups that reach equally far, the lower one is taken.

    Args:
        values: (b, n) float32; sorted in place.
        count: from 1 to n.

    Example:
        >>> mean_around_median(np.array([[0, 5, 6, 8, 99]], np.float32), 3).tolist()
        [6.333333333333333]
    """
    values.sort(axis=1)
    n = values.shape[1]
    centre = middle(values)
    begin = np.zeros(len(values), np.intp)
    nearest = np.full(len(values), np.inf)
    for start in range(n - count + 1):
        reach = np.maximum(centre - values[:, start], values[:, start + count - 1] - centre)
        better = reach < nearest
        begin[better] = start
        nearest = np.minimum(reach, nearest)
    return row_means(np.take_along_axis(values, begin[:, None] + np.arange(count), axis=1))


@RULES.register("meamed")
@dataclass(frozen=True, kw_only=True)
class MeaMed(Tolerant):
    """Average the n - f values nearest to the median of every coordinate (Xie et al., 2018, arXiv:1802.10116, Def. 9).

    Tolerates f < n / 2 malicious clients: no coordinate is farther from the median than an honest client's is.
    """

    def __call__(self, updates: Updates, cohort: Cohort) -> Aggregation:
        """Return the mean around the median of `updates`."""
        n = len(updates)
        self.require(n)
        return Aggregation(updates.by_coordinate(lambda values: mean_around_median(values, n - self.f)))
