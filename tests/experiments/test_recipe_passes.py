"""The passes that the benchmark of recipes counts are those of the documentation's table, and of the forecast."""

import sys
from pathlib import Path

import pytest

from fedrobust.spec import build
from fedrobust.training.recipes import RECIPES
from fedrobust.training.recipes.recipe import passes_of_batch

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


@pytest.mark.parametrize(
    ("spec", "replays"),
    [
        ("plain", 1),
        ("fgsm", 1),
        ("fgsm(random_start=True, share=1.0)", 1),
        ("free(replays=3)", 3),
        ("pgd(steps=3, warmup=0.5)", 1),
        *[(f"{name}(steps=3)", 1) for name in ("trades", "mart", "logit-pairing", "dbfat", "fedrbn")],
        ("gan-trainer", 1),
        ("grad-align", 1),
        ("gradient-penalty", 1),
        *[(f"awp(recipe='{inner}(steps=2)')", 1) for inner in ("pgd", "trades", "dbfat")],
        ("advprop(recipe='awp(recipe=\"pgd(steps=2)\")')", 1),
    ],
)
def test_the_forecast_takes_them_for_granted(counted, spec, replays):
    """Every replay of a batch is a step of its own."""
    assert passes_of_batch(build(RECIPES, spec)) == pytest.approx(replays * counted(spec).units)
