"""The client that is served worst, by counting."""

import numpy as np

from fedrobust.runs.record import EvaluationRecord, MetricsRecord, to_json
from server.callbacks import FinishedRound, WorstClient


def found_of(*recall) -> MetricsRecord:
    return MetricsRecord(accuracy=0.5, recall=recall)


def worst(measured, *counts):
    """Return what is recorded of clients that have ``counts[i][k]`` images of class k."""
    found = np.array(counts, float)
    return WorstClient(found / found.sum(1, keepdims=True))(FinishedRound(1, "weights", measured))


def test_the_client_that_is_served_worst():
    measured = EvaluationRecord(
        clean=found_of(0.5, 1.0, None),
        robust={
            "fgsm": {"8/255": found_of(0.5, 0.25, 0.75), "0.02": found_of(0.0, 0.0, 0.0)},
            "pgd": {},
            "mim": {"1/255": found_of(None, 0.5, None)},
        },
    )
    found = worst(measured, (2, 2, 0), (1, 0, 3), (0, 0, 4), (0, 2, 2))
    assert to_json(found) == {
        "worst_client": {
            # 3/4, 1/2, nothing known, 1: neither a class without a recall counts nor a client without such a class.
            "clean": {"client": 1, "accuracy": 0.5, "mean": (0.75 + 0.5 + 1) / 3},
            # 3/8, 1/8 + 9/16, 3/4, 1/8 + 3/8
            "fgsm 8/255": {"client": 0, "accuracy": 0.375, "mean": (0.375 + 0.6875 + 0.75 + 0.5) / 4},
            "mim 1/255": {"client": 0, "accuracy": 0.5, "mean": (0.5 + 0.5) / 2},
        }
    }


def test_without_a_class_of_any_client_there_is_no_worst():
    found = worst(EvaluationRecord(clean=found_of(None, None, 1.0)), (2, 2, 0), (1, 0, 0))["worst_client"]
    assert to_json(found["clean"]) == {"client": None, "accuracy": None, "mean": None}


def test_clients_that_nobody_compared_have_no_worst():
    measured = EvaluationRecord(clean=found_of(1.0, 1.0, 1.0))
    assert WorstClient(None)(FinishedRound(1, "weights", measured)) == {"worst_client": None}


def test_a_round_that_is_not_measured_has_none():
    assert worst(None, (2, 2, 0), (1, 0, 3)) == {}
