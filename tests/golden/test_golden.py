"""No bit of any result changes by accident: members of families and tiny studies against what was recorded."""

import json
import re

import pytest
from cases import CASES
from comparison import ARRAYS, ATTACKS, STUDIES, differences, machine
from record import FOLDER, golden, made

NEW_MEMBER = re.compile(r"((aggregated|stepped)\.)?[^.]+: found only")
"""A member of a family that is younger than the record: there is nothing that it could differ from."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(name, marks=[pytest.mark.slow] if case.long else []) for name, case in CASES.items()],
)
def test_families_and_studies_give_what_they_gave(case, tmp_path):
    recorded = golden(case)
    here = recorded["machine"] == machine()
    tolerance = None if here else CASES[case].tolerance
    found = [
        line
        for line in differences(recorded["document"], made(case, tmp_path), tolerance)
        if not (CASES[case].tolerance in (ARRAYS, ATTACKS) and NEW_MEMBER.fullmatch(line))
    ]
    how = (
        "to the bit" if here else f"within tolerances: recorded on {recorded['machine']}, this is {machine()}"
    )
    assert not found, f"{case}, compared {how}:\n" + "\n".join(found[:40])


def test_new_members_are_no_difference_and_lost_ones_and_new_fields_are():
    recorded = {"aggregated": {"mean": [{"update": 1}], "krum": [{"update": 2}]}}
    found = {"aggregated": {"mean": [{"update": 1, "memory": 3}], "newer": [{"update": 2}]}}
    lines = [line for line in differences(recorded, found) if not NEW_MEMBER.fullmatch(line)]
    assert lines == ["aggregated.krum: recorded only", "aggregated.mean[0].memory: found only"]


def test_every_case_is_recorded_and_nothing_else():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CASES)
    for case in CASES:
        assert len(json.dumps(golden(case)["document"])) > 1000, f"{case}: hardly anything was recorded"


@pytest.mark.parametrize(
    ("one", "other", "exact", "elsewhere"),
    [
        (1.0, 1.0, 0, 0),
        (0.5, 0.5 + 1e-7, 1, 0),
        (0.5, 0.6, 1, 1),
        (40, 43, 1, 0),
        (40, 60, 1, 1),
        (1, 1.0, 1, 1),
        (True, 1, 1, 1),
        (True, False, 1, 1),
        ({"loss": 1, "seconds": 2}, {"loss": 1, "seconds": 3}, 0, 0),
        ({"loss": 1}, {"loss": 1, "gain": 2}, 1, 1),
        ([1, 2], [1, 2, 3], 1, 1),
        ("robust", "broken", 1, 1),
        ("0.51 of 40", "0.49 of 40", 1, 0),
        ("0.51 of 40", "none", 1, 1),
        ("ab" * 32, "cd" * 32, 1, 0),
        ("ab" * 32, "finished", 1, 1),
        (None, 0.0, 1, 1),
        ({"bytes": 376236}, {"bytes": 375504}, 1, 0),
        ({"bytes": 376236}, {"bytes": 104112}, 1, 1),
        ({"bytes": 376236}, {"bytes": None}, 1, 1),
    ],
)
def test_what_counts_as_a_difference(one, other, exact, elsewhere):
    assert len(list(differences({"a": one}, {"a": other}))) == exact
    assert len(list(differences({"a": one}, {"a": other}, STUDIES))) == elsewhere
