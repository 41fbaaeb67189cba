"""Modules that wait for their first use: executed once, whole for every thread, and not at all where nobody asks."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from threading import Barrier

import pytest

from fedrobust.deferred import deferred, execute_within


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "waiting"
    folder.mkdir()
    (folder / "__init__.py").write_text("executed = []\n")
    body = "import time, waiting\nwaiting.executed.append(__name__)\ntime.sleep(0.01)\nlast = 7\n"
    for name in ("early", "late", "never"):
        (folder / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    with deferred("waiting", but=("early",)):
        for name in ("early", "late", "never"):
            import_module(f"waiting.{name}")
    yield sys.modules["waiting"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "waiting"]:
        del sys.modules[name]


def test_a_module_is_executed_when_it_is_first_used(package):
    assert package.executed == ["waiting.early"]
    assert package.late.last == 7
    assert package.executed == ["waiting.early", "waiting.late"]
    assert "last" in dir(package.never)


def test_a_name_that_a_deferred_module_has_not_got_is_named(package):
    with pytest.raises(AttributeError, match=r"'waiting.late' has no attribute 'first'"):
        package.late.first  # noqa: B018


def test_threads_that_ask_at_once_get_the_whole_module(package):
    together = Barrier(8)

    def ask(_):
        together.wait()
        return package.late.last

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [7] * 8
    assert package.executed.count("waiting.late") == 1


def test_a_module_is_executed_within_a_block(tmp_path, monkeypatch):
    entered = []

    @contextmanager
    def block():
        entered.append("in")
        yield
        entered.append("out")

    (tmp_path / "walled.py").write_text("entered = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    execute_within("walled", block)
    import_module("walled")
    del sys.modules["walled"]
    assert entered == ["in", "out"]


def test_tensorflow_starts_without_keras_and_works_with_it():
    code = """
import sys
from fedrobust import runtime
runtime.claim_process()
tf = runtime.start_tensorflow()
print([name for name in ("keras", "tensorflow._api.v2.compat.v1", "scipy", "pandas") if name in sys.modules])
import keras
layer = keras.layers.Dense(2, kernel_initializer="ones")
print(float(tf.reduce_sum(layer(tf.ones([1, 3])))), float(tf.nn.relu(-1.0)), tf.distribute.has_strategy())
print(tf.compat.v1.nn.fused_batch_norm.__name__, tf.keras.Model is keras.Model, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "6.0 0.0 False", "fused_batch_norm True False"]


def test_parts_of_tensorflow_keep_their_names_when_a_package_of_that_name_is_imported():
    """``tensorflow.lite`` is a part of the API, and an empty package of sources below which the converter lies."""
    code = (
        "from fedrobust import runtime; runtime.claim_process(); tf = runtime.start_tensorflow()\n"
        "for _ in range(2): print(tf.lite.TFLiteConverter.__name__)\n"
        "import tensorflow.lite.python.interpreter; print(tf.lite.Interpreter.__name__)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.split() == ["TFLiteConverterV2", "TFLiteConverterV2", "Interpreter"]
