import dataclasses

import psutil
import pytest

from fedrobust.runs.codec import read
from fedrobust.runs.forecast import (
    DoesNotFitError,
    Forecast,
    aggregation_bytes,
    attackers,
    available_memory,
    check_memory,
    duration,
    makespan,
    size,
)
from fedrobust.runs.record import ToleranceRecord

GB = 10**9


def forecast(memory=2 * GB, available=8 * GB) -> Forecast:
    return Forecast(
        rounds=10,
        evaluations=5,
        workers=2,
        step_seconds=0.05,
        parameters=2_226_434,
        message_bytes=9_042_184,
        clients=20,
        steps=160,
        training_seconds=4.0,
        evaluation_seconds=2.0,
        memory_bytes=memory,
        matrix_bytes=45_000_000,
        available_bytes=available,
    )


def test_makespan_is_a_schedule_done_by_hand():
    # Longest first on two workers: 5 | 4, then 4+3 | 5, then 5+2 | 7.
    assert makespan([5, 4, 3, 2], 2) == 7
    assert makespan([2, 3, 4, 5], 2) == 8
    assert makespan([5, 4, 3, 2], 1) == 14
    assert makespan([5, 4, 3, 2], 9) == 5


def test_a_sum_costs_the_same_for_any_number_of_clients_and_a_matrix_one_row_each():
    assert aggregation_bytes(1000, 10, streams=True) == aggregation_bytes(1000, 10**6, streams=True)
    assert aggregation_bytes(1000, 10, streams=False) == 4 * 1000 * 11


def test_what_does_not_fit_is_refused_with_the_numbers_and_what_to_do():
    forecast().check()
    with pytest.raises(
        DoesNotFitError, match=r"needs 7\.9 GB of memory, 45\.0 MB of it for aggregating 20 clients"
    ):
        forecast(memory=7_900_000_000).check()
    with pytest.raises(DoesNotFitError, match=r'choose federation.aggregator = "mean"'):
        check_memory(94 * GB, 94 * GB, 24 * GB, 1000)


def test_the_refusal_and_its_edge():
    check_memory(9 * GB, GB, 10 * GB, 7)
    with pytest.raises(DoesNotFitError) as refusal:
        check_memory(9 * GB + 1, 2 * 10**6, 10 * GB, 7)
    assert str(refusal.value) == (
        "the study needs 9.0 GB of memory, 2.0 MB of it for aggregating 7 clients, and 10.0 GB are free: lower "
        "federation.participation, engine.workers or training.batch-size, or choose "
        'federation.aggregator = "mean", which needs no matrix of clients'
    )


def test_a_sum_is_two_doubles_and_a_float_a_number():
    assert aggregation_bytes(7, 3, streams=True) == 7 * 20
    assert aggregation_bytes(7, 3, streams=False) == 7 * 4 * 4


def test_says_itself_in_one_line():
    assert forecast().line() == (
        "a round: 20 clients, 160 steps, about 4.0 s of training; 40 messages of 9.0 MB; memory 2.0 GB of 8.0 GB; "
        "an evaluation: about 2.0 s"
    )


TOLERANCE = {
    "clients": 2,
    "source": "given",
    "told": True,
    "sampled": 6,
    "malicious": 5,
    "population": 20,
    "quantile": None,
    "probability-of-more": 0.0,
}


def test_says_itself_in_rows():
    rows = [
        ("model", "2,226,434 parameters"),
        ("message", "9.0 MB, 40 of them a round"),
        ("step", "50.0 ms, 2 clients at a time"),
        ("training a round", "4.0 s: 20 clients, 160 steps"),
        ("an evaluation", "2.0 s, 5 times"),
        ("all rounds", "50.0 s: 10 rounds"),
        ("memory", "2.0 GB, of it 45.0 MB for aggregation"),
        ("free memory", "8.0 GB"),
        ("disk", "up to 0 B while it runs"),
    ]
    assert forecast().rows() == rows
    told = dataclasses.replace(forecast(), tolerance=ToleranceRecord())
    assert told.rows() == [*rows, ("attackers", "none")]


def test_the_time_of_all_rounds():
    assert forecast().study_seconds == 10 * 4.0 + 5 * 2.0


def test_the_figures_under_the_names_of_the_result():
    assert dataclasses.replace(forecast(), tolerance=read(ToleranceRecord, TOLERANCE)).to_json() == {
        "rounds": 10,
        "evaluations": 5,
        "workers": 2,
        "step-seconds": 0.05,
        "parameters": 2_226_434,
        "message-bytes": 9_042_184,
        "clients": 20,
        "steps": 160,
        "training-seconds": 4.0,
        "evaluation-seconds": 2.0,
        "rule-passes": 0,
        "disk-bytes": 0,
        "memory-bytes": 2 * GB,
        "matrix-bytes": 45_000_000,
        "available-bytes": 8 * GB,
        "tolerance": TOLERANCE,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"malicious": 0}, "none"),
        ({"told": False}, "5 of 20 clients; the rule takes no number of attackers"),
        (
            {},
            "5 of 20 clients; the defence tolerates 2 of the 6 in a round: there are more in no rounds",
        ),
        (
            {"source": "truth", "probability-of-more": 0.2571},
            "5 of 20 clients; the defence tolerates 2 of the 6 in a round (the true number: an oracle): there "
            "are more in 26 % of rounds",
        ),
        (
            {"probability-of-more": 0.0001},
            "5 of 20 clients; the defence tolerates 2 of the 6 in a round: there are more in 0.01 % of rounds",
        ),
        (
            {"probability-of-more": 0.00009},
            "5 of 20 clients; the defence tolerates 2 of the 6 in a round: there are more in hardly any rounds",
        ),
    ],
)
def test_attackers_in_words(changes, words):
    assert attackers(read(ToleranceRecord, {**TOLERANCE, **changes})) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_900, "999.9 kB"),
        (10**6, "1.0 MB"),
        (10**9, "1.0 GB"),
        (2_345_600_000, "2.3 GB"),
        (10**12, "1000.0 GB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_bytes_in_words(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (119.9, "119.9 s"),
        (120.0, "2 min"),
        (150.5, "3 min"),
        (7199.0, "120 min"),
        (7200.0, "2.0 h"),
        (9000.0, "2.5 h"),
    ],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words


class Process:
    """A process of made-up sizes: 7 bytes itself, its children 30 and, below that one, 500."""

    def __init__(self, rss=7):
        self.rss = rss

    def memory_info(self):
        return self

    def children(self, recursive=False):
        return [Process(30), Process(500)] if recursive else [Process(30)]


def test_free_memory_is_what_is_free_and_what_this_process_and_its_children_hold(monkeypatch):
    class Machine:
        available = 11_000

    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    assert available_memory() == 11_000 + 7 + 30 + 500
