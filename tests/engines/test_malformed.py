"""A few hundred malformed replies on each carrier; `experiments/reliability/replies.py` sends ten thousand."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module")
def replies():
    sys.path.insert(0, str(HERE))
    import replies

    yield replies
    sys.path.remove(str(HERE))
    for name in ("replies", "malformed"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("carrier", "refused"), [("in process", 0.97), ("envelope", 0.97), ("wire", 0.7)])
def test_no_malformed_reply_ends_a_round_or_takes_a_good_one_with_it(replies, carrier, refused):
    found = replies.measure(carrier, 150)
    assert (found["crashes"], found["lost"], found["first crash"]) == (0, 0, "")
    assert (found["malformed"], found["good"]) == (150, 50)
    assert found["refused"] >= refused * 150, "the others are well-formed after all"
    assert found["kinds of reasons"] >= 25
