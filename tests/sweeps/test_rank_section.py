"""Ranks on a sweep's page, in the terminal, as a figure and as tables."""

from dataclasses import replace

import pytest

from fedrobust.figures.of_ranks import figure_of_ranks
from fedrobust.sweeps.page import render
from fedrobust.sweeps.paired import Paired
from fedrobust.sweeps.rank_section import rank_pictures
from fedrobust.sweeps.ranks import compared_rules
from fedrobust.sweeps.row import Row
from fedrobust.terminal.ranks import companions, rank_tables

SCORES = {"mean": 0.5, "median": 0.7, "krum": 0.9}


def rows(seeds=3, rules=SCORES, attacks=("none", "ipm", "alie")):
    return [
        Row(
            hash=f"{rule}-{attack}-{seed}",
            status="finished",
            settings={"seed": seed, "federation.aggregator": rule, "poisoning.attack": attack},
            experiment={
                "seed": seed,
                "federation": {"aggregator": rule},
                "poisoning": {"attack": attack},
            },
            figures={"balanced_accuracy": score + 0.01 * seed * place, "chance": 0.5},
            error="",
            folder="",
            code="x",
        )
        for place, (rule, score) in enumerate(rules.items())
        for attack in attacks
        for seed in range(seeds)
    ]


def test_the_page_ranks_rules_and_draws_them():
    (picture,) = rank_pictures(rows())
    assert picture.ranks.rules == ("krum", "median", "mean")
    assert picture.ranks.ranks == (1.0, 2.0, 3.0)
    xs = [x for x, _ in picture.places]
    assert xs == sorted(xs)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)
    assert len(picture.tested) == 3
    page = render(rows(), "ranked")
    assert "Ranks of rules" in page
    assert "Paired tests over seeds, 3 pairs" in page
    assert page.count("<circle") == 3


def test_an_f_that_only_some_rules_are_given_is_not_a_setting():
    given = [
        replace(one, settings={**one.settings, "federation.tolerate": 2}) if "krum" in one.hash else one
        for one in rows()
    ]
    (picture,) = rank_pictures(given)
    assert (picture.ranks.settings, picture.ranks.left_out) == (3, 0)


def test_two_rules_and_one_seed_are_not_ranked_nor_tested():
    assert rank_pictures(rows(rules={"mean": 0.5, "median": 0.7})) == []
    assert "Pairs of rules are tested with three seeds or more" in render(rows(seeds=1), "ranked")


def test_a_rule_without_results_in_any_setting_leaves_no_ranks():
    assert rank_pictures([*rows(), *rows(rules={"late": 0.1}, attacks=("other",))]) == []


def ranks():
    values = {f"setting {place}": {"a": {0: 0.9}, "b": {0: 0.8}, "c": {0: 0.1}} for place in range(3)} | {
        f"other {place}": {"a": {0: 0.8}, "b": {0: 0.9}, "c": {0: 0.1}} for place in range(3)
    }
    return compared_rules("auc", ["a", "b", "c"], values)


def test_the_terminal_names_those_that_are_not_told_apart():
    found = ranks()
    assert companions(found, 0) == "b"
    assert companions(found, 2) == "none"
    (table,) = rank_tables(found)
    assert table.row_count == 3
    assert found.pairs[0] == Paired("a", "b", 1, pytest.approx(0), None, None, None)


def test_the_figure_has_a_dot_a_rule_and_a_bar_for_those_alike():
    figure = figure_of_ranks(ranks())
    assert figure.name == "ranks-auc"
    assert [row["rank"] for row in figure.rows] == [1.5, 1.5, 3.0, None]
    assert figure.rows[-1] == {"row": "b", "rank": None, "first": 1.5, "last": 1.5, "bar": 0}
