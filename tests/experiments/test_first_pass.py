"""The first pass of rules and attacks: its study is checked, its tables are those of its results."""

import errno
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/poisoning"


@pytest.fixture(scope="module")
def program():
    sys.path.insert(0, str(HERE))
    import first_pass

    yield first_pass
    sys.path.remove(str(HERE))
    sys.modules.pop("first_pass", None)
    sys.modules.pop("kept", None)


def cell(attack, auc, success=None, **more):
    shown = {} if success is None else {"attack-success": success, "attack-success without trigger": 0.1}
    return {"attack": attack, "auc": auc, "balanced_accuracy": auc, "images": 624, **shown, **more}


def of(**rules):
    return {
        rule: {
            "none": cell("none", calm),
            "ipm": cell("ipm", low),
            "mimic": cell("mimic", 0.8),
            "blended-backdoor": cell("blended-backdoor", 0.2, success),
            "a3fl(passes=1)": cell("a3fl(passes=1)", 0.1, 1.0),
        }
        for rule, (calm, low, success) in rules.items()
    }


@pytest.mark.slow  # reading a thousand studies takes seconds
def test_the_tables_are_those_of_the_results(program):
    sweep = program.Sweep.load(program.STUDY)
    text = program.table(program.KEPT.read(), len(sweep.cells))
    page = (HERE / "FIRST_PASS.md").read_text(encoding="utf-8")
    assert text in page or not program.KEPT.read()


@pytest.mark.slow
def test_every_rule_meets_every_attack_that_fits_it(program):
    from fedrobust.aggregation import RULES

    sweep = program.Sweep.load(program.STUDY)
    rules = {name.partition("(")[0] for name in sweep.axes["federation.aggregator"]}
    assert rules == set(RULES.members) - {"bnguard", "feddf"}, "a new rule belongs into the first pass"
    attacks = len(sweep.axes["poisoning.attack"])
    assert len(sweep.cells) == len(rules) * attacks - (len(rules) - 1), "false-loss with sfat alone"


def test_targeted_attacks_are_judged_by_success_and_others_by_harm(program):
    own = of(median=(0.9, 0.7, 0.4))["median"]
    assert program.worst(own) == ("ipm", "blended-backdoor")
    assert program.scores(own) == (0.9, 0.7, -0.4)
    del own["none"]
    assert program.scores(own) is None


def test_a_rule_is_kept_unless_another_is_nowhere_worse(program):
    found = of(mean=(0.92, 0.2, 1.0), median=(0.9, 0.7, 0.4), krum=(0.8, 0.7, 0.4), flame=(0.8, 0.85, 0.5))
    assert program.undominated(found) == ["mean", "median", "flame"]
    assert program.undominated(of(a=(0.9, 0.7, 0.4), b=(0.9, 0.7, 0.4))) == ["a", "b"], "equals stay"
    assert program.that_matter(found) == {"blended-backdoor": 4, "ipm": 3, "mimic": 1}


def test_a_costly_attack_which_few_rules_meet_judges_none(program):
    found = of(mean=(0.92, 0.2, 1.0), median=(0.9, 0.7, 0.4), krum=(0.8, 0.7, 0.3))
    assert program.kept(found) == ["mean", "median", "krum"]
    assert all("a3fl(passes=1)" not in program.worst(own) for own in found.values())


def test_the_summary_has_costs_and_a_constant_classifier(program):
    lines = program.summary(of(mean=(0.92, 0.2, 1.0), median=(0.9, 0.7, 0.4)))
    assert lines[3] == "| median | 5 | 90.0 | +2.0 | 90.0 | 70.0 | `ipm` | 40.0 | 10.0 | `blended-backdoor` |"
    assert lines[-1].startswith("| *constant classifier* |")
    assert program.matrix(of(mean=(0.92, 0.2, 1.0)), "attack-success")[2:] == [
        "| `blended-backdoor` | 100.0 |",
        "| `a3fl(passes=1)` | 100.0 |",
    ]


def test_a_full_disk_leaves_the_results_that_were_there(program, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- table -->\n<!-- end of table -->\n", encoding="utf-8")
    kept = program.Kept(tmp_path / "results.json", page)
    kept.write([{"auc": 0.5}], "one\n")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"results\.json"):
        kept.write([{"auc": 0.5}, {"auc": 0.6}], "two\n")
    assert kept.read() == [{"auc": 0.5}]
    assert "one" in page.read_text(encoding="utf-8")
