"""FLShield: keep the clients whose representative models lower the loss of every class."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.blocks import each_block
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, known
from fedrobust.aggregation.kernels import clip_factors
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, PositiveShare, Share
from fedrobust.shares import part_of

TOGETHER = 8
"""Representative models that are written at a time."""


@RULES.register("flshield")
@dataclass(frozen=True, kw_only=True)
class FLShield:
    """Keep clients whose models serve the worst class best (Kabir et al., S&P 2024, arXiv:2308.05832), then clip.

    A client's representative model has its own update and, as a small share, those of clients of a similar direction
    (the paper's bijective version). Its score is the smallest change for the better of the loss of a class (LIPC). The
    better half of the clients is clipped to the median norm of all and averaged.

    In the paper other clients validate, on their own images, and their reports are filtered. Here the server validates,
    on images of the validation split, as with ``fltrust``: nobody can lie about losses, and what the server's images do
    not show, such as a trigger, is not seen. It cannot tell which half is honest: half of the clients is rejected,
    attacked or not. The norm of the result is at most the median norm.

    The official code divides by the sum of the clients' clipping factors, so that the result can be longer than that,
    and by 0 where no other client has a similar direction; there the model is the client's own.

    Attributes:
        images: number of the server's images.
        others: share of other clients' updates in a representative model (0.25 in the official code).
        kept: share of the clients that is averaged, rounded up.

    Raises:
        InfeasibleError: statistics or models are not known.
    """

    SELECTS: ClassVar[bool] = True
    OWN_STATISTICS: ClassVar[bool] = True
    TO_SCALE: ClassVar[bool] = True

    images: Count = 100
    others: Share = 0.25
    kept: PositiveShare = 0.5

    def passes(self, clients: int) -> int:
        """Return the images that pass through models in a round of so many clients.

        Example:
            >>> FLShield().passes(50)
            5100
        """
        return self.images * (clients + 1)

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the clipped mean of the `updates` with the best scores."""
        model = known(context.model, self, "answers of models (model)")
        statistics = known(context.statistics, self, "the clients' BatchNorm statistics (statistics)")
        own = known(context.current_statistics, self, "the global BatchNorm statistics (current_statistics)")
        n = len(updates)
        before = model.class_losses(np.zeros(updates.size, np.float32), own, self.images)

        def changes(shares: np.ndarray) -> list[float]:
            models = zip(written(updates, shares), shares @ statistics, strict=True)
            return [np.nanmin(before - model.class_losses(*each, self.images)) for each in models]

        mixture = representatives(updates, self.others)
        scores = np.concatenate([changes(mixture[at : at + TOGETHER]) for at in range(0, n, TOGETHER)])
        accepted = np.zeros(n, np.bool_)
        accepted[np.argsort(-scores, kind="stable")[: part_of(self.kept, n)]] = True
        factors = clip_factors(updates.norms, float(np.median(updates.norms))) * accepted
        return Aggregation(updates.combined(factors / accepted.sum()), factors / max(factors.sum(), 1e-300))


def written(updates: Updates, shares: np.ndarray) -> np.ndarray:
    """Return the sums of `updates` times `shares` (k, n), summed in float32, (k, d)."""
    result, narrow = np.empty((len(shares), updates.size), np.float32), shares.astype(np.float32)

    def fill(block: slice) -> None:
        result[:, block] = narrow @ updates.values(block)

    each_block(updates.size, len(updates.matrix), fill)
    return result


def representatives(updates: Updates, others: float) -> np.ndarray:
    """Return the share of each of `updates` in the representative model of each client, (n, n).

    Other clients' shares are proportional to max(0, cosine), and less for longer updates.

    Example:
        >>> representatives(Updates.of(np.array([[1, 0], [2, 0], [0, 1]], np.float32)), 0.25).tolist()
        [[0.75, 0.25, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]
    """
    n, norms = len(updates), updates.norms
    shorter = np.divide(norms[:, None], norms[None], out=np.ones((n, n)), where=norms[None] > 0)
    weights = np.maximum(updates.cosines, 0) * np.minimum(shorter, 1)
    np.fill_diagonal(weights, 0)
    total = weights.sum(1, keepdims=True)
    shares = others * np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    np.fill_diagonal(shares, 1 - shares.sum(1))
    return shares
