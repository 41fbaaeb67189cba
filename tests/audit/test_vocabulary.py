from pathlib import Path

import numpy as np
import pytest

from fedrobust.audit.result import Result
from fedrobust.audit.vocabulary import (
    BY_QUERIES,
    BY_TRANSFER,
    CHECKS,
    WITH_GRADIENTS,
    WITHOUT_ATTACK,
    evidence,
)
from fedrobust.runs.codec import keys
from fedrobust.runs.record import CardRecord

AUDIT = Path(__file__).resolve().parents[2] / "docs/audit.md"
EVERY = (WITHOUT_ATTACK, WITH_GRADIENTS, BY_QUERIES, BY_TRANSFER, CHECKS)


def result(name, gradients):
    none = np.zeros((1, 0))
    return Result(
        name, (0.1,), np.zeros(0, np.int64), none.astype(bool), none[..., None], 5.0, gradients, 0.1
    )


@pytest.mark.parametrize(
    ("results", "kinds"),
    [
        ([result("pgd(steps=10)", 10.0)], [WITH_GRADIENTS]),
        ([result("square", 0.0)], [BY_QUERIES]),
        # A surrogate's gradients are none of the model.
        ([result("transfer(attack='mi-fgsm')", 20.0)], [BY_TRANSFER]),
        ([result("square", 0.0), result("fgsm", 1.0)], [WITH_GRADIENTS, BY_QUERIES]),
    ],
)
def test_only_evidence_that_the_card_has_is_named(results, kinds):
    assert evidence(results) == (WITHOUT_ATTACK, *kinds, CHECKS)


def test_the_keys_are_those_of_the_card():
    known = {one.key for one in keys(CardRecord)}
    assert {key.split(".")[0] for one in EVERY for key in one.keys} <= known


def test_the_documentation_has_the_same_terms():
    text = AUDIT.read_text(encoding="utf-8")
    for one in EVERY:
        terms = (", ".join(names) for names in (one.nist, one.atlas, one.ai_act))
        row = (
            " | ".join(("", one.about, one.method, *terms, ""))
            .strip()
            .replace("|  |", "| |")
            .replace("|  |", "| |")
        )
        assert row in text, row
