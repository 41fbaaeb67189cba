"""Leave out clients whose updates cannot be foretold from their last ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.krum import chosen_only
from fedrobust.aggregation.rule import RULES, Aggregation, Cohort
from fedrobust.aggregation.sketch import sketch
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count


@RULES.register("fldetector")
@dataclass(frozen=True, kw_only=True)
class FLDetector:
    """Compare every update with one predicted from the client's last (Zhang et al., KDD 2022, arXiv:2207.09209).

    g_i is predicted as its last value plus H (w - w_last), H being the Hessian that L-BFGS makes of the last rounds'
    global updates. Clients are scored by their normalised error, averaged over the last rounds; where the gap statistic
    sees more than one cluster of scores, the worse of two is left out. The others are averaged. Histories are
    kept as sketches, which know the same distances.

    Attributes:
        window: rounds that are averaged and that L-BFGS looks back on (the paper's N).
    """

    SELECTS: ClassVar[bool] = True

    window: Count = 10

    def __call__(self, updates: Updates, cohort: Cohort) -> Aggregation:
        """Return the mean of the `updates` of clients that are not suspected."""
        n = len(updates)
        if len(cohort.partitions) != n:
            raise ValueError(
                "fldetector remembers clients: no pre-aggregator that mixes them can stand before it"
            )
        latest = sketch(updates, cohort.seed)
        memory = dict(cohort.memory)
        scores = self._scores(latest, cohort.partitions, memory)
        accepted = trusted(scores)
        shares = chosen_only(n, np.flatnonzero(accepted))
        update = updates.combined(shares)
        return Aggregation(update, shares, self._remembered(latest, shares, cohort.partitions, memory))

    def _scores(
        self, latest: np.ndarray, partitions: np.ndarray, memory: dict[str, np.ndarray]
    ) -> np.ndarray:
        """Return the mean normalised errors (n,), and note this round's in `memory`; NaN for those that are new."""
        known = memory.get("partitions", np.zeros(0, np.int64))
        errors = np.full(len(partitions), np.nan)
        seen = np.isin(partitions, known)
        if seen.any():
            last = memory["last"][np.searchsorted(known, partitions[seen])]
            moved = hessian_product(memory["steps"], memory["changes"], memory["steps"][-1])
            apart = np.linalg.norm(latest[seen] - last - moved, axis=1)
            errors[seen] = apart / apart.sum() if apart.sum() else 1 / seen.sum()
        everyone = np.union1d(known, partitions)
        table = np.full((len(everyone), self.window), np.nan)
        if len(known):
            table[np.searchsorted(everyone, known)] = memory["errors"]
        places = np.searchsorted(everyone, partitions)
        table[places, :-1], table[places, -1] = table[places, 1:], errors
        memory["errors"] = table
        counts = (~np.isnan(table[places])).sum(1)
        sums = np.nansum(table[places], axis=1)
        return np.divide(sums, counts, out=np.full(len(places), np.nan), where=counts > 0)

    def _remembered(
        self, latest: np.ndarray, shares: np.ndarray, partitions: np.ndarray, memory: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        known = memory.get("partitions", np.zeros(0, np.int64))
        everyone = np.union1d(known, partitions)
        last = np.zeros((len(everyone), latest.shape[1]))
        if len(known):
            last[np.searchsorted(everyone, known)] = memory["last"]
        last[np.searchsorted(everyone, partitions)] = latest
        step = (shares @ latest)[None]
        steps = np.concatenate([memory["steps"], step]) if "steps" in memory else step
        change = step - memory["steps"][-1:] if "steps" in memory else np.zeros((0, latest.shape[1]))
        changes = np.concatenate([memory["changes"], change]) if "changes" in memory else change
        return {
            "partitions": everyone,
            "last": last,
            "errors": memory["errors"],
            "steps": steps[-self.window - 1 :],
            "changes": changes[-self.window :],
        }


def hessian_product(steps: np.ndarray, changes: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the product of L-BFGS' Hessian with `vector` (k,) (Byrd et al., 1994, Theorem 2.3).

    Args:
        steps: (m + 1, k): how the global weights moved in the last rounds; the last one is `vector`'s own.
        changes: (m, k): how the global update changed over each step but the last.
        vector: (k,).
    """
    m = len(changes)
    if not m:
        return np.zeros_like(vector)
    moves, changed = steps[-m - 1 : -1], changes
    inner = moves @ changed.T
    curvature = inner[-1, -1] / max(float(moves[-1] @ moves[-1]), 1e-300)
    lower = np.tril(inner, -1)
    diagonal = np.diag(np.diag(inner))
    middle = np.block([[curvature * moves @ moves.T, lower], [lower.T, -diagonal]])
    basis = np.concatenate([curvature * moves, changed])
    solved = np.linalg.lstsq(middle, basis @ vector, rcond=None)[0]
    product: np.ndarray = curvature * vector - basis.T @ solved
    return product


def trusted(scores: np.ndarray) -> np.ndarray:
    """Return who is not suspected, (n,) bool: all but the worse of two clusters, if there is more than one."""
    known = np.flatnonzero(np.isfinite(scores))
    accepted = np.ones(len(scores), np.bool_)
    if len(known) < 3:
        return accepted
    values = scores[known]
    spread = values.max() - values.min()
    if spread <= 1e-9 * max(abs(values.max()), 1e-300):
        return accepted
    scaled = (values - values.min()) / spread
    if clusters(scaled) < 2:
        return accepted
    border = two_means(np.sort(scaled))
    accepted[known[scaled > border]] = False
    return accepted


def two_means(ordered: np.ndarray) -> float:
    """Return where the best split of ascending numbers into two clusters lies (k-means on a line, exactly)."""
    costs = [
        ordered[:cut].var() * cut + ordered[cut:].var() * (len(ordered) - cut)
        for cut in range(1, len(ordered))
    ]
    cut = int(np.argmin(costs)) + 1
    return float((ordered[cut - 1] + ordered[cut]) / 2)


def clusters(values: np.ndarray, most: int = 8, references: int = 20) -> int:
    """Return how many clusters numbers in [0, 1] form by the gap statistic (Tibshirani et al., 2001).

    The smallest k with Gap(k) >= Gap(k + 1) - s(k + 1), against uniform numbers.
    """
    draw = np.random.default_rng(0)
    uniform = np.sort(draw.random((references, len(values))), axis=1)
    most = min(most, len(values) - 1)
    ordered = np.sort(values)
    gaps, errors = [], []
    for k in range(1, most + 1):
        against = np.log(np.array([_within(row, k) for row in uniform]))
        gaps.append(float(against.mean() - np.log(_within(ordered, k))))
        errors.append(float(against.std() * np.sqrt(1 + 1 / references)))
    for k in range(1, most):
        if gaps[k - 1] >= gaps[k] - errors[k]:
            return k
    return most


def _within(ordered: np.ndarray, k: int) -> float:
    """Return the smallest sum of squares within k clusters of ascending numbers (dynamic programming)."""
    n = len(ordered)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    squares = np.concatenate([[0.0], np.cumsum(ordered**2)])
    start, end = np.arange(n)[:, None], np.arange(1, n + 1)[None, :]
    count = np.maximum(end - start, 1)
    cost = (squares[end] - squares[start]) - (sums[end] - sums[start]) ** 2 / count
    cost = np.where(end > start, np.maximum(cost, 0), np.inf)
    best = cost[0]
    for _ in range(k - 1):
        best = np.minimum(
            best,
            np.array(
                [min(best[j - 1] + cost[j, e] for j in range(1, e + 1)) if e else best[e] for e in range(n)]
            ),
        )
    return max(float(best[-1]), 1e-12)
