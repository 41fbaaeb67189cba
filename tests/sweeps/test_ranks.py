"""Ranks and critical differences: Demsar's own example, his table, and scipy."""

import math

import numpy as np
import pandas
import pytest
import scipy.stats

from fedrobust.config import ConfigError
from fedrobust.sweeps.ranks import (
    SMALLER_IS_BETTER,
    compared_rules,
    critical_difference,
    friedman,
    ranked,
    ranks_of,
)

# Demsar (2006), section 3.2.2: the mean ranks of four variants of C4.5 on 14 data sets.
DEMSAR = np.array([3.143, 2.000, 2.893, 1.964])


def test_demsars_example():
    """F = 3.69 with 3 and 39 degrees of freedom; a critical difference of 1.25."""
    statistic, p = friedman(DEMSAR, 14)
    assert statistic == pytest.approx(3.69, abs=0.01)
    assert p == pytest.approx(float(scipy.stats.f.sf(3.69, 3, 39)), rel=0.02)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize(
    ("rules", "q"),
    zip(range(2, 11), (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164), strict=True),
)
def test_the_quantiles_are_those_of_demsars_table_5a(rules, q):
    factor = math.sqrt(rules * (rules + 1) / (6 * 10))
    assert critical_difference(rules, 10) / factor == pytest.approx(q, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_friedmans_statistic_is_scipys_where_no_values_are_equal(seed):
    matrix = np.random.default_rng(seed).random((9, 5))
    chi = scipy.stats.friedmanchisquare(*matrix.T).statistic
    assert friedman(ranked(matrix).mean(0), 9)[0] == pytest.approx(8 * chi / (9 * 4 - chi))


def test_equal_rules_and_agreeing_settings():
    assert friedman(ranked(np.ones((5, 3))).mean(0), 5) == (0.0, 1.0)
    assert friedman(np.array([3.0, 2.0, 1.0]), 5) == (math.inf, 0.0)


def values(table, seeds=1):
    """Return values by setting, rule and seed, of a table (settings, rules); seeds differ by a thousandth."""
    return {
        f"setting {row}": {
            name: {seed: value + 0.001 * seed for seed in range(seeds)}
            for name, value in zip("abcd", line, strict=False)
        }
        for row, line in enumerate(table)
    }


def test_ranks_order_rules_and_join_those_that_are_alike():
    """Of three rules over twelve settings a and b change places: mean ranks 1.5, 1.5 and 3, apart by 0.957 or more."""
    found = compared_rules("auc", list("abc"), values([[0.8, 0.9, 0.1], [0.9, 0.8, 0.1]] * 6))
    assert (found.rules, found.ranks) == (("a", "b", "c"), (1.5, 1.5, 3.0))
    assert found.critical == pytest.approx(2.343 * math.sqrt(12 / 72), abs=1e-3)
    assert found.alike == ((0, 1),)
    assert found.p < 0.05
    clear = compared_rules("auc", list("abc"), values([[0.1, 0.5, 0.9]] * 12))
    assert (clear.rules, clear.alike) == (("c", "b", "a"), ())
    # Friedman's test finds nothing: no pair is said to differ.
    same = compared_rules("auc", list("abc"), values([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1]] * 6))
    assert same.alike == ((0, 2),)
    assert "finds no difference" in same.note


def test_of_success_and_harm_less_is_better():
    table = [[0.1, 0.5, 0.9]] * 3
    assert compared_rules("attack-success", list("abc"), values(table)).rules == ("a", "b", "c")
    assert compared_rules("harm auc", list("abc"), values(table)).rules == ("a", "b", "c")
    assert compared_rules("auc", list("abc"), values(table)).rules == ("c", "b", "a")


def test_settings_without_all_results_are_left_out_and_counted():
    some = values([[0.1, 0.5], [0.2, 0.6], [0.3, 0.7]])
    del some["setting 2"]["b"]
    found = compared_rules("auc", ["a", "b"], some)
    assert (found.settings, found.left_out) == (2, 1)
    assert "1 left out" in found.note
    with pytest.raises(ConfigError, match="no setting"):
        compared_rules("auc", ["a", "b"], {"one": {"a": {0: 1.0}}})


def test_few_seeds_are_not_tested():
    for seeds, tested in ((1, False), (2, False), (3, True)):
        known = values([[0.5, 0.1], [0.9, 0.1]], seeds)
        known["setting 0"]["a"][0] += 0.01
        (pair,) = compared_rules("auc", ["a", "b"], known).pairs
        assert pair.seeds == seeds
        assert pair.difference == pytest.approx(0.6 + 0.005 / seeds)
        assert (pair.p is not None) == tested
        assert (pair.low is not None) == (seeds > 1)
    alone = compared_rules("auc", ["a", "b"], values([[0.5, 0.1]]))
    assert (alone.critical, alone.p, alone.statistic) == (None, None, None)
    assert "nothing to test" in alone.note


