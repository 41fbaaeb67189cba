"""Peak memory of a file: at least what it holds, and more for a larger one."""

import numpy as np
import pytest

from fedrobust.edge import memory
from fedrobust.edge.errors import ExportError
from fedrobust.edge.export import export
from fedrobust.edge.memory import STATUS, peak_memory

linux = pytest.mark.skipif(not STATUS.exists(), reason="memory is read from /proc, which this system has not")


@linux
def test_a_large_file_takes_more_than_a_small_one_and_at_least_its_weights(exported, tmp_path):
    import keras

    inputs = keras.Input((28, 28, 1))
    wide = keras.layers.Dense(2048)(keras.layers.Flatten()(inputs))
    large = export(keras.Model(inputs, keras.layers.Dense(2)(wide)), tmp_path, ["float32"])["float32"]
    weights = 4 * 28 * 28 * 2048
    small, much = peak_memory(exported["float32"]), peak_memory(large)
    assert 0 < small < weights < much < 5 * weights


@linux
def test_what_cannot_be_opened_is_said(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"cannot be measured: .*LiteRT cannot open it"):
        peak_memory(tmp_path / "a.tflite")


def test_without_proc_it_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    assert peak_memory(tmp_path / "a.tflite") is None


@linux
def test_the_peak_is_not_below_what_is_resident():
    held = np.ones(10_000_000)
    assert memory.resident("VmHWM") >= memory.resident("VmRSS") > held.nbytes
