"""Rules and pre-aggregators under attackers of every shape and size: is the error within the bound that is advertised?

    python experiments/reliability/rules.py                 # 12,000 cases
    python experiments/reliability/rules.py --cases 500 --from 100000

A case is drawn from its number: a study of 3 to 60 clients, a round in which some of them are missing, honest updates
of some scale between 1e-38 and 3e38, as many attackers as the defence tolerates, their shape, their size. S are n - f
honest updates, m is their mean, V the mean of |x - m|² over S, D the largest distance between two of S, and x what the
rule is given. The bounds, and where they come from:

    median, trimmed-mean   every coordinate lies within S; |r - m|² <= k V with k = 4 (1 + f / (n - 2f))² and
                           6 f / (n - 2f) (1 + f / (n - 2f))  (Allouah et al., 2023, arXiv:2302.01772, Table 1)
    geometric-median       |r - m| <= 2 sum_S w |x - m| / (w(S) - w(others))  (Pillutla et al., 2019, arXiv:1912.13445)
    krum                   |r - m|² <= 6 (n - f) / (n - 2f - 2) V: Allouah et al.'s proof with the n - f - 2 neighbours
                           of Blanchard et al., of which n - 2f - 2 are honest for certain
    multi-krum             |r - m| <= (1 + sqrt((n - f - 2) / (n - 2f - 2))) D: no score of an honest update is above
                           (n - f - 2) D², and every chosen one is as near to an honest one as its score says
    mda                    |r - m| <= 2 f / (n - f) D  (El Mhamdi et al., 2019, arXiv:1905.03853: at most f of the group
                           are others', each within D of an honest one in it)
    meamed, bulyan         every coordinate lies within S, widened by S's range on both sides: what is averaged is no
                           farther from the median than the farthest honest value
    nnm before any of the  |r - m|² <= 8 f / (n - f) (1 + k) V, V and m before mixing  (Allouah et al., 2023, Lemma 5)
    first four             of these
    arc before them        |r - m|² <= (k + 2 f / (n - 2f)) V, V and m before clipping  (Allouah et al., 2024,
                           arXiv:2405.14432, Theorem 3.2)
    centred-clipping       each of its three steps moves by no more than the farthest of S is from where it begins
    norm-clipping, flame,  |r| <= max_S |x|
    signguard, deepsight,
    flshield
    lasa                   |r| <= sqrt(arrays of the model) max_S |x|: in each array it is a mean of updates that are
                           clipped to the median norm
    sparsefed              in round t |r| <= t max_S |x|: what earlier rounds kept back may be applied at once
    fltrust                |r| <= |root|, and no farther than 90° from it
    mean, rlr, foolsgold,  none on the length: every coordinate is no larger than the largest that was sent; behind
    fldetector, dnc,       clipping and arc |r| <= max_S |x|; dnc drops attackers that are all alike and far away
    alignins, freqfed,
    multi-metrics, bnguard

All of them hold for whatever a pre-aggregator makes of updates, too, and with weights by sizes of sites, of which an
attacker's is the smallest; |r - m| of those is not tried, because m counts clients, nor is the honest range where the
clients outside of S have more than the share f / n of the weight. Rounding to float32 is allowed for.
"""

import argparse
import collections
import itertools
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation import AggregationContext, AggregationPipeline, InfeasibleError, Updates, defence
from fedrobust.aggregation.answers import Fusion, Sent
from fedrobust.aggregation.contract import ByzantineTolerant
from fedrobust.aggregation.rules.centred_clipping import CentredClipping
from fedrobust.models.layout import Entry, Layout

