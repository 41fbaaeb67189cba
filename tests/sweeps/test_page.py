"""The page of a sweep: what failed, is missing or has not been run is never a figure, and never good."""

from dataclasses import replace

import pytest

from fedrobust.sweeps.heatmaps import facets, heatmaps
from fedrobust.sweeps.page import render, tolerance
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import failures
from fedrobust.sweeps.spread import Spread, seeds_apart

ATTACKS = ("sign-flip", "alie")


def row(attack, seed=0, rule="krum", status="finished", error="", tolerate=None, **figures):
    federation = {"aggregator": rule} | ({} if tolerate is None else {"tolerate": tolerate})
    return Row(
        hash=f"{attack}-{rule}-{seed}",
        status=status,
        settings={"poisoning.attack": attack, "seed": seed},
        experiment={"name": "s", "poisoning": {"attack": attack}, "federation": federation},
        figures={name.replace("_rate", "-rate"): value for name, value in figures.items()},
        error=error,
        folder="",
        code="c",
    )


def heatmap(rows, title="Balanced accuracy"):
    return next(one for one in heatmaps(rows) if one.title == title)


def tiles(rows, title="Balanced accuracy"):
    return {name: tiles[0] for name, tiles in heatmap(rows, title).rows}


def test_the_worst_attack_is_a_figure_where_every_cell_has_its_own():
    found = tiles(
        [
            row(name, balanced_accuracy=value, images=156, chance=0.5)
            for name, value in (("none", 0.9), ("alie", 0.6))
        ]
    )
    assert found["worst"].text == "60.0%"
    assert found["worst"].notes == ("n 156, 1 seed",)
    assert found["worst"].style


def test_the_worst_attack_is_that_of_attacked_cells():
    found = tiles(
        [row("none", balanced_accuracy=0.6, chance=0.5), row("alie", balanced_accuracy=0.7, chance=0.5)]
    )
    assert found["worst"].text == "70.0%"
    assert found["worst"].good == pytest.approx(0.4)


def test_the_worst_attack_is_a_bound_where_a_cell_failed():
    rows = [row("none", balanced_accuracy=0.82), row("alie", balanced_accuracy=0.8)]
    found = tiles([*rows, row("sign-flip", status="failed", error="no")])
    assert found["worst"].text == "at most 80.0%"
    assert found["worst"].notes == ("1 of 2 cells without result",)
    assert not found["worst"].style, "a bound is not coloured as if it were good"


def test_the_worst_attack_is_a_bound_where_other_defences_faced_more_attacks():
    """Krum, which only IPM attacked, stood above the median, which ALIE attacked as well."""
    rows = [row("ipm", balanced_accuracy=0.8, images=156, chance=0.5)]
    rows += [
        row(attack, rule="median", balanced_accuracy=value, images=156, chance=0.5)
        for attack, value in (("ipm", 0.85), ("alie", 0.6))
    ]
    found = heatmap(rows)
    krum, median = dict(found.rows)["worst"]
    assert found.columns == ("krum", "median")
    assert (krum.text, krum.style) == ("at most 80.0%", "")
    assert krum.notes == ("attacks that other defences of this table faced were not run: alie", "n 156")
    assert median.text == "60.0%"
    assert median.style
    # An attack that failed was run; one that lacks a seed of the others was not.
    failed = row("alie", status="failed", error="no")
    krum, _ = dict(heatmap([*rows, failed]).rows)["worst"]
    assert krum.notes[0] == "1 of 2 cells without result"
    assert "not run" not in "".join(krum.notes)
    more = [
        row(attack, 1, rule, balanced_accuracy=0.7) for attack, rule in (("ipm", "krum"), ("ipm", "median"))
    ]
    more += [row("alie", balanced_accuracy=0.5), row("alie", 1, balanced_accuracy=0.5)]
    krum, median = dict(heatmap([*rows, *more]).rows)["worst"]
    assert not krum.text.startswith("at most")
    assert median.notes[0] == "attacks that other defences of this table faced were not run: alie"


def test_the_worst_attack_is_not_known_where_every_attack_failed():
    rows = [
        row("none", balanced_accuracy=0.82),
        *(row(attack, status="failed", error="no") for attack in ATTACKS),
    ]
    found = tiles(rows)
    assert found["worst"].text == "–", "a cell without an attack is no bound for one"
    assert not found["worst"].style
    assert found["alie"].text == "1 failed"
    assert not found["alie"].style


def test_a_seed_without_any_result_can_only_lower_the_bound():
    rows = [
        row("alie", 0, balanced_accuracy=0.5),
        row("none", 0, balanced_accuracy=0.7),
        row("alie", 1, status="failed", error="no"),
        row("none", 1, status="not run"),
    ]
    # Seed 0: 0.5 at worst; of seed 1 nothing is known, so up to 1.
    assert tiles(rows)["worst"].text == "at most 75.0%"


def test_a_failed_attack_makes_the_worst_success_a_bound():
    good = {"attack-success": 0.2, "attack-success images": 80}
    rows = [row("none"), row("alie", **good), row("sign-flip", **{"invalid-rounds": 2.0})]
    found = tiles(rows, "Attack success")
    assert found["worst"].text == "at least 20.0%"
    assert found["sign-flip"].text == "1 invalid"
    assert "none" not in found, "without an attack there is nothing to succeed"
    assert found["alie"].notes == ("n 80, 1 seed",)


