"""How often a poisoning attack has its way after a round."""

from types import SimpleNamespace

from server.callbacks import AttackSuccess, FinishedRound

JUDGE = SimpleNamespace(success=lambda weights, criterion: f"success of {weights} at {criterion}")
MEASURED = FinishedRound(3, "weights", {"clean": "clean", "robust": {}})


def test_an_aim_is_judged():
    assert AttackSuccess(JUDGE, "aim")(MEASURED) == {"attack_success": "success of weights at aim"}


def test_an_attack_without_an_aim_has_no_success():
    assert AttackSuccess(JUDGE, None)(MEASURED) == {"attack_success": None}


def test_a_round_that_is_not_measured_has_none():
    assert AttackSuccess(JUDGE, "aim")(FinishedRound(3, "weights", None)) == {}
