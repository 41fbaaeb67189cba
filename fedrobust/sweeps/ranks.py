"""Compare aggregation rules over the settings of a sweep: ranks with critical differences, paired tests over seeds.

Demsar, JMLR 7 (2006): Friedman's test in the form of Iman and Davenport, and Nemenyi's critical difference. A rule
counts with its pre-aggregators and server optimiser.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.sweeps.over_seeds import SEED, metrics_of, range_of, repeated
from fedrobust.sweeps.own_tolerance import with_own_tolerance
from fedrobust.sweeps.paired import Paired, holm, paired, text_of_p

if TYPE_CHECKING:
    import pandas

DEFENCE = ("federation.pre-aggregators", "federation.aggregator", "federation.server-optimizer")

ALPHA = 0.05

SMALLER_IS_BETTER = (
    "attack-success",
    "before removal attack-success",
    "harm",
    "cost",
    *("false-positive-rate", "rare-false-positive-rate"),
    "malicious-influence",
    "durability",
    "distance",
    "rule-",
    "hospital gap",
    "brier",
    *("seconds", "training-seconds", "clients worse", "rounds-without-change", "refused"),
)
"""Beginnings of the names of metrics of which less is better."""

FEW_SETTINGS, FEW_RULES = 10, 5
"""Below these the p of Friedman's test is rough (Demsar, section 3.2.2)."""


@dataclass(frozen=True)
class Ranks:
    """The ranks of rules in one metric.

    Attributes:
        metric: its name.
        rules: by their mean rank, the best one first.
        ranks: their mean ranks, 1 for the best; equal values share their ranks.
        settings: number of settings that were ranked: attacks, data sets, and whatever else the sweep varies.
        left_out: settings in which some rule has no result.
        seeds: the settings are seeds, because nothing else varies.
        statistic: Iman and Davenport's F; None with fewer than two settings, infinite if all settings agree.
        p: its probability if no rule differs from another.
        critical: Nemenyi's critical difference of mean ranks at 5 %; None with fewer than two settings.
        pairs: all pairs of rules; their intervals are cut where no difference of the metric's values can lie.
    """

    metric: str
    rules: tuple[str, ...]
    ranks: tuple[float, ...]
    settings: int
    left_out: int
    seeds: bool
    statistic: float | None
    p: float | None
    critical: float | None
    pairs: tuple[Paired, ...]

    @property
    def alike(self) -> tuple[tuple[int, int], ...]:
        """The first and last place of each longest row of rules with ranks less than the critical difference apart.

        Where Friedman's test finds no difference, that is one row with all rules.
        """
        last = len(self.rules) - 1
        if self.critical is None or self.p is None or self.p > ALPHA:
            return ((0, last),)
        found: list[tuple[int, int]] = []
        for first, rank in enumerate(self.ranks):
            reach = max(place for place in range(first, last + 1) if self.ranks[place] - rank < self.critical)
            if reach > first and (not found or reach > found[-1][1]):
                found.append((first, reach))
        return tuple(found)

    @property
    def note(self) -> str:
        """What was compared, and how far it may be trusted, in sentences."""
        what = "seeds" if self.seeds else "settings"
        text = f"{len(self.rules)} rules over {self.settings} {what if self.settings > 1 else what[:-1]}"
        text += f"; {self.left_out} left out, in which a rule has no result" if self.left_out else ""
        if self.critical is None or self.p is None:
            return f"{text}. With fewer than two {what} there is nothing to test."
        chance = text_of_p(self.p)
        text += f". Friedman's test: p {chance if chance.startswith('<') else f'= {chance}'}."
        text += f" Mean ranks differ if they are {self.critical:.2f} apart or more"
        text += (
            " (Nemenyi, 5 %)."
            if self.p <= ALPHA
            else " (Nemenyi, 5 %): not tested, as Friedman's test finds no difference."
        )
        if self.settings < FEW_SETTINGS or len(self.rules) < FEW_RULES:
            text += f" With fewer than {FEW_SETTINGS} {what} or {FEW_RULES} rules, p is rough."
        if any(_is_cut(pair, range_of(self.metric)) for pair in self.pairs if pair.p is not None):
            text += " Intervals of differences are cut where no difference can lie."
        return text


def _is_cut(pair: Paired, ends: tuple[float, float] | None) -> bool:
    if ends is None or pair.low is None or pair.high is None:
        return False
    reach = ends[1] - ends[0]
    return pair.low < pair.high and (pair.low <= -reach or pair.high >= reach)


