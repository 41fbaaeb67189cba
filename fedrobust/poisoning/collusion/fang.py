"""Attacks made for one rule (Fang et al., 2019, arXiv:1911.11815)."""

from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation.blocks import each_block
from fedrobust.aggregation.kernels import krum_scores
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import AboveOne, Positive
from fedrobust.poisoning.context import CollusionContext
from fedrobust.poisoning.contract import POISONING


@POISONING.register("fang-krum")
@dataclass(frozen=True, kw_only=True)
class FangKrum:
    """Send the largest step against the honest direction that Krum still chooses (section 3.2, full knowledge).

    All malicious clients send -lambda s, s being the signs of the honest mean; lambda starts at the upper bound of
    theorem 1 and is halved until Krum chooses one of them.

    Attributes:
        smallest: lambda at which the search gives up, in the units of updates.
    """

    smallest: Positive = 1e-9

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what all malicious clients send (d,)."""
        bad, size = context.malicious, honest.size
        # Attackers who know their own updates only take copies of these for the others' (`collude`).
        others = context.clients - bad or len(honest)
        rows, n = np.arange(others) % len(honest), bad + others
        mean = honest.combined(np.full(len(honest), 1 / len(honest)))
        signs = np.sign(mean)
        own, between = honest.norms[rows] ** 2, honest.squared[:-1, :-1][np.ix_(rows, rows)]
        along, square = honest.inner_with(signs)[rows], float(np.count_nonzero(signs))
        # Krum adds n - m - 2 distances; m - 1 of an attacker's are 0, which leaves n - 2m - 1 to honest clients.
        nearest = np.sort(between, axis=1)[:, 1 : max(1, n - bad - 1)].sum(1).min()
        left = max(1, n - 2 * bad - 1)
        step = float(np.sqrt(nearest / (left * size)) + honest.norms.max() / np.sqrt(size))
        while step > self.smallest:
            apart = own + 2 * step * along + step**2 * square
            whole = np.zeros((n, n))
            whole[bad:, bad:] = between
            whole[:bad, bad:], whole[bad:, :bad] = apart[None, :], apart[:, None]
            if np.argmin(krum_scores(whole, context.tolerated)) < bad:
                break
            step /= 2
        return -np.float32(step) * signs


@POISONING.register("fang-trimmed-mean")
@dataclass(frozen=True, kw_only=True)
class FangTrimmedMean:
    """Send values just beyond the honest ones, against the honest direction (section 3.3, full knowledge).

    Where the honest mean grows, values are drawn below the honest minimum: from [min / b, min] if that is positive and
    from [b min, min] if not; and the other way round where it falls. Also against the median.

    Attributes:
        b: how far beyond; the paper takes 2.
    """

    b: AboveOne = 2.0

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return what each malicious client sends (malicious, d)."""
        sent = np.empty((context.malicious, honest.size), np.float32)
        seed = int(context.generator.integers(2**63))

        def fill(block: slice) -> None:
            part = honest.block(block)
            grows = part.mean(0) > 0
            edge = np.where(grows, part.min(0), part.max(0))
            inwards = (edge > 0) == grows
            far = np.where(inwards, edge / self.b, edge * self.b)
            draw = np.random.default_rng([seed, block.start]).random((context.malicious, part.shape[1]))
            sent[:, block] = edge + (far - edge) * draw

        each_block(honest.size, context.clients, fill)
        return sent
