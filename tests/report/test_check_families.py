import re
from pathlib import Path

import pytest

from fedrobust.report.check_families import FAMILIES, OTHERS, check_families, family_of
from fedrobust.runs.record import FindingRecord

AUDIT = Path(__file__).resolve().parents[2] / "docs/audit.md"


def test_every_check_answers_a_question():
    table = (
        AUDIT.read_text(encoding="utf-8").split("| check | a failure is called | next |")[1].split("\n\n")[0]
    )
    names = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[1:]  # after the rule below the head
    assert len(names) == 30
    assert {family_of(name) for name in names} == set(FAMILIES)


@pytest.mark.parametrize(
    ("name", "start"),
    [("gradient masking: int8 file beats its float model", "Are the model's answers"), ("new check", OTHERS)],
)
def test_the_longest_beginning_decides(name, start):
    assert family_of(name).startswith(start)


def test_what_failed_comes_first_in_and_among_families():
    outcomes = {
        "too few images": "passed",
        "failing attack: a": "not applicable",
        "failing attack: b": "not made",
        "failing attack: c": "passed",
        "robust accuracy: d": "failed",
    }
    found = check_families(FindingRecord(check=name, outcome=outcome) for name, outcome in outcomes.items())
    assert [one.outcome for one in found] == ["failed", "not made", "passed"]
    assert [one.check[-1] for one in found[1].checks] == ["b", "c", "a"]
    assert found[1].counted == "1 not made, 1 passed, 1 not applicable"
