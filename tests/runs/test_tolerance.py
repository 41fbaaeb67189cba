"""What a defence was told of its attackers, word for word."""

import pytest

from fedrobust.runs.codec import read
from fedrobust.runs.record import RunRecord, ToleranceRecord
from fedrobust.runs.tolerance import described, described_in, is_oracle

GIVEN = {
    "clients": 2,
    "source": "given",
    "told": True,
    "malicious": 3,
    "quantile": None,
    "probability-of-more": 0.0,
}
START = "The rule is given 2 malicious clients to tolerate"
ORACLE = "an oracle, which no real server has"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, f"{START}, by the study. No round samples more."),
        (
            {"clients": 1},
            "The rule is given 1 malicious client to tolerate, by the study. No round samples more.",
        ),
        (
            {"clients": 0},
            "The rule is given 0 malicious clients to tolerate, by the study. No round samples more.",
        ),
        ({"source": "truth"}, f"{START}, the true number: {ORACLE}. No round samples more."),
        (
            {"source": "truth", "quantile": 0.95},
            f"{START}, the 95 % quantile of the true number in a round: {ORACLE}. No round samples more.",
        ),
        (
            {"source": "truth", "quantile": 0.999},
            f"{START}, the 99.9 % quantile of the true number in a round: {ORACLE}. No round samples more.",
        ),
        ({"quantile": 0.95}, f"{START}, by the study. No round samples more."),
        ({"probability-of-more": None}, f"{START}, by the study."),
        (
            {"probability-of-more": 0.2571},
            f"{START}, by the study. More are sampled in a round with a probability of 25.7 %.",
        ),
        (
            {"probability-of-more": 1.0},
            f"{START}, by the study. More are sampled in a round with a probability of 100.0 %.",
        ),
        ({"malicious": 0}, ""),
        ({"malicious": None}, ""),
        ({"told": False}, ""),
    ],
)
def test_what_a_rule_was_told(changes, words):
    assert described(read(ToleranceRecord, {**GIVEN, **changes})) == words


def test_what_was_not_recorded_is_not_said():
    assert described(None) == ""
    assert described(ToleranceRecord()) == ""
    assert described(ToleranceRecord(clients=2, malicious=2)) == f"{START}, by the study.", (
        "told where it does not say"
    )


def rounds(*numbers):
    return [{"round": 1, "defence": {"tolerated": number}} for number in numbers]


def run(result):
    return RunRecord.read({"schema": 1, **result})


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"tolerance": GIVEN, "rounds": rounds(7)}, f"{START}, by the study. No round samples more."),
        ({"tolerance": {}, "rounds": rounds(7)}, ""),
        ({"rounds": rounds(0)}, ""),
        ({"rounds": rounds(None)}, ""),
        ({"rounds": None}, ""),
        ({}, ""),
        (
            {"rounds": [{"round": 1, "defence": None}, *rounds(None, 2, 5)]},
            f"{START}, the true number: {ORACLE}. How often a round samples more was not recorded.",
        ),
        (
            {"rounds": rounds(2), "experiment": {"federation": {"tolerate": 2}}},
            f"{START}, by the study. How often a round samples more was not recorded.",
        ),
    ],
)
def test_what_a_run_was_told_or_as_much_as_an_earlier_one_says(result, words):
    assert described_in(run(result)) == words


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"tolerance": {"told": True, "source": "truth"}}, True),
        ({"tolerance": {"source": "truth"}}, True),
        ({"tolerance": {"told": False, "source": "truth"}}, False),
        ({"tolerance": {"told": True, "source": "given"}}, False),
        ({"tolerance": {"told": True}}, False),
        ({"tolerance": {}, "rounds": rounds(2)}, False),
        ({"tolerance": None, "rounds": rounds(2)}, True),
        ({"rounds": rounds(None, 2)}, True),
        ({"rounds": rounds(2), "experiment": None}, True),
        ({"rounds": rounds(2), "experiment": {}}, True),
        ({"rounds": rounds(2), "experiment": {"federation": {"tolerate": None}}}, True),
        ({"rounds": rounds(2), "experiment": {"federation": {"tolerate": 0}}}, False),
        ({"rounds": rounds(2), "experiment": {"federation": {"tolerate": 2}}}, False),
        ({"rounds": rounds(0, None)}, False),
        ({"rounds": [{"round": 1, "defence": None}]}, False),
        ({"rounds": None}, False),
        ({}, False),
    ],
)
def test_whether_a_defence_was_told_the_truth(result, answer):
    assert is_oracle(run(result)) is answer
