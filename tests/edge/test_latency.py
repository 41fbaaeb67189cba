from dataclasses import dataclass, field

import numpy as np
import pytest

from fedrobust.edge.interpreter import Interpreter
from fedrobust.edge.latency import measure_latency


@dataclass
class Clockwork:
    """An interpreter whose k-th inference takes k milliseconds on a clock of its own."""

    image_shape: tuple[int, ...] = (2, 2, 1)
    threads: int = 3
    calls: int = 0
    now: int = 0
    loaded: list = field(default_factory=list)

    def load(self, images):
        self.loaded.append(images.shape)

    def invoke(self):
        self.calls += 1
        self.now += self.calls * 1_000_000


def test_percentiles_are_those_of_the_timed_runs_alone(monkeypatch):
    clockwork = Clockwork()
    monkeypatch.setattr("time.perf_counter_ns", lambda: clockwork.now)
    latency = measure_latency(clockwork, np.zeros((2, 2, 1), np.float32), warmups=10, runs=101)
    # Runs 11 to 111 are timed: their median is 61 ms, and 95 of the 100 gaps lie below 106 ms.
    assert (latency.p50, latency.p95) == pytest.approx((61.0, 106.0))
    assert (latency.runs, latency.threads, clockwork.calls) == (101, 3, 111)
    assert clockwork.loaded == [(1, 2, 2, 1)]


def test_the_latency_of_a_real_file(study, exported):
    latency = measure_latency(Interpreter.open(exported["int8"], threads=1), study.images[0])
    assert 0 < latency.p50 <= latency.p95 < 1000
    assert latency.to_json() == {"p50": latency.p50, "p95": latency.p95, "threads": 1, "runs": 200}


def test_no_runs_are_refused():
    with pytest.raises(ValueError, match="runs = 0"):
        measure_latency(Clockwork(), np.zeros((2, 2, 1), np.float32), runs=0)


def test_ten_runs_warm_up_and_two_hundred_are_timed():
    clockwork = Clockwork()
    assert measure_latency(clockwork, np.zeros((2, 2, 1), np.float32)).runs == 200
    assert clockwork.calls == 210
