"""LASA: keep the large values of each update, and the usual clients of each layer."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.blocks import blocks_of, each
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, known
from fedrobust.aggregation.kernels import clip_factors, usual
from fedrobust.aggregation.selection import magnitude_threshold
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Decay, Positive
from fedrobust.models.layout import Layout


@RULES.register("lasa")
@dataclass(frozen=True, kw_only=True)
class LASA:
    """Sparsify updates, then filter and average layer by layer (Xu et al., WACV 2025, arXiv:2409.01435).

    Each update keeps its largest values. In every array of the model a client is described by the norm of what is left
    and by its share of positive signs (positive direction purity); clients within some standard deviations of the
    median in both are averaged there, each clipped to the median norm of whole updates. Where nobody is usual, all are
    averaged. A client's influence is its mean over the model's values: 0 if it is rejected in every array.

    The norm of the result is at most sqrt(arrays) times the median norm, which f < n / 2 malicious clients cannot raise
    above all honest ones; at most the median norm if the same clients are accepted everywhere.

    As in the official code, values are only dropped from kernels (arrays of two and more axes), and what is averaged is
    what is left of updates. It divides by 0 where clients' norms or shares are equal and where an array is left empty,
    after which its filter of that array accepts all or nobody; here they are equally usual, and an empty array has the
    share 1/2. It clips whole updates before it drops values, so that its filter of norms sees clipped ones: a boosted
    update has a usual norm there. Here that filter sees norms as they were sent, and clipping follows.

    Attributes:
        sparsity: share of the values of kernels that is dropped from each update, the smallest.
        lengths: accepted standard deviations of the norms (the paper's lambda_m; 2 in some of its experiments).
        signs: accepted standard deviations of the shares of signs (its lambda_d).

    Raises:
        InfeasibleError: the model's arrays are not known.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> layout = Layout((Entry("a", (1,), "trainable"), Entry("b", (1,), "trainable")))
        >>> updates = Updates.of(np.array([[1, 1], [1, 1], [1, 1], [1, -1]], np.float32))
        >>> context = AggregationContext(np.arange(4), np.ones(4, int), layout=layout)
        >>> result = LASA()(updates, context)
        >>> result.update.round(3).tolist(), result.influence.round(3).tolist()
        ([1.0, 1.0], [0.292, 0.292, 0.292, 0.125])
    """

    SELECTS: ClassVar[bool] = True

    sparsity: Decay = 0.3
    lengths: Positive = 1.0
    signs: Positive = 1.0

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the accepted `updates` of each layer."""
        layout = known(context.layout, self, "the model's arrays (layout)")
        kept = Sparse(updates, layout, self.sparsity)
        factors = clip_factors(updates.norms, float(np.median(updates.norms)))
        norms, purity = kept.norms_and_purity()
        shares = np.empty((len(layout.spans), len(updates)))
        for layer in range(len(shares)):
            accepted = usual(norms[layer], self.lengths) & usual(purity[layer], self.signs)
            if not accepted.any():
                accepted[:] = True
            shares[layer] = factors * accepted / accepted.sum()
        sizes = np.array([entry.size for entry, _ in layout.spans], np.float64)
        influence = sizes @ (shares / shares.sum(1, keepdims=True))
        return Aggregation(kept.combined(shares), influence / influence.sum())


class Sparse:
    """Updates of which the smallest values of kernels are dropped; no second matrix is written.

    Args:
        updates: of the clients.
        layout: the model's arrays, in the order of the columns.
        sparsity: share of the values of kernels that is dropped.
    """

    def __init__(self, updates: Updates, layout: Layout, sparsity: float):
        self._updates, self._layers = updates, len(layout.spans)
        kernels = [columns for entry, columns in layout.spans if len(entry.shape) > 1]
        left = sum(columns.stop - columns.start for columns in kernels)
        count = max(1, int(left * (1 - sparsity)))

        def threshold(position: int) -> float:
            row = updates.row(position)
            return magnitude_threshold([row[columns] for columns in kernels], count)

        sparse = bool(kernels) and count < left
        self._thresholds = np.array(each(range(len(updates)), threshold) if sparse else [], np.float32)
        self._blocks = [
            (layer, block, sparse and len(entry.shape) > 1)
            for layer, (entry, columns) in enumerate(layout.spans)
            for block in blocks_of(columns, len(updates.matrix))
        ]

    def _values(self, columns: slice, dropped: bool) -> np.ndarray:
        values = self._updates.values(columns).astype(np.float32, copy=False)
        if not dropped:
            return values
        kept: np.ndarray = values * (np.abs(values) >= self._thresholds[:, None])
        return kept

    def norms_and_purity(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the norm, and the share of positive ones among the values that are not 0, (layers, n) each."""

        def measured(block: tuple[int, slice, bool]) -> tuple[int, np.ndarray]:
            layer, columns, dropped = block
            values = self._values(columns, dropped)
            positive = np.count_nonzero(values > 0, axis=1)
            negative = np.count_nonzero(values < 0, axis=1)
            wide = values.astype(np.float64)
            squares = np.einsum("ij,ij->i", wide, wide)
            return layer, np.stack([squares, positive, positive + negative])

        sums = np.zeros((self._layers, 3, len(self._updates)))
        for layer, part in each(self._blocks, measured):
            sums[layer] += part
        squares, positive, counted = sums.transpose(1, 0, 2)
        purity = np.divide(positive, counted, out=np.full_like(positive, 0.5), where=counted > 0)
        return np.sqrt(squares), purity

    def combined(self, shares: np.ndarray) -> np.ndarray:
        """Return the sums of each layer's values times its `shares` (layers, n), as (d,) float32."""
        result = np.empty(self._updates.size, np.float32)

        def fill(block: tuple[int, slice, bool]) -> None:
            layer, columns, dropped = block
            result[columns] = shares[layer] @ self._values(columns, dropped).astype(np.float64)

        each(self._blocks, fill)
        return result
