"""Intervals against laws; `experiments/reliability/interval_coverage.py` tries more laws, and more samples of each."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability/interval_coverage.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("reliability_interval_coverage", HERE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_intervals_cover_or_the_card_says_too_few(program):
    """An interval of 95 % that covers 85 % is seen."""
    for law, n in ((program.BREAST, 156), (program.DERMA, 624)):
        found = program.coverage(replace(law, distance=1.8), n, 100, truths=50_000)
        wrong = {name: str(one) for name, one in found.items() if not one.as_it_should_be}
        assert not wrong, (law.name, n)
        assert found["calibration error, overconfident"].few == 0


@pytest.mark.slow
def test_every_interval_covers_at_every_size(program):
    for law, n, area in program.laws():
        found = program.coverage(law, n, 400, truths=300_000)
        wrong = {name: str(one) for name, one in found.items() if not one.as_it_should_be}
        assert not wrong, (law.name, n, area)


def test_a_coverage_of_85_percent_is_told(program):
    assert not program.Coverage(400, 340, 0, 0).as_it_should_be
    assert not program.Coverage(4000, 4000, 0, 0).as_it_should_be
    assert not program.Coverage(400, 380, 0, 1).as_it_should_be, "a value outside of its interval"
    assert program.Coverage(400, 380, 0, 0).as_it_should_be
    assert program.Coverage(400, 340, 300, 0).as_it_should_be
