import resource
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.training.calibration import STEPS, calibrate, peak_memory


class Update:
    """A local update that takes four seconds to compile and `step` seconds a step, on a clock of its own."""

    classifier = SimpleNamespace(layout=SimpleNamespace(parameters=5, statistics=3))

    def __init__(self, step):
        self.calls, self.now, self.step = [], 100.0, step

    def __call__(self, weights, data, batches, learning_rates, seed):
        self.now += self.step * len(batches.sizes) + (0.0 if self.calls else 4.0)
        self.calls.append((weights, data, batches, learning_rates, seed))


@pytest.mark.parametrize(
    ("images", "step", "calls"), [(3, 0.5, [1, 1]), (40, 0.5, [1, 1]), (40, 0.01, [1, 1, STEPS])]
)
def test_compiling_is_not_timed_and_every_step_sees_a_full_batch(monkeypatch, images, step, calls):
    update = Update(step)
    monkeypatch.setattr("time.perf_counter", lambda: update.now)
    shard = Split(np.arange(images, dtype=np.uint8).reshape(-1, 1, 1, 1), np.arange(images, dtype=np.int32))
    measured = calibrate(update, shard, batch_size=8)
    assert measured.step_seconds == pytest.approx(step)
    assert measured.memory_bytes == pytest.approx(peak_memory(), rel=0.1)
    assert [batches.sizes.tolist() for _, _, batches, _, _ in update.calls] == [
        [8] * steps for steps in calls
    ]
    for weights, data, batches, rates, _ in update.calls:
        assert (len(weights.trainable), len(weights.statistics)) == (5, 3)
        assert weights.statistics.tolist() == [1, 1, 1], "a variance of 0 would divide by it"
        assert data.targets.numpy().tolist() == [row % images for row in range(8)]
        np.testing.assert_array_equal(data.images.numpy().ravel(), data.targets.numpy())
        assert sorted(batches.rows[0]) == list(range(8))
        assert not np.any(rates)
        assert len(rates) == len(batches.sizes)


def test_memory_is_in_bytes_on_every_system(monkeypatch):
    usage = SimpleNamespace(ru_maxrss=3000)
    monkeypatch.setattr(resource, "getrusage", lambda who: usage if who == resource.RUSAGE_SELF else None)
    for system, unit in {"linux": 1024, "darwin": 1}.items():
        monkeypatch.setattr(sys, "platform", system)
        assert peak_memory() == 3000 * unit