RULES = [
    "median", "trimmed-mean", "meamed", "geometric-median", "geometric-median(weighted=True)", "krum", "multi-krum",
    "mda", "bulyan", "centred-clipping", "norm-clipping", "fltrust", "flame(noise=0)", "signguard", "dnc", "rlr",
    "foolsgold", "fldetector", "mean", "alignins", "lasa", "freqfed", "multi-metrics", "sparsefed", "bnguard",
    "deepsight(images=5)", "flshield", "trimmed-mean(weighted=True)", "norm-clipping(weighted=True)",
    "centred-clipping(weighted=True, max_share=0.5)", "rlr(weighted=True)", "mean(max_share=0.5)",
]  # fmt: skip
BEFORE = [
    (), ("nnm",), ("clipping",), ("arc",), ("bucketing",), ("bucketing(size=3)",), ("clipping", "nnm"), ("arc", "nnm"),
    ("bucketing", "nnm"), ("nnm", "clipping"), ("nnm", "arc"),
]  # fmt: skip
REMEMBER = ("foolsgold", "fldetector", "centred-clipping", "sparsefed")
UNBOUNDED = (
    "mean", "rlr", "foolsgold", "fldetector", "dnc", "alignins", "freqfed", "multi-metrics", "bnguard",
)  # fmt: skip
NOT_MIXED = ("foolsgold", "fldetector", "bnguard", "deepsight", "flshield")
SHAPES = [
    "alike", "distinct", "axes", "opposite", "scales", "near", "copies", "zero", "one far", "far cluster",
    "one coordinate", "against",
]  # fmt: skip
MOST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Case:
    """A round, and the defence that it meets."""

    name: str
    rule: str
    defence: AggregationPipeline
    matrix: np.ndarray
    bad: np.ndarray
    shape: str
    size: float
    examples: np.ndarray
    root: np.ndarray
    seed: int

    def context(self, memory=None, round: int = 1) -> AggregationContext:
        """Return whose updates these are."""
        n = len(self.matrix)
        return AggregationContext(
            np.arange(n),
            self.examples,
            round,
            np.random.default_rng(self.seed + round),
            memory=memory or {},
            root=lambda images: self.root,
            current=self.root,
            layout=self.layout,
            statistics=np.random.default_rng(self.seed).random((n, 8)).astype(np.float32),
            current_statistics=np.ones(8, np.float32),
            model=LinearAnswers(self.root),
        )

    @property
    def layout(self) -> Layout:
        """A model's arrays: the output layer of two classes, and before it a matrix where there are values left."""
        d = self.matrix.shape[1]
        inputs = (d - 2) // 4
        shapes: dict[str, tuple[int, ...]] = {
            "first/kernel": ((d - 2 - 2 * inputs) // 2, 2),
            "odd/scale": (d % 2,),
        }
        shapes |= {"logits/kernel": (inputs, 2), "logits/bias": (2,)}
        if d < 7:
            shapes = {"only/scale": (d,)}
        names = ("norm/moving_mean", "norm/moving_variance")
        return Layout(
            tuple(Entry(path, shape, "trainable") for path, shape in shapes.items() if np.prod(shape))
            + tuple(Entry(path, (4,), "statistic") for path in names)
        )


class LinearAnswers:
    """Answers of a linear model, whose goal is the server's own update."""

    def __init__(self, root: np.ndarray):
        self._root, self._scale = root.astype(np.float64), max(float(np.abs(root).max()), 1e-300)

    def on_noise(self, update: np.ndarray, statistics: np.ndarray, images: int, seed: int) -> np.ndarray:
        """Return probabilities of two classes."""
        logit = np.clip(
            float(np.clip(update.astype(np.float64) / self._scale, -9, 9).mean()) + statistics.mean(), -9, 9
        )
        odds = np.exp(np.random.default_rng(seed).random((images, 2)) * [logit, 1.0])
        return odds / odds.sum(1, keepdims=True)

    def class_losses(self, update: np.ndarray, statistics: np.ndarray, images: int) -> np.ndarray:
        """Return distances of two halves of the update to the server's."""
        apart = np.clip((update - self._root) / self._scale, -1e9, 1e9) ** 2
        return np.array([apart[::2].sum(), apart[1::2].sum()])

    def fused(self, models: Iterable[Sent], start: Sent, fusion: Fusion, round: int) -> np.ndarray:
        """Return the update half way from the mean to that of the models, each counted alike."""
        each = [update.astype(np.float64) for update, _ in models]
        return 0.5 * (start[0] + sum(each) / len(each))


def case(number: int) -> Case | None:
    """Return the case of a `number`; None where the rule behind these stages tolerates nobody among so few."""
    draw = np.random.default_rng([6, number])
    pairs = list(itertools.product(RULES, BEFORE))
    rule, before = pairs[number % len(pairs)]
    kind = rule.partition("(")[0]
    if kind in NOT_MIXED:
        before = tuple(stage for stage in before if stage in ("clipping", "arc"))
    # A smallest group takes up to 2^f steps.
    clients = int(draw.integers(3, 18 if kind == "mda" else 61))
    n = clients if draw.random() < 0.6 else int(draw.integers(3, clients + 1))
    f = tolerated(rule, before, clients)
    if f is None:
        return None
    asked = defence(rule, *before, f=f).among(n)
    bad = attackers(asked, n)
    if bad is None:
        return None
    if draw.random() < 0.2:
        bad = int(draw.integers(0, bad + 1))
    d = int(draw.choice([7, 50, 300] if kind == "deepsight" else [1, 2, 7, 50, 300]))
    honest = honest_updates(draw, n - bad, d)
    shape = str(draw.choice(SHAPES))
    size = 10.0 ** draw.uniform(-38, np.log10(MOST))
    matrix = np.concatenate([attack(draw, shape, size, bad, honest), honest])
    order = draw.permutation(n)
    examples = np.where(np.arange(n) < bad, 1, draw.integers(1, 100, n))[order]
    mean = honest.astype(np.float64).mean(0)
    return Case(
        f"case {number}: {' + '.join((*before, rule))}, n = {n} of {clients}, attackers = {bad}, d = {d}, "
        f"{shape} at {size:.2g}",
        kind, asked, matrix[order], (np.arange(n) < bad)[order], shape, size, examples,
        (mean + np.abs(mean).max() * draw.standard_normal(d)).clip(-MOST, MOST).astype(np.float32), number,
    )  # fmt: skip


def tolerated(rule: str, before: tuple[str, ...], n: int) -> int | None:
    """Return the most attackers among `n` that the stages take."""
    for f in range((n - 1) // 2, -1, -1):
        try:
            asked = defence(rule, *before, f=f)
            asked.check(n)
        except InfeasibleError:
            continue
        if attackers(asked, n) is not None:
            return f
    return None


def attackers(asked: AggregationPipeline, n: int) -> int | None:
    """Return how many attackers `asked` tolerates: fewer than half of what any stage is given, and at most its f."""
    most = n
    for stage, seen in asked.stages(n):
        most = min(most, (seen - 1) // 2)
        if isinstance(stage, ByzantineTolerant):
            if stage.f > stage.max_f(seen):
                return None
            most = min(most, stage.f)
    return most


def honest_updates(draw: np.random.Generator, count: int, d: int) -> np.ndarray:
    spread = draw.standard_normal((count, d)) * np.exp(
        draw.choice([0, 0.5, 2]) * draw.standard_normal((count, 1))
    )
    spread += draw.choice([0, 1, 30, 1000]) * draw.standard_normal(d)
    if draw.random() < 0.1:
        spread[: count // 2] = spread[0]
    scale = 10.0 ** draw.uniform(-38, 38) / max(1.0, np.abs(spread).max())
    return (spread * scale).clip(-MOST, MOST).astype(np.float32)


def attack(draw: np.random.Generator, shape: str, size: float, count: int, honest: np.ndarray) -> np.ndarray:
    d = honest.shape[1]
    exact = honest.astype(np.float64)
    mean = exact.mean(0)
    apart = float(np.abs(exact - mean).max())
    units = draw.standard_normal((count, d))
    units /= np.abs(units).max(1, keepdims=True)
    if shape == "alike":
        rows = np.repeat(units[:1], count, axis=0) * size
    elif shape == "distinct":
        rows = units * size
    elif shape == "axes":
        rows = np.eye(d)[np.arange(count) % d] * size * draw.choice([-1, 1], (count, 1))
    elif shape == "opposite":
        rows = np.where(np.arange(count)[:, None] % 2, 1, -1) * (units[:1] if count else 0) * size
    elif shape == "scales":
        rows = units * 10.0 ** draw.uniform(-38, np.log10(MOST), (count, 1))
    elif shape == "near":
        rows = mean + units * apart * 10.0 ** draw.uniform(-3, 2, (count, 1))
    elif shape == "copies":
        rows = (
            exact[draw.integers(0, len(exact), count)]
            if draw.random() < 0.5
            else np.repeat(exact[:1], count, 0)
        )
    elif shape == "zero":
        rows = np.zeros((count, d))
    elif shape == "one far":
        rows = mean + units * apart * draw.uniform(0.1, 3)
        rows[:1] = units[:1] * size
    elif shape == "far cluster":
        rows = (units[:1] if count else 0) * size * (1 + 1e-6 * draw.standard_normal((count, d)))
    elif shape == "one coordinate":
        rows = mean + units * apart
        rows[:, 0] = size
    else:  # against the honest mean, at a length that is the honest ones'
        rows = -mean * draw.uniform(0.1, 10, (count, 1))
    return np.asarray(rows).reshape(count, d).clip(-MOST, MOST).astype(np.float32)


def outside(case: Case) -> list[str]:
    """Return the bounds that are broken, in words; none if all hold."""
    broken = []
    memory: dict[str, np.ndarray] = {}
    for round in range(1, 4 if case.rule in REMEMBER else 2):
        result = case.defence(Updates(case.matrix), case.context(memory, round))
        start = memory.get("centre", np.zeros(case.matrix.shape[1], np.float32)).astype(np.float64)
        memory = dict(result.memory)
        if not np.isfinite(result.update).all():
            return [f"{case.name}: not finite"]
        if result.influence is not None and not np.isfinite(result.influence).all():
            broken.append(f"{case.name}: influence is not finite")
        for value, limit, what in bounds(case, result.update.astype(np.float64), start, round):
            if not value <= limit:
                broken.append(f"{case.name}: {what}: {value:.4g} > {limit:.4g}")
    return broken


def bounds(case: Case, r: np.ndarray, start: np.ndarray, round: int):
    """Yield (value, limit, what) of everything that is advertised of the result `r` (d,)."""
    seen, context = Updates(case.matrix), case.context(round=round)
    stages = [seen]
    for stage in case.defence.before:
        seen = stage(seen, context)
        stages.append(seen)
    x, bad = written(seen), spoiled(seen, case)
    rule = case.defence.rule
    f = rule.f if isinstance(rule, ByzantineTolerant) else int(bad.sum())
    yield from of_rule(case, r, x, np.flatnonzero(~bad)[: len(x) - f], f, start, round)
    k = kappa(case.rule, len(x), f)
    last = case.defence.before[-1:]
    name = type(last[0]).__name__ if last else ""
    if k is None or name not in ("NearestNeighbourMixing", "AdaptiveRobustClipping"):
        return
    assert isinstance(last[0], ByzantineTolerant)
    x, bad = written(stages[-2]), spoiled(stages[-2], case)
    n, most = len(x), max(f, last[0].f)
    s = x[np.flatnonzero(~bad)[: n - most]]
    k = kappa(case.rule, n, most)
    if k is None:
        return
    k = 8 * most / (n - most) * (1 + k) if name.startswith("Nearest") else k + 2 * most / (n - 2 * most)
    m = s.mean(0)
    yield length(r - m), np.sqrt(k * variance(s)) + slack(s), f"error behind {name}"


def of_rule(
    case: Case, r: np.ndarray, x: np.ndarray, honest: np.ndarray, f: int, start: np.ndarray, round: int
):
    n, s = len(x), x[honest]
    m, low, high = s.mean(0), s.min(0), s.max(0)
    rest = slack(s)
    within = case.rule in ("median", "trimmed-mean", "meamed", "bulyan")
    if within and cut_off(case, n, honest) <= f / n * (1 + 1e-9):
        wider = (high - low) * (case.rule in ("meamed", "bulyan"))
        beyond = np.maximum(low - wider - r, r - high - wider) - 1e-6 * (np.abs(low) + np.abs(high)) - 1e-44
        yield float(beyond.max()), 0.0, "beyond the honest range"
    k = kappa(case.rule, n, f)
    counted = not getattr(case.defence.rule, "weighted", False)
    if k is not None and counted and case.rule != "geometric-median":
        yield length(r - m), np.sqrt(k * variance(s)) + rest, "error"
    if case.rule == "geometric-median":
        weights = np.ones(n)
        if getattr(case.defence.rule, "weighted", False) and len(case.examples) == n:
            weights = case.examples.astype(float)
        mine = weights[honest]
        lead = 2 * mine.sum() - weights.sum()
        if lead > 0:
            total = mine @ lengths(s - m)
            yield length(r - m), 2.001 * total / lead + rest, "error"
    if case.rule in ("multi-krum", "mda"):
        diameter = max(float(lengths(s - each).max()) for each in s)
        factor = (
            2 * f / (n - f) if case.rule == "mda" else 1 + np.sqrt(max(1, n - f - 2) / max(1, n - 2 * f - 2))
        )
        yield length(r - m), factor * diameter + rest, "error in diameters"
    if isinstance(case.defence.rule, CentredClipping):
        farthest = float(lengths(s - start).max())
        yield length(r - start), (2**case.defence.rule.steps - 1) * farthest + rest, "moved too far"
    if case.rule in ("norm-clipping", "flame", "signguard", "deepsight", "flshield"):
        yield length(r), float(lengths(s).max()) + rest, "length"
    if case.rule == "lasa":
        yield length(r), np.sqrt(len(case.layout.spans)) * float(lengths(s).max()) + rest, "length"
    if case.rule == "sparsefed":
        yield length(r), round * (float(lengths(s).max()) + rest), "length"
    if case.rule == "fltrust":
        root = case.root.astype(np.float64)
        yield length(r), length(root) * (1 + 1e-6) + 1e-44, "length"
        yield -float(r @ root), 1e-6 * length(r) * length(root), "against the root"
    if case.rule in UNBOUNDED:
        yield float((np.abs(r) - np.abs(x).max(0) * (1 + 1e-6)).max()), 1e-44, "beyond what was sent"
        clipped = [type(stage).__name__ for stage in case.defence.before]
        if clipped in (["Clipping"], ["AdaptiveRobustClipping"]):
            sent = case.matrix.astype(np.float64)[~case.bad]
            yield length(r), float(lengths(sent).max()) * (1 + 1e-6) + 1e-44, "length behind clipping"
    far = case.size > 1e4 * float(np.abs(s).max())
    if case.rule == "dnc" and case.shape == "alike" and far and not case.defence.before:
        yield length(r - m), 2 * float(lengths(s - m).max()) + rest, "error with attackers alike"


def cut_off(case: Case, n: int, honest: np.ndarray) -> float:
    """Return the share of the weight of all but the `honest` of `n` updates; 0 where updates are counted."""
    if not getattr(case.defence.rule, "weighted", False) or len(case.examples) != n:
        return 0.0
    return 1 - float(case.examples[honest].sum() / case.examples.sum())


def kappa(rule: str, n: int, f: int) -> float | None:
    if n <= 2 * f:
        return None
    grown = 1 + f / (n - 2 * f)
    if rule == "krum":
        return 6 * (n - f) / (n - 2 * f - 2) if n >= 2 * f + 3 else None
    known = {
        "trimmed-mean": 6 * f / (n - 2 * f) * grown,
        "median": 4 * grown**2,
        "geometric-median": 4 * grown**2,
    }
    return known.get(rule)


def written(updates: Updates) -> np.ndarray:
    exact = updates.matrix.astype(np.float64)
    return exact if updates.mixture is None else updates.mixture @ exact


def spoiled(updates: Updates, case: Case) -> np.ndarray:
    """Return which updates are attackers': in place of one, or an average with one in it."""
    if updates.mixture is None:
        return case.bad
    if len(updates) == len(case.bad):
        return case.bad
    # Behind bucketing: what the buckets themselves held is not known after mixing, but whose place is.
    context = case.context()
    seen = Updates(case.matrix)
    for stage in case.defence.before:
        seen = stage(seen, context)
        if len(seen) != len(case.bad):
            break
    assert seen.mixture is not None
    return np.asarray(seen.mixture[:, case.bad].any(1))


def length(vector: np.ndarray) -> float:
    return float(np.sqrt(vector @ vector))


def lengths(rows: np.ndarray) -> np.ndarray:
    return np.sqrt((rows * rows).sum(1))


def variance(rows: np.ndarray) -> float:
    return float((lengths(rows - rows.mean(0)) ** 2).mean())


def slack(rows: np.ndarray) -> float:
    """Return what rounding to float32 may move."""
    return 1e-6 * float(lengths(rows).max()) + 1e-44 * np.sqrt(rows.shape[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=12_000)
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first case")
    parser.add_argument("--most", type=int, default=20, help="broken bounds that are shown")
    options = parser.parse_args()
    tried: collections.Counter[str] = collections.Counter()
    broken: list[str] = []
    warnings.simplefilter("error")
    for number in range(options.first, options.first + options.cases):
        drawn = case(number)
        if drawn is None:
            tried["skipped: nobody is tolerated"] += 1
            continue
        tried[drawn.rule] += 1
        try:
            broken += outside(drawn)
        except Exception as error:
            broken.append(f"{drawn.name}: {type(error).__name__}: {error}")
    print("\n".join(f"{name:32} {count:6}" for name, count in tried.items()))
    total = sum(count for name, count in tried.items() if not name.startswith("skipped"))
    print(f"{total} cases, {len(broken)} bounds broken")
    print("\n".join(broken[: options.most]))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
