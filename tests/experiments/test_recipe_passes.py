"""The passes that the benchmark of recipes counts are those of the documentation's table."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/benchmarks"


@pytest.fixture(scope="module")
def counted():
    sys.path.insert(0, str(HERE))
    import recipes

    yield recipes.counted
    sys.path.remove(str(HERE))
    for name in ("recipes", "machine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("spec", "forward", "backward", "second"),
    [
        ("plain", 1, 1, 0),
        ("free(replays=3)", 1, 1, 0),
        ("pgd(steps=3, warmup=0.5)", 4, 4, 0),
        ("trades(steps=3)", 3 + 3, 3 + 2, 0),
        ("awp(recipe='mart(steps=3)')", 3 + 2 + 2, 3 + 2 + 2, 0),
        ("advprop(recipe='pgd(steps=3)')", 5, 5, 0),
        ("gan-trainer", 4, 4, 0),
        ("grad-align", 4, 5, 1),
        ("gradient-penalty", 2, 3, 1),
    ],
)
def test_passes_are_counted(counted, spec, forward, backward, second):
    assert vars(counted(spec)) == {"forward": forward, "backward": backward, "second": second}
