"""Rounds that an attack lasts after its end."""

import pytest

from fedrobust.runs.durability import durability_of
from fedrobust.runs.record import RoundRecord, RunRecord
from fedrobust.sweeps.figures import final_figures


def rounds(*rates, attacked, failed=()):
    return [
        RoundRecord.read(
            {
                "round": number,
                "attack-success": None if rate is None else {"rate": rate},
                "defence": {"attacked": number in attacked, "valid": number not in failed},
            }
        )
        for number, rate in enumerate(rates, start=1)
    ]


@pytest.mark.parametrize(
    ("rates", "attacked", "wanted"),
    [
        ((0.2, 0.9, 0.8, 0.6, 0.49, 0.7), (2,), (2, 0.9, 3, 4, 0.7)),  # the first fall counts, not the last
        ((0.2, 0.9, 0.8, 0.5), (2,), (2, 0.9, None, 2, 0.5)),  # half is not below half
        ((0.2, 0.3, 0.8, 0.1), (1, 2), (2, 0.3, 0, 2, 0.1)),  # it had failed before its end
        ((0.9, None, None, 0.6, None, 0.2, None), (1, 2), (2, 0.9, 4, 4, 0.2)),  # not every round is measured
        ((None, None, 0.6), (1,), (1, None, None, 2, 0.6)),
    ],
)
def test_by_hand(rates, attacked, wanted):
    found = durability_of(rounds(*rates, attacked=attacked), last_round=2)
    assert (found.ended, found.success, found.rounds, found.observed, found.last) == wanted


def test_there_is_none_of_an_attack_without_end_or_measurement():
    assert durability_of(rounds(0.9, 0.1, attacked=(1,)), last_round=0) is None
    assert durability_of(rounds(0.9, 0.8, attacked=(1, 2)), last_round=2) is None
    assert durability_of(rounds(0.9, None, attacked=(1,)), last_round=1) is None
    assert durability_of(rounds(0.9, 0.8, attacked=()), last_round=1) is None


def test_rounds_whose_attack_failed_say_nothing():
    found = durability_of(rounds(0.9, 0.1, 0.8, attacked=(1,), failed=(2,)), last_round=1)
    assert (found.rounds, found.observed) == (None, 2)


def test_its_figures_in_a_sweep():
    lasted = {"ended": 3, "rounds": None, "observed": 7}
    figures = final_figures(RunRecord.read({"schema": 2, "durability": lasted}))
    assert (figures["durability"], figures["durability censored"]) == (7, 1)
    figures = final_figures(RunRecord.read({"schema": 2, "durability": lasted | {"rounds": 2}}))
    assert (figures["durability"], figures["durability censored"]) == (2, 0)
