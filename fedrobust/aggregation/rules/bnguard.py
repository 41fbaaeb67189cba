"""BNGuard: keep the larger cluster of the clients' BatchNorm statistics."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.clustering import larger_cluster
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, InfeasibleError, known
from fedrobust.aggregation.kernels import chosen_only
from fedrobust.aggregation.updates import Updates
from fedrobust.models.layout import AUXILIARY, Layout


@RULES.register("bnguard")
@dataclass(frozen=True, kw_only=True)
class BNGuard:
    """Keep the larger of two clusters of BatchNorm statistics (Xu et al., 2025, arXiv:2509.13219).

    Images of another distribution, with which a backdoor is trained, move the running statistics. Four numbers describe
    a client: mean and variance, over the channels of the first BatchNorm layer, of its running variances and of its
    running means. 2-means clusters them, and the clients of the larger cluster are averaged.

    There are always two clusters: without an attacker the rule rejects honest clients, fewer than half of them. It
    looks at nothing but statistics, which the sender chooses, and gives no bound. ``clipping`` or ``arc`` before it
    bound the norm of the result by that of honest updates.

    The numbers are not scaled, as in the official code: the variance of the variances decides where it is largest. That
    code starts 2-means at random, takes either of two clusters of equal size, and averages by claimed numbers of
    images. Here the best of several starts is taken, of equal clusters the one nearer to the median, and accepted
    clients count alike. Fewer than three clients and equal clients are all accepted.

    Raises:
        InfeasibleError: the clients' statistics are not known, or the model has no BatchNorm layer.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> names = ("norm/moving_mean", "norm/moving_variance")
        >>> layout = Layout((Entry("a", (1,), "trainable"), *(Entry(name, (2,), "statistic") for name in names)))
        >>> statistics = np.array([[0, 0, 1, 1], [0.1, 0, 1, 1], [0, 0.1, 1, 1.1], [5, 4, 9, 1]], np.float32)
        >>> updates = Updates.of(np.array([[1], [2], [3], [50]], np.float32))
        >>> context = AggregationContext(np.arange(4), np.ones(4, int), layout=layout, statistics=statistics)
        >>> BNGuard()(updates, context).update.tolist()
        [2.0]
    """

    SELECTS: ClassVar[bool] = True
    OWN_STATISTICS: ClassVar[bool] = True
    READS: ClassVar[str] = "statistics"

    def fits_layout(self, layout: Layout) -> None:
        """Refuse a model without BatchNorm.

        Raises:
            InfeasibleError: clients send no BatchNorm statistics.
        """
        first_layer_features(np.zeros((1, layout.statistics)), layout)

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the accepted `updates`."""
        layout = known(context.layout, self, "the model's arrays (layout)")
        statistics = known(context.statistics, self, "the clients' BatchNorm statistics (statistics)")
        accepted = larger_cluster(first_layer_features(statistics, layout))
        shares = chosen_only(len(updates), np.flatnonzero(accepted))
        return Aggregation(updates.combined(shares), shares)


def first_layer_features(statistics: np.ndarray, layout: Layout) -> np.ndarray:
    """Return mean and variance over channels of the variances, then of the means, of the first BatchNorm layer, (n, 4).

    Args:
        statistics: (n, s) of clients.
        layout: of the model.

    Raises:
        InfeasibleError: the model has no BatchNorm layer.
    """
    found: dict[str, np.ndarray] = {}
    start = 0
    for entry in layout.of("statistic"):
        owner, _, name = entry.path.rpartition("/")
        columns, start = slice(start, start + entry.size), start + entry.size
        if name in ("moving_mean", "moving_variance") and not owner.startswith(AUXILIARY.rstrip("/")):
            found.setdefault(name, statistics[:, columns].astype(np.float64))
    if len(found) < 2:
        raise InfeasibleError(
            "BNGuard compares BatchNorm statistics, and the model has no BatchNorm layer whose statistics clients send"
        )
    variances, means = found["moving_variance"], found["moving_mean"]
    return np.stack(
        [of(values) for values in (variances, means) for of in (lambda v: v.mean(1), _unbiased_variance)],
        axis=1,
    )


def _unbiased_variance(values: np.ndarray) -> np.ndarray:
    """Return the variance of every row with n - 1 in the denominator, as PyTorch does; 0 for a single channel."""
    return values.var(1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
