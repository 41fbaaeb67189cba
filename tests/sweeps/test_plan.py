"""The plan of a sweep, by hand."""

import pytest

from fedrobust.runs.forecast import Forecast
from fedrobust.sweeps.halving import Halving
from fedrobust.sweeps.plan import plan_of
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.plan import plan_tables
from server.forecast import disk_bytes

VALUES = {
    "seed": [0, 1],
    "data.samples": 150,
    "federation.clients": 4,
    "federation.rounds": 4,
    "federation.aggregator": ["mean", "median"],
    "poisoning.attack": ["none", "sign-flip", "ipm", "pixel-backdoor", "pixel-backdoor + neurotoxin"],
    "poisoning.malicious": 1,
    "poisoning.first-round": 4,
}


def forecast(experiment):
    """Ten seconds a round, and two for each of two evaluations: 44 seconds a study."""
    return Forecast(
        rounds=4,
        evaluations=2,
        workers=1,
        step_seconds=0.1,
        parameters=1000,
        message_bytes=4000,
        clients=4,
        steps=100,
        training_seconds=10.0,
        evaluation_seconds=2.0,
        memory_bytes=1_000_000 if experiment.federation.aggregator == "mean" else 3_000_000,
        matrix_bytes=0,
        available_bytes=10_000_000,
        disk_bytes=disk_bytes(4000, 9000),
    )


@pytest.fixture(scope="module")
def plan():
    cells = Sweep.of("planned", VALUES).cells
    asked = []

    def counted(experiment):
        asked.append(experiment)
        return forecast(experiment)

    made = plan_of("planned", cells, cells[1:], 0, 2, 123, counted, Halving((1, 2)))
    assert len(asked) == 2, "once for each rule: seeds and attacks make no difference"
    return made


def test_time_memory_and_disk_are_sums_over_the_cells_that_are_not_finished(plan):
    # 19 of 20 cells of 44 s. Of each rule and seed three attacks share three of four rounds: two of them save 33 s.
    assert (plan.cells, plan.finished, plan.workers) == (20, 1, 2)
    assert [work.rounds for work in plan.shared] == [3] * 4
    assert all(len(work.cells) == 3 for work in plan.shared)
    assert plan.saved_seconds == pytest.approx(4 * 2 * 33 / 2)
    assert plan.seconds == pytest.approx((19 * 44 - 4 * 2 * 33) / 2)
    assert plan.memory_bytes == 2 * 3_000_000
    # The files of 19 models, the checkpoints of two runs, those of three rounds of four forks.
    assert plan.disk_bytes == 19 * 9000 + 2 * 6 * 4000 + 4 * 3 * 2 * 4000


def test_the_cells_that_share_nothing_are_counted_with_their_reasons(plan):
    assert dict(plan.alone) == {"no other cell has the same first rounds": 7}
    told = plan.to_json()
    assert told["alone"] == plan.alone
    assert len(told["shared"]) == 4
    assert told["shared"][0]["cells"][0]["poisoning.attack"] == "sign-flip"
    assert told["halving-rounds"] == (1, 2)
    (shown, *_) = plan_tables(plan)
    assert "after round 1, 2 only the best go on: the time is an upper bound" in list(shown.columns[1].cells)
    titles = [str(column.header) for table in plan_tables(plan) for column in table.columns]
    assert titles == ["", "forecast", "shared rounds", "cells", "which", "rounds of their own", "cells"]
