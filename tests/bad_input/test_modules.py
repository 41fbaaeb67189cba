"""Modules of the user's own that raise, or return nonsense: named by file and line, not as a traceback of ours."""

import numpy as np
import pytest
from small_federation import step_of

from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from server.accumulators import Collected
from server.errors import BrokenRuleError, RuleError

MODULE = """
from dataclasses import dataclass
import numpy as np

{body}
"""

RUN = ("run", "quickstart", "--set", "data.samples=60", "--set", "federation.clients=3")

CASES = {
    "import that raises": (
        "1 / 0",
        "federation.aggregator=mine:Rule",
        "ZeroDivisionError: division by zero (",
        5,
    ),
    "import that exits": ("raise SystemExit(3)", "federation.aggregator=mine:Rule", "SystemExit: 3 (", 5),
    "syntax": ("def rule(:", "federation.aggregator=mine:Rule", "SyntaxError: ", 5),
    "no such name": ("x = 1", "federation.aggregator=mine:Rule", "has no 'Rule'", 0),
    "constructor that raises": (
        "class Rule:\n    def __init__(self):\n        raise KeyError('x')",
        "federation.aggregator=mine:Rule",
        "KeyError: 'x' (",
        7,
    ),
    "not a class": ("Rule = 3", "federation.aggregator=mine:Rule", ":Rule", 0),
    "partition that returns nothing": (
        "def split(labels, clients, seed):\n    return None",
        "data.partition=mine:split",
        "returned no shards",
        0,
    ),
    "partition that returns text": (
        "def split(labels, clients, seed):\n    return 'abc'",
        "data.partition=mine:split",
        "returned no shards",
        0,
    ),
    "partition that loses images": (
        "def split(labels, clients, seed):\n    return [[0], [1], [2]]",
        "data.partition=mine:split",
        "did not put each of 60 images",
        0,
    ),
    "attack that returns nothing": (
        "class Attack:\n    def data(self, images, labels, context):\n        return None",
        "poisoning.attack=mine:Attack",
        "it fails: TypeError: ",
        0,
    ),
    "partition that raises": (
        "def split(labels, clients, seed):\n    return labels['x']",
        "data.partition=mine:split",
        "(",
        6,
    ),
    "attack that raises": (
        "class Attack:\n    def data(self, images, labels, context):\n        return images[:, 1000], labels",
        "poisoning.attack=mine:Attack",
        "it fails: IndexError: ",
        7,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_before_a_study(refused, tmp_path, case):
    body, setting, message, line = CASES[case]
    mine = f"mine_{list(CASES).index(case)}"  # a module of this name was not imported before
    (tmp_path / f"{mine}.py").write_text(MODULE.format(body=body))
    more = ("--set", "poisoning.malicious=1") if "poisoning" in setting else ()
    error = refused(*RUN, "--set", setting.replace("mine", mine), *more, message=message)
    if line:
        assert f"{mine}.py, line {line})" in error


RULES = {
    "raises": ("raise KeyError('x')", "KeyError: 'x' (", True),
    "divides by zero": ("return 1 / 0", "ZeroDivisionError: division by zero (", True),
    "returns nothing": ("return None", "returned a NoneType: an Aggregation", False),
    "returns a number": ("return 3", "returned a int: an Aggregation", False),
    "returns another shape": (
        "return Aggregation(np.zeros(3, np.float32), None)",
        "an update of shape (3,)",
        False,
    ),
    "returns text": ("return Aggregation('weights', None)", "ValueError", False),
    "exits": ("raise SystemExit(1)", "SystemExit: 1", True),
}


@pytest.mark.parametrize("case", RULES)
def test_a_rule_in_a_round(case, tmp_path, monkeypatch):
    """Failed on numbers, the round is kept back; a fault of the code ends the study: both with this reason."""
    body, message, placed = RULES[case]
    name = f"rule_{case.replace(' ', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "import numpy as np\nfrom fedrobust.aggregation.contract import Aggregation\n\n\nclass Rule:\n"
        f"    def __call__(self, updates, context):\n        {body}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    step = step_of(Experiment.of(federation__clients=4, federation__aggregator=f"{name}:Rule"), no_root)
    ones = np.ones((4, 6), np.float32)
    collected = Collected(np.arange(4), ones, np.ones((4, 3), np.float32), np.full(4, 10))
    current = Weights(np.zeros(6, np.float32), np.ones(3, np.float32))
    with pytest.raises((RuleError, BrokenRuleError)) as caught:
        step.next_weights(1, current, collected, {})
    told = str(caught.value)
    assert told.startswith(f"{name}:Rule: ")
    assert message in told
    assert (f"{name}.py, line 7)" in told) == placed
    assert "\n" not in told


def no_root(current, images, round):
    raise AssertionError("nobody asked the server")
