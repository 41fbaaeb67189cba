"""The one command of all figures of reliability, and parts of it; the slow test runs its quick form."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module")
def programs():
    sys.path.insert(0, str(HERE))
    import run
    import soak

    yield run, soak
    sys.path.remove(str(HERE))
    for name in ("run", "soak"):
        sys.modules.pop(name, None)


def test_a_figure_that_has_to_be_zero_is_told(programs):
    run, _ = programs
    printed = 'notice\n{"a": 1}\n{"part": {"lost": 0, "crashes": []}}\nlicences: {all}\n'
    assert run.figures(printed) == [{"a": 1}, {"part": {"lost": 0, "crashes": []}}]
    assert run.wrong(run.figures(printed)) == []
    assert run.wrong([{"faults": {"race": {"files left": 2, "lost": 1}}}]) == [
        "faults, race: lost = 1",
        "faults, race: files left = 2",
    ]
    assert run.QUICK.keys() == run.FULL.keys()
    assert all((HERE / words[0]).is_file() for words in run.FULL.values())


def test_the_slope_of_the_memory_and_its_interval(programs):
    import numpy as np

    _, soak = programs
    rounds = list(range(10, 5010, 10))
    noise = np.random.default_rng(0).normal(0, 30.0, len(rounds))
    for rise in (0.0, 2.0):
        middle, low, high = soak.slope(
            rounds, [rise * at + more for at, more in zip(rounds, noise, strict=True)]
        )
        assert low < rise < high
        assert high - low < 0.02
        assert low < middle < high
    assert not low < 0 < high, "a leak of two kilobytes a round is seen"


@pytest.mark.slow  # minutes: processes that each import TensorFlow
def test_the_quick_form():
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as it has to be") == 7