def test_seeds_are_ranked_where_nothing_else_varies_and_a_seed_with_a_missing_cell_is_no_pair():
    found = compared_rules("auc", ["a", "b"], values([[0.5, 0.1]], seeds=4))
    assert (found.settings, found.seeds, found.ranks) == (4, True, (1.0, 2.0))
    some = values([[0.5, 0.1], [0.9, 0.1]], seeds=3)
    del some["setting 1"]["b"][2]
    (pair,) = compared_rules("auc", ["a", "b"], some).pairs
    assert pair.seeds == 2


def test_intervals_of_differences_end_where_no_difference_can_lie():
    wide = {"one": {"a": {0: 1.0, 1: 0.0, 2: 1.0}, "b": {0: 0.0, 1: 0.9, 2: 0.0}}}
    found = compared_rules("auc", ["a", "b"], wide)
    (pair,) = found.pairs
    assert (pair.low, pair.high) == (-1.0, 1.0)
    assert "Intervals of differences are cut" in found.note
    (seconds,) = compared_rules("seconds", ["a", "b"], wide).pairs
    assert seconds.high > 1 or seconds.low < -1


def frame(rules):
    rows = [
        {
            "federation.aggregator": rule,
            "poisoning.attack": attack,
            "seed": seed,
            "auc": auc,
            "status": "finished",
        }
        for rule, auc in rules.items()
        for attack in ("none", "ipm")
        for seed in (0, 1)
    ]
    table = pandas.DataFrame(rows)
    table.attrs.update(
        settings=["federation.aggregator", "poisoning.attack", "seed"], figures=["auc"], cells=True
    )
    return table


def test_the_rules_of_a_compared_sweep():
    found = ranks_of(frame({"mean": 0.7, "median": 0.8}))
    assert (found.metric, found.rules, found.settings) == ("auc", ("median", "mean"), 2)
    assert found.pairs[0].difference == pytest.approx(0.1)
    with pytest.raises(ConfigError, match="1 of them has results"):
        ranks_of(frame({"mean": 0.7}))
    with pytest.raises(ConfigError, match="metric"):
        ranks_of(frame({"mean": 0.7, "median": 0.8}), "aux")


def test_rules_with_and_without_f_are_ranked_in_one_setting():
    """Single runs of the mean have no f, those of Krum the true number: the rule decides that, not the study."""
    oracle = "the true number (oracle)"
    table = frame({"mean": 0.7, "median": 0.8, "krum": 0.6})
    taken = (table["federation.aggregator"] == "krum") & (table["poisoning.attack"] == "ipm")
    table["federation.tolerate"] = [oracle if one else None for one in taken]
    table.attrs["settings"] = [*table.attrs["settings"], "federation.tolerate"]
    found = ranks_of(table)
    assert (found.settings, found.left_out) == (2, 0)
    assert found.rules == ("median", "mean", "krum")


def test_an_f_that_was_varied_is_a_setting():
    """Two runs of Krum with f = 1 and f = 2 are no seeds of one setting."""
    one, other = frame({"krum": 0.6, "trimmed-mean": 0.7}), frame({"krum": 0.8, "trimmed-mean": 0.9})
    table = pandas.concat(
        [one.assign(**{"federation.tolerate": 1}), other.assign(**{"federation.tolerate": 2})]
    )
    table = table.reset_index(drop=True)
    settings = ["federation.aggregator", "poisoning.attack", "seed", "federation.tolerate"]
    table.attrs.update(settings=settings, figures=["auc"], cells=True)
    assert ranks_of(table).settings == 4


def test_an_f_that_was_varied_of_one_rule_alone_is_part_of_its_name():
    """The mean has none, the trimmed mean one: no setting would have all rules if it were a setting."""
    each = [("mean", 0.7, None), ("trimmed-mean", 0.8, 1), ("krum", 0.9, 1), ("krum", 0.6, 2)]
    parts = [frame({rule: auc}).assign(**{"federation.tolerate": f}) for rule, auc, f in each]
    table = pandas.concat(parts).reset_index(drop=True)
    settings = ["federation.aggregator", "poisoning.attack", "seed", "federation.tolerate"]
    table.attrs.update(settings=settings, figures=["auc"], cells=True)
    found = ranks_of(table)
    assert (found.settings, found.left_out) == (2, 0)
    assert found.rules == ("krum (tolerate 1)", "trimmed-mean", "mean", "krum (tolerate 2)")


@pytest.mark.parametrize("metric", ["seconds", "training-seconds", "clients worse", "refused"])
def test_of_time_and_losses_less_is_better(metric):
    assert metric.startswith(SMALLER_IS_BETTER)
