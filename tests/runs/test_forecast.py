import pytest

from fedrobust.runs.forecast import (
    DoesNotFitError,
    Forecast,
    aggregation_bytes,
    available_memory,
    check_memory,
    makespan,
)

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


def test_says_itself_in_one_line_and_in_rows():
    line = forecast().line()
    for part in ("20 clients", "160 steps", "40 messages of 9.0 MB", "memory 2.0 GB of 8.0 GB"):
        assert part in line
    assert dict(forecast().rows())["all rounds"] == "50.0 s: 10 rounds"
    assert forecast().to_json()["message-bytes"] == 9_042_184


def test_available_memory_counts_what_this_process_holds():
    assert available_memory() > 10**8
