"""What rules advertise, whatever attackers send; experiments/reliability/rules.py tries thousands of cases more."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fedrobust.aggregation import AggregationPipeline, Mean

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability/rules.py"
TURNS = 2


def load():
    spec = importlib.util.spec_from_file_location("reliability_rules", HERE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


rules = load()
CHAINS = len(rules.BEFORE)
FIRST = 10**6 // (len(rules.RULES) * CHAINS) * len(rules.RULES) * CHAINS


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("rule", rules.RULES)
def test_the_error_is_within_the_bound(rule):
    first = rules.RULES.index(rule) * CHAINS
    numbers = [
        first + chain + turn * len(rules.RULES) * CHAINS for chain in range(CHAINS) for turn in range(TURNS)
    ]
    cases = [found for number in numbers if (found := rules.case(FIRST + number)) is not None]
    assert len(cases) > TURNS * CHAINS / 2
    assert all(found.rule == rule.partition("(")[0] for found in cases)
    assert [line for found in cases for line in rules.outside(found)] == []


@pytest.mark.parametrize("rule", ["median", "geometric-median", "krum", "mda", "norm-clipping"])
def test_the_mean_in_the_place_of_a_rule_is_seen(rule):
    first = rules.RULES.index(rule) * CHAINS
    broken = 0
    for turn in range(30):
        found = rules.case(first + turn * len(rules.RULES) * CHAINS)
        broken += bool(rules.outside(replace(found, defence=AggregationPipeline(Mean(weighting="uniform")))))
    assert broken > 5
