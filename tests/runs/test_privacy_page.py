"""The privacy page of a run's card: promised or not, attacked or not, and never private."""

import pytest

from fedrobust.runs.privacy_page import privacy_page
from fedrobust.runs.record import PrivacyRecord, PromiseRecord
from fedrobust.runs.record.leakage import LeakageRecord

PROMISE = PromiseRecord(unit="image", mechanism="dp-sgd", noise="step", epsilon=8.0, delta=1e-3)
SILENT = PromiseRecord(unit="client", mechanism="gaussian-dp", epsilon=None)
ATTACKED = LeakageRecord(run="study", seed=0)

CASES = {
    "neither": (None, None, "Nothing promised, not attacked."),
    "promise alone": (PrivacyRecord(promises=(PROMISE,)), None, "Promised, not attacked."),
    "both": (PrivacyRecord(promises=(PROMISE,)), ATTACKED, "Promised, attacked."),
    "attack alone": (None, ATTACKED, "Nothing promised, attacked."),
    "no noise": (PrivacyRecord(promises=(SILENT,)), None, "Nothing promised, not attacked."),
    "sums only": (PrivacyRecord(secure_aggregation=True), None, "Nothing promised, not attacked."),
}


@pytest.mark.parametrize(("promised", "found", "said"), CASES.values(), ids=CASES)
def test_the_page_begins_with_what_is_promised_and_whether_it_was_attacked(promised, found, said):
    page = privacy_page(promised, found)
    assert page.statement[0] == said
    assert (page.promised, page.attacked) == (promised, found)
    assert "is private" not in " ".join(page.statement).lower()
    if found is None:
        assert "nothing is known of what the model and the updates give away" in " ".join(page.statement)


def test_what_is_promised_comes_with_its_figures():
    told = " ".join(privacy_page(PrivacyRecord(promises=(PROMISE, SILENT)), None).statement)
    assert "Promised: epsilon 8 at delta 0.001 for each image of a client." in told
    assert "gaussian-dp has no noise and promises nothing." in told
    assert "no cryptography hides them" in " ".join(
        privacy_page(PrivacyRecord(secure_aggregation=True), None).statement
    )
