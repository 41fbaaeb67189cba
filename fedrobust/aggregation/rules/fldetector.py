"""FLDetector: reject clients whose updates are not consistent with their previous ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext
from fedrobust.aggregation.distances import inner_products
from fedrobust.aggregation.kernels import chosen_only
from fedrobust.aggregation.sketch import sketch
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count
from fedrobust.vectors import lengths


@RULES.register("fldetector")
@dataclass(frozen=True, kw_only=True)
class FLDetector:
    """Compare each update with a prediction from the client's previous one (Zhang et al., KDD 2022, arXiv:2207.09209).

    The prediction of g_i is its previous value plus H (w - w_last), where H is the L-BFGS Hessian of the last rounds'
    global updates. A client's score is its normalised prediction error, averaged over the last rounds; if the gap
    statistic finds more than one cluster of scores, the worse of two is rejected. The others are averaged; if a round
    has none of them, the global model stays as it is. Histories are stored as sketches, which preserve distances.

    In the paper every client takes part in every round. With partial participation w_last is the global model of the
    client's last round, errors are averaged over its own rounds, the scores of all clients are clustered, and H is
    computed from changes of the same clients' updates. A client whose last round is more than `window` rounds ago is
    not scored again. With full participation and without failures this equals the paper's algorithm. Detection takes
    more rounds with lower participation.

    The rule detects, and gives no bound: in the first rounds there is no prediction, and all clients are averaged.
    ``clipping`` before it bounds the effect of a client until then.

    Attributes:
        window: rounds of the average and of L-BFGS (the paper's N).
    """

    SELECTS: ClassVar[bool] = True
    REMEMBERS: ClassVar[bool] = True

    window: Count = 10

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of the `updates` of accepted clients."""
        n = len(updates)
        if len(context.client_ids) != n:
            raise ValueError(
                "fldetector remembers clients: no pre-aggregator that mixes them can stand before it"
            )
        latest = sketch(updates, context.seed)
        memory = self._arrived(context, latest.shape[1])
        places = np.searchsorted(memory["partitions"], context.client_ids)
        ago, moves, changes = self._since(latest, places, memory)
        errors = self._errors(ago, moves, changes, memory)
        table = memory["errors"]
        table[places, :-1], table[places, -1] = table[places, 1:], errors
        shares = chosen_only(n, np.flatnonzero(trusted(averaged(table))[places]))
        self._remember(latest, places, shares, ago, moves, changes, memory)
        return Aggregation(updates.combined(shares), shares, memory)

    def _arrived(self, context: AggregationContext, size: int) -> dict[str, np.ndarray]:
        """Return the state with a row for every known client, and the sketch of the global weights."""
        memory = dict(context.memory) if "positions" in context.memory else {}
        known = memory.get("partitions", np.zeros(0, np.int64))
        everyone = np.union1d(known, context.client_ids)
        grown: dict[str, np.ndarray] = {"partitions": everyone}
        for name, empty in (
            ("last", np.zeros((len(everyone), size))),
            ("seen", np.full(len(everyone), -1, np.int64)),
            ("errors", np.full((len(everyone), self.window), np.nan)),
        ):
            if len(known):
                empty[np.searchsorted(everyone, known)] = memory[name]
            grown[name] = empty
        positions = memory.get("positions", np.zeros((0, size)))
        if context.current is not None:
            here = sketch(context.current[None], context.seed)
        else:  # without the global weights: the last aggregate was added
            here = positions[-1:] + memory["step"] if len(positions) else np.zeros((1, size))
        none = np.zeros((0, size))
        return {
            **grown,
            "positions": np.concatenate([positions, here])[-self.window - 1 :],
            "rounds": memory.get("rounds", np.zeros(1, np.int64)) + 1,
            "moves": memory.get("moves", none),
            "changes": memory.get("changes", none),
        }

    def _since(
        self, latest: np.ndarray, places: np.ndarray, memory: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rounds since each client's last one, and the change of weights and update since then, (n, k) each.

        The number is 0 for clients without a previous round, or with one before the stored history.
        """
        positions, seen = memory["positions"], memory["seen"][places]
        ago = np.where(seen >= 0, memory["rounds"] - seen, 0)
        ago[ago >= len(positions)] = 0
        if not ago.any():
            return ago, latest[:0], latest[:0]
        return ago, positions[-1] - positions[len(positions) - 1 - ago], latest - memory["last"][places]

    def _errors(
        self, ago: np.ndarray, moves: np.ndarray, changes: np.ndarray, memory: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return the prediction error of each update, (n,), as a multiple of the round's mean; NaN for new clients."""
        apart = np.full(len(ago), np.nan)
        for since in np.unique(ago[ago > 0]):
            same = ago == since
            move = moves[same][:1]
            predicted = hessian_product(np.concatenate([memory["moves"], move]), memory["changes"], move[0])
            apart[same] = lengths(changes[same] - predicted)
        typical = np.mean(apart[ago > 0]) if ago.any() else 0.0
        return apart / typical if typical else np.where(ago > 0, 1.0, np.nan)

    def _remember(
        self,
        latest: np.ndarray,
        places: np.ndarray,
        shares: np.ndarray,
        ago: np.ndarray,
        moves: np.ndarray,
        changes: np.ndarray,
        memory: dict[str, np.ndarray],
    ) -> None:
        memory["last"][places] = latest
        memory["seen"][places] = memory["rounds"]
        memory["step"] = np.sum(latest * shares[:, None], axis=0)
        there = (ago > 0) & (shares > 0)
        if there.any():
            known = shares[there] / shares[there].sum()
            for name, rows in (("moves", moves), ("changes", changes)):
                memory[name] = np.concatenate(
                    [memory[name], np.sum(rows[there] * known[:, None], axis=0)[None]]
                )[-self.window :]


def averaged(errors: np.ndarray) -> np.ndarray:
    """Return the mean of every row without NaN (n,); NaN for rows of NaN."""
    counts = (~np.isnan(errors)).sum(1)
    return np.divide(np.nansum(errors, axis=1), counts, out=np.full(len(errors), np.nan), where=counts > 0)


def hessian_product(steps: np.ndarray, changes: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the product of L-BFGS' Hessian with `vector` (k,) (Byrd et al., 1994, Theorem 2.3).

    Args:
        steps: (m + 1, k): changes of the global weights in the last rounds; the last one is that of `vector`.
        changes: (m, k): changes of the global update over each step except the last.
        vector: (k,).
    """
    m = len(changes)
    moves = steps[-m - 1 : -1]
    nonzero = moves.any(1)  # a step of zero has no information about the Hessian
    moves, changes = moves[nonzero], changes[nonzero]
    if not len(moves):
        return np.zeros_like(vector)
    # Scaled, so that products of three numbers stay within float64's range.
    unit, scale = np.abs(moves).max(), np.abs(changes).max() or 1.0
    moves, changed = moves / unit, changes / scale
    # Products of all pairs at once, in blocks: their bits do not depend on the number of threads.
    pairs = inner_products(np.concatenate([moves, changed]))
    within, between = pairs[: len(moves), : len(moves)], pairs[: len(moves), len(moves) :]
    curvature = between[-1, -1] / max(float(within[-1, -1]), 1e-300)
    lower = np.tril(between, -1)
    diagonal = np.diag(np.diag(between))
    middle = np.block([[curvature * within, lower], [lower.T, -diagonal]])
    basis = np.concatenate([curvature * moves, changed])
    solved = np.linalg.lstsq(middle, np.sum(basis * vector, axis=1), rcond=None)[0]
    product: np.ndarray = (curvature * vector - np.sum(basis * solved[:, None], axis=0)) * (scale / unit)
    return product


def trusted(scores: np.ndarray) -> np.ndarray:
    """Return the accepted clients, (n,) bool: all except the worse of two clusters, if there is more than one."""
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
    """Return the threshold of the optimal split of ascending numbers into two clusters (exact 1-D k-means)."""
    costs = [
        ordered[:cut].var() * cut + ordered[cut:].var() * (len(ordered) - cut)
        for cut in range(1, len(ordered))
    ]
    cut = int(np.argmin(costs)) + 1
    return float((ordered[cut - 1] + ordered[cut]) / 2)


def clusters(values: np.ndarray, most: int = 8, references: int = 20) -> int:
    """Return the number of clusters of numbers in [0, 1] by the gap statistic (Tibshirani et al., 2001).

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
        best = np.minimum(best, np.min(best[:-1, None] + cost[1:], axis=0))
    return max(float(best[-1]), 1e-12)
