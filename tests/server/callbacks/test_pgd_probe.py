"""The figure by which adversarial training is watched."""

from types import SimpleNamespace

from server.callbacks import FinishedRound, PGDProbe

JUDGE = SimpleNamespace(probe=lambda weights, epsilon: (f"probe of {weights}", epsilon))
MEASURED = FinishedRound(3, "weights", {"clean": "clean", "robust": {}})


def test_adversarial_training_is_watched_at_its_own_epsilon():
    assert PGDProbe(JUDGE, 0.1)(MEASURED) == {
        "pgd_probe": "probe of weights",
        "pgd_probe_balanced": 0.1,
    }


def test_other_training_is_not_watched():
    assert PGDProbe(JUDGE, None)(MEASURED) == {"pgd_probe": None, "pgd_probe_balanced": None}


def test_a_round_that_is_not_measured_has_no_figure():
    assert PGDProbe(JUDGE, 0.1)(FinishedRound(3, "weights", None)) == {}
