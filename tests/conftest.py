"""Shared by all tests: TensorFlow as `fedrobust run` starts it, and small models whose answers are formulas."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from fedrobust.runtime import start_tensorflow

start_tensorflow(workers=2)

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests(tmp_path_factory):
    """Large files are not unpacked in the home of whoever runs the tests; all processes of a run share kept graphs."""
    own = tmp_path_factory.getbasetemp()
    whole = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    os.environ["FEDROBUST_CACHE"] = str(whole / "cache")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; the test is skipped without one."""
    folder = os.environ.get("FEDROBUST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FEDROBUST_DATA names no folder with real data")
    return Path(folder)


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def linear_classifier():
    """Logits = images . kernel + bias on 4 x 4 grey images, 2 classes; weights are drawn with a seed."""
    import keras

    from fedrobust.models.classifier import Classifier
    from fedrobust.models.layout import Entry, Layout
    from fedrobust.models.preparation import Preparation

    inputs = keras.Input((4, 4, 1))
    dense = keras.layers.Dense(2, kernel_initializer=keras.initializers.RandomNormal(seed=1), name="logits")
    network = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    layout = Layout((Entry("logits/kernel", (16, 2), "trainable"), Entry("logits/bias", (2,), "trainable")))
    return Classifier("linear", Preparation((4, 4, 1), (4, 4, 1)), network, layout)