def ranks_of(compared: "pandas.DataFrame", metric: str = "") -> Ranks:
    """Return the ranks of the rules in a metric.

    Args:
        compared: from `fedrobust.sweeps.compare.compare`: finished cells of sweeps, or runs.
        metric: such as "balanced_accuracy"; the first usual one if empty.

    Raises:
        ConfigError: no run has the metric, or there are not two rules with results in one setting.
    """
    (name, *_) = metrics_of(compared, [metric] if metric else ()) or ("",)
    settings = compared.attrs["settings"]
    once = compared.drop(index=repeated(compared)).to_dict("records")
    rows = [row for row in once if name and not math.isnan(row[name])]
    others = [key for key in settings if key not in (*DEFENCE, SEED)]
    names = [
        " → ".join(str(row[key]) for key in DEFENCE if key in settings and row[key] not in ("-", "none"))
        for row in rows
    ]
    places = with_own_tolerance([{key: row[key] for key in others} for row in rows], names)
    values: dict[str, dict[str, dict[Any, float]]] = {}
    for row, (setting, rule) in zip(rows, places, strict=True):
        values.setdefault(setting, {}).setdefault(rule, {})[row.get(SEED, 0)] = float(row[name])
    rules = list(dict.fromkeys(rule for one in values.values() for rule in one))
    if len(rules) < 2:
        raise ConfigError(
            f"metric = {name or metric or '(none)'}: ranks compare rules, and {len(rules)} of them has results: run a "
            "sweep over federation.aggregator"
        )
    return compared_rules(name, rules, values)


def ranks_if_any(compared: "pandas.DataFrame", metrics: Iterable[str]) -> list[Ranks]:
    """Return the ranks of the rules in each of `metrics` in which three or more of them have results."""
    found = []
    for metric in metrics:
        with suppress(ConfigError):  # runs that are no sweep over rules have no ranks
            found.append(ranks_of(compared, metric))
    return [one for one in found if len(one.rules) > 2]


def compared_rules(
    metric: str, rules: Sequence[str], values: Mapping[str, Mapping[str, Mapping[Any, float]]]
) -> Ranks:
    """Return the ranks of `rules`, from values by setting, rule and seed.

    Raises:
        ConfigError: in no setting do all rules have a result.
    """
    sign = -1.0 if metric.startswith(SMALLER_IS_BETTER) else 1.0
    whole = {name: one for name, one in values.items() if all(rule in one for rule in rules)}
    left_out = len(values) - len(whole)
    by_seed = len(whole) == 1 and left_out == 0
    if by_seed:
        (only,) = whole.values()
        seeds = [seed for seed in only[rules[0]] if all(seed in only[rule] for rule in rules)]
        table = [[only[rule][seed] for rule in rules] for seed in seeds]
    else:
        table = [[float(np.mean(list(one[rule].values()))) for rule in rules] for one in whole.values()]
    if not table:
        raise ConfigError(f"{metric}: there is no setting in which all of {len(rules)} rules have a result")
    matrix = sign * np.array(table, np.float64)
    mean_ranks = ranked(matrix).mean(0)
    order = np.argsort(mean_ranks, kind="stable")
    n, k = matrix.shape
    statistic, p = friedman(mean_ranks, n) if n > 1 else (None, None)
    names = [rules[place] for place in order]
    pairs = holm([paired(one, other, values) for one, other in itertools.combinations(names, 2)])
    if ends := range_of(metric):
        pairs = tuple(pair.within(ends[1] - ends[0]) for pair in pairs)
    return Ranks(
        metric,
        tuple(names),
        tuple(float(mean_ranks[place]) for place in order),
        n,
        left_out,
        by_seed,
        statistic,
        p,
        critical_difference(k, n) if n > 1 else None,
        pairs,
    )


def ranked(matrix: np.ndarray) -> np.ndarray:
    """Return the ranks of each row's values, 1 for the largest; equal values share their mean rank.

    Example:
        >>> ranked(np.array([[0.9, 0.5, 0.9], [0.1, 0.2, 0.3]])).tolist()
        [[1.5, 3.0, 1.5], [3.0, 2.0, 1.0]]
    """
    from scipy.stats import rankdata

    found: np.ndarray = rankdata(-matrix, axis=1)
    return found


def friedman(mean_ranks: np.ndarray, n: int) -> tuple[float, float]:
    """Return Iman and Davenport's F of the mean ranks of rules (k,) over `n` settings, and its p (section 3.2.2).

    Friedman's statistic is chi2 = 12 N / (k (k + 1)) (sum R_j^2 - k (k + 1)^2 / 4), without a correction for equal
    values, which makes it smaller; F = (N - 1) chi2 / (N (k - 1) - chi2) with k - 1 and (k - 1)(N - 1) degrees of
    freedom. Where all settings have the same order F is infinite.
    """
    from scipy.stats import f

    k = len(mean_ranks)
    chi = 12 * n / (k * (k + 1)) * (float((np.asarray(mean_ranks) ** 2).sum()) - k * (k + 1) ** 2 / 4)
    rest = n * (k - 1) - chi
    if rest <= 1e-9:
        return math.inf, 0.0
    statistic = (n - 1) * chi / rest
    return statistic, float(f.sf(statistic, k - 1, (k - 1) * (n - 1)))


def critical_difference(rules: int, settings: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at 5 %: q sqrt(k (k + 1) / (6 N)) (Demsar, section 3.2.2).

    q is the studentised range's quantile for infinitely many degrees of freedom, divided by the root of 2.

    Example:
        >>> round(critical_difference(rules=4, settings=14), 2)
        1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - ALPHA, rules, np.inf)) / math.sqrt(2)
    return q * math.sqrt(rules * (rules + 1) / (6 * settings))
