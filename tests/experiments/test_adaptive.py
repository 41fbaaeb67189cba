"""The comparison of the adaptive attacker with fixed attacks: its tables are those of its results."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/poisoning"


@pytest.fixture(scope="module")
def program():
    sys.path.insert(0, str(HERE))
    import adaptive

    yield adaptive
    sys.path.remove(str(HERE))
    sys.modules.pop("adaptive", None)
    sys.modules.pop("kept", None)


def test_the_tables_are_those_of_the_results(program):
    results = program.KEPT.read()
    assert {one["rule"] for one in results} == {
        "median", "trimmed-mean", "multi-krum", "flame", "dnc", "fltrust"
    }  # fmt: skip
    assert program.table(results) in (HERE / "ADAPTIVE.md").read_text(encoding="utf-8")


def test_the_strongest_attack_has_all_seeds_and_the_lead_is_paired(program):
    def seeds(*values):
        return {seed: {"auc": value} for seed, value in enumerate(values)}

    attacks = {
        "none": seeds(0.9, 0.9),
        "ipm": seeds(0.7, 0.8),
        "alie": seeds(0.1),
        "mimic": seeds(0.8, 0.8),
        "delta-search": seeds(0.6, 0.6),
    }
    assert program.strongest(attacks, "auc", False) == "ipm"
    assert program.strongest(attacks, "auc", True) == "delta-search"
    assert program.lead(attacks["delta-search"], attacks["ipm"], "auc").startswith("+15.0 (")
