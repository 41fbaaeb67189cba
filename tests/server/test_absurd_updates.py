"""Finite but absurd updates under rules and server optimisers: the round is kept back with a reason, or is sound."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module")
def absurd():
    sys.path.insert(0, str(HERE))
    import absurd

    yield absurd
    sys.path.remove(str(HERE))
    for name in ("absurd", "rules"):
        sys.modules.pop(name, None)


def held(found):
    assert (found["crash"], found["without a reason"]) == (0, 0), found["crashes"]
    assert found["kept back"] > 0
    assert found["sound"] > 0


@pytest.mark.parametrize("rule", ["mean", "median", "multi-krum", "centred-clipping"])
def test_some_rules(absurd, rule):
    held(absurd.measure(1, [rule], ("none", "fedadam")))


@pytest.mark.slow
def test_every_rule_and_every_server_optimizer(absurd):
    held(absurd.measure(1, absurd.RULES))