def test_a_mean_over_some_of_its_seeds_says_which_are_missing_and_has_no_colour():
    rows = [row("alie", seed, balanced_accuracy=0.9, images=156) for seed in (0, 1)]
    rows += [row("alie", 2, status="failed", error="no"), row("none", balanced_accuracy=0.9)]
    found = tiles(rows)
    assert found["alie"].notes == ("seeds 90.0, 90.0", "n 156, 2 seeds", "1 failed")
    assert not found["alie"].style


def test_intervals_are_not_cut_at_the_ends_of_the_scale():
    wide = [0.1, 0.9, 1.0]
    assert Spread.of(wide).high > 1
    assert seeds_apart(Spread.of(wide), wide) == "seeds 10.0 to 100.0"
    assert seeds_apart(Spread.of([0.1, 0.9]), [0.1, 0.9]) == "seeds 10.0, 90.0"
    assert seeds_apart(Spread.of([0.4]), [0.4]) == ""


def test_one_reason_of_many_cells_stands_once():
    rows = [row("alie", seed, status="failed", error="min-size = 5: no draw") for seed in range(30)]
    rows.append(row("none", status="missing", error="octmnist is not here"))
    found = failures(rows)
    assert [(one.reason, len(one.cells)) for one in found] == [
        ("min-size = 5: no draw", 30),
        ("octmnist is not here", 1),
    ]
    page = render(rows, "s")
    assert page.count("min-size = 5: no draw") == 1
    assert "31 of 31 cells failed, could not be run here" in page
    assert "<b>30 failed</b>" in page
    assert page.count("reason 1") >= 30, "cells refer to it"


def test_cells_that_have_not_been_run_are_counted_and_have_no_figure():
    cells = [
        row("none", balanced_accuracy=0.9),
        row("ipm", balanced_accuracy=0.8),
        row("alie", status="not run"),
    ]
    page = render(cells, "s")
    assert "1 of 3 cells have not been run" in page
    assert "at most 80.0%" in page


def test_the_oracle_and_the_chance_of_more_attackers_are_said():
    told = {"tolerated": 1.0, "probability-of-more": 0.31}
    assert "an oracle" in tolerance([row("alie", **told)])
    (head,) = heatmap([row("alie", balanced_accuracy=0.8, **told)]).tolerance
    assert head == "f = 1 (oracle), P(more) = 31 %"
    assert "is up to 31.0%" in tolerance([row("alie", **told)])
    assert "oracle" not in tolerance([row("alie", tolerate=2, **told)])
    assert tolerance([row("none")]) == ""


def test_cells_that_differ_otherwise_are_kept_apart_also_where_they_failed():
    rows = [row("none", balanced_accuracy=0.8), row("none", status="failed", error="no")]
    other = dict(rows[1].settings) | {"data.alpha": 0.1}
    rows[1] = Row(**{**rows[1].__dict__, "settings": other})
    (facet,) = facets(rows)
    assert [name for name, _ in facet.heatmaps[0].rows] == ["", "data.alpha = 0.1"]
    assert facet.heatmaps[0].head == "combination"
    assert [one.name for one in facets([*rows, row("alie", balanced_accuracy=0.7)])] == [
        "",
        "data.alpha = 0.1",
    ]


def test_the_table_of_cells_shows_the_metrics_that_the_studies_name():
    named = row("none", accuracy=0.8, brier=0.125)
    named = replace(named, experiment={**named.experiment, "evaluation": {"metrics": ["brier"]}})
    page = render([named, row("alie", accuracy=0.5)], "s")
    assert '<th scope="col">brier</th>' in page
    assert "<td>0.125</td>" in page
    assert "brier" not in render([row("none", accuracy=0.8, brier=0.125)], "s")


def test_a_cell_that_was_not_run_does_not_raise_a_constant_classifier():
    rows = [
        row("none", balanced_accuracy=0.125, chance=0.125),
        row("alie", balanced_accuracy=1.0, chance=0.125),
        row("sign-flip", status="not run"),
    ]
    assert "a constant classifier scores 12.5%." in heatmap(rows).note
    found = tiles(rows)
    assert (found["none"].good, found["alie"].good) == (0.0, 1.0)
    assert "constant" not in heatmap([row("alie", balanced_accuracy=0.5)]).note, (
        "what is not known is not told"
    )


def test_each_data_set_of_a_table_has_its_own_constant_classifier():
    def on(name, majority, **figures):
        one = row("none", **figures)
        figures = {**one.figures, "majority_rate": majority}  # `row` would write a hyphen
        return replace(one, settings={**one.settings, "data.name": name}, figures=figures)

    fgsm = {"fgsm 4/255 accuracy": 0.3}
    rows = [
        on("blood", 0.2, balanced_accuracy=0.125, chance=0.125, **fgsm),
        on("breast", 0.73, balanced_accuracy=0.5, chance=0.5, **fgsm),
    ]
    (facet,) = facets(rows)
    balanced, robust = facet.heatmaps[:2]
    assert [tiles[0].good for _, tiles in balanced.rows] == [0.0, 0.0]
    assert "a constant classifier scores 12.5% to 50.0%." in balanced.note
    assert robust.note.startswith("A constant classifier scores 20.0% to 73.0%, attacked or not")


def test_one_class_of_test_images_has_no_colour():
    (tile,) = (tiles[0] for _, tiles in heatmap([row("none", balanced_accuracy=0.9, chance=1.0)]).rows)
    assert tile.good is None
