"""What became of a run, word for word."""

import pytest

from fedrobust.runs.outcome import cut_short, invalid_line, invalid_rounds, measured_after, rounds_of
from fedrobust.runs.record import RunRecord


def run(result):
    return RunRecord.read({"schema": 1, **result})


ASKED = {"experiment": {"federation": {"rounds": 10}}}
BROKEN = {
    "rounds": [
        {"round": 0, "defence": None},
        {"round": 1, "defence": {"valid": True}},
        {
            "round": 2,
            "defence": {
                "valid": False,
                "attack-failures": [
                    {"partition": 3, "reason": "ValueError: no class 7\nmore"},
                    {"partition": 4, "reason": "OSError: the disk is full"},
                ],
            },
        },
        {"round": 3, "defence": {"valid": False, "attack-failures": []}},
        {"round": 4},
        {"round": 5, "defence": {"clients": 2}},
    ]
}


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ({}, (0, None)),
        ({"rounds": None, "experiment": None}, (0, None)),
        ({"rounds": [], "experiment": {}}, (0, None)),
        ({"rounds": [{"round": 0}, {"round": 1}, {"round": 2}], **ASKED}, (2, 10)),
    ],
)
def test_rounds_done_and_asked_for(result, wanted):
    assert rounds_of(run(result)) == wanted


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"status": "finished", **ASKED}, ""),
        ({}, "unknown before its first round was over"),
        ({"status": "failed", **ASKED}, "failed before its first round was over"),
        ({"status": "stopped", "rounds": [{"round": 1}]}, "stopped after round 1"),
        ({"status": "failed", "rounds": [{"round": 1}, {"round": 2}], **ASKED}, "failed after round 2 of 10"),
        (
            {"status": "running", "rounds": [{"round": 1}], **ASKED},
            "not finished (still running, or killed) after round 1 of 10",
        ),
    ],
)
def test_a_run_that_is_not_finished_says_how_far_it_came(result, words):
    assert cut_short(run(result)) == words


def test_the_model_that_figures_are_of():
    assert measured_after(run(ASKED), None) == ""
    assert measured_after(run(ASKED), 3) == "after round 3 of 10"
    assert measured_after(run({}), 3) == "after round 3"


def test_rounds_whose_attack_failed_with_the_first_reason():
    assert invalid_rounds(run({})) == []
    assert invalid_rounds(run({"rounds": None})) == []
    assert invalid_rounds(run(BROKEN)) == [
        (2, "client 3: ValueError: no class 7"),
        (3, "client ?: it does not say why"),
    ]


def test_the_line_about_a_failed_attack():
    assert invalid_line(run({"rounds": [{"round": 1, "defence": {"valid": True}}]})) == ""
    assert (
        invalid_line(run(BROKEN)) == "the attack failed in 2 of 5 rounds (client 3: ValueError: no class 7)"
    ), "the state before round 1 is no round"
