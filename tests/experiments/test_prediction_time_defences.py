"""The table of prediction-time defences tells classes apart: a moved threshold is not taken for robustness."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "experiments/prediction_time_defences/tables.py"


def card(standing, right):
    """Return a card of 40 healthy and 60 ill images."""
    n = (40, 60)
    return {
        "standing": {"accuracy": sum(standing) / 100},
        "clean": {"accuracy": sum(right) / 100},
        "classes": [
            {"n": size, "right": one, "standing": other}
            for size, one, other in zip(n, right, standing, strict=True)
        ],
        "verdict": {"word": "not robust"},
        "checks": [{"check": "a", "outcome": "failed"}, {"check": "b", "outcome": "passed"}],
    }


def test_a_network_that_answers_one_class_is_told_by_the_robust_images_of_each():
    spec = importlib.util.spec_from_file_location("prediction_time_tables", FILE)
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    text = tables.written({"none": card((0, 0), (30, 60)), "smooth": card((0, 57), (10, 60))})
    head, _, plain, smooth = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
    )
    shown = dict(zip(head, smooth, strict=True))
    assert (shown["clean"], shown["robust"]) == ("70 %", "57 %")
    assert (shown["balanced, clean"], shown["balanced, robust"]) == ("62 %", "48 %")
    assert shown["robust, of each class"] == "0 of 40, 57 of 60"
    assert (shown["points above undefended"], shown["failed checks"]) == ("+48", "a")
    assert dict(zip(head, plain, strict=True))["points above undefended"] == "+0"
