"""The reference tables of rules and attacks: choice by the first pass, valid studies, tables of the results."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/poisoning"


@pytest.fixture(scope="module")
def tables(program):
    return sys.modules["reference_tables"]


@pytest.fixture(scope="module")
def program():
    sys.path.insert(0, str(HERE))
    import reference

    yield reference
    sys.path.remove(str(HERE))
    for name in ("reference", "reference_tables", "reference_settings", "first_pass", "kept"):
        sys.modules.pop(name, None)


def first(rule, attack, auc, success=None):
    shown = {} if success is None else {"attack-success": success}
    return {"rule": rule, "attack": attack, "auc": auc, "balanced_accuracy": auc, "images": 624, **shown}


def test_rules_that_are_beaten_are_left_out_but_for_mean_and_median(program):
    results = [
        one
        for rule, calm, low, success in (
            ("mean", 0.9, 0.1, 1.0),
            ("krum", 0.8, 0.7, 0.2),
            ("rlr", 0.8, 0.6, 0.3),
        )
        for one in (
            first(rule, "none", calm),
            first(rule, "ipm", low),
            first(rule, "alie", 0.8),
            first(rule, "blended-backdoor", calm, success),
        )
    ]
    rules, attacks = program.chosen(results)
    assert rules == ["mean", "krum"], "median was not run; krum beats rlr in all"
    assert attacks[:3] == ["none", *program.ADAPTIVE]
    assert set(attacks[3:]) == {"ipm", "blended-backdoor"}, "alie is nobody's worst"


def test_the_choice_from_the_recorded_first_pass_is_a_valid_study_in_the_first_setting(program, tmp_path):
    rules, attacks = program.chosen(program.first_pass.KEPT.read())
    assert {"mean", "median"} <= set(rules)
    sweep = program.sweep_of(program.SETTINGS[0], rules, attacks[:2], tmp_path)
    assert len(sweep.cells) == len(rules) * 2 * 3
    one = next(cell.experiment for cell in sweep.cells if cell.experiment.poisoning.attack != "none")
    assert (one.federation.clients, one.poisoning.malicious) == (10, 0.3)
    assert "dirichlet" in str(one.data.partition)
    assert one.training.trained_layers == "head"


@pytest.mark.slow  # thousands of studies are read
def test_every_setting_is_valid_for_every_rule_and_attack(program, tmp_path):
    rules, attacks = program.chosen(program.first_pass.KEPT.read())
    for setting in program.SETTINGS:
        sweep = program.sweep_of(setting, rules, attacks, tmp_path)
        assert len(sweep.cells) == len(rules) * len(attacks) * 3


def seeds(attack, *values, success=()):
    return [
        {
            "attack": attack,
            "auc": value,
            "seed": seed,
            **({"attack-success": success[seed]} if success else {}),
        }
        for seed, value in enumerate(values)
    ]


def test_a_row_has_the_attack_with_the_worst_mean_and_all_seeds(tables):
    own = tables.by_attack(
        [
            *seeds("none", 0.9, 0.9),
            *seeds("ipm", 0.1, 0.9),
            *seeds("mimic", 0.6, 0.6),
            *seeds("pixel-backdoor + delta-search", 0.9, 0.9, success=(0.5, 1.0)),
        ]
    )
    assert tables.row("median", own, seeds("none", 0.95, 0.99)) == (
        "| median | 90.0 (90.0 to 90.0) | +7.0 | 50.0 (10.0 to 90.0) | `ipm` | 75.0 (50.0 to 100.0) | – | "
        "`pixel-backdoor + delta-search` | 75.0 (50.0 to 100.0) |"
    )


def test_the_tables_over_settings_have_means_and_mean_ranks(program, tables):
    first, second = program.SETTINGS[:2]

    def cells(setting, rule, calm, low, success):
        together = [
            *seeds("none", calm),
            *seeds("ipm", low),
            *seeds("pixel-backdoor + delta-search", calm, success=(success,)),
        ]
        return [{"setting": setting.name, "rule": rule, **one} for one in together]

    results = [
        *cells(first, "mean", 0.9, 0.2, 1.0),
        *cells(first, "krum", 0.8, 0.7, 0.5),
        *cells(second, "mean", 0.9, 0.4, 0.0),
        *cells(second, "krum", 1.0, 0.9, 0.25),
    ]
    assert tables.overall(results)[2:4] == [
        "| mean | +0.0 | 1.5 | 30.0 | 2.0 | 50.0 | 1.5 |",
        "| krum | +0.0 | 1.5 | 80.0 | 1.0 | 37.5 | 1.5 |",
    ]
    assert tables.overall(results)[-1].startswith("2 settings; mean ranks that differ by less than 1.4 are")
    lines = tables.marginals(results, 1)
    assert lines[0] == "| settings | number | mean | krum |"
    assert "| dirichlet(alpha=0.5) | 2 | 30.0 | 80.0 |" in lines
    assert "| 30% malicious | 1 | 20.0 | 70.0 |" in lines
    assert "| DermaMNIST | 0 | – | – |" in lines
    assert "| 20% malicious | 1 | 0.0 | 25.0 |" in tables.marginals(results, 2)
    assert "| 30% malicious | 1 | +0.0 | +10.0 |" in tables.marginals(results, 0)
    assert "Of 4 pairs" in tables.adaptive(results)[0]
    assert "the most harm in 0, and has the highest success in 4" in tables.adaptive(results)[0]


def test_the_page_has_the_tables_of_the_results(program):
    assert program.table(program.KEPT.read()) in program.KEPT.page.read_text(encoding="utf-8")
