"""Which file is taken, when an alarm is raised, and what replaces int8."""

from types import SimpleNamespace

import pytest

from fedrobust.edge.choice import alarm, changes_too_many, chosen, fallback


def result(form, changed, n=100):
    return SimpleNamespace(
        format=form,
        file=f"m.{form}.tflite",
        changed=changed,
        agreement=(n - changed) / n,
        metrics=SimpleNamespace(n=n),
    )


@pytest.mark.parametrize(
    ("changed", "n", "wanted"), [(2, 100, False), (3, 100, True), (12, 624, False), (13, 624, True)]
)
def test_two_percent_are_the_limit(changed, n, wanted):
    assert changes_too_many(result("int8", changed, n)) is wanted
    assert bool(alarm(result("int8", changed, n))) is wanted


def test_the_alarm_tells_how_many():
    assert alarm(result("int8", 30, 624)) == (
        "m.int8.tflite changes 30 of 624 answers of the model (4.8%); at most 2% is taken as the same model."
    )


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({"float32": 0, "int8": 2}, "int8"),
        ({"float32": 0, "int8": 3}, "float32"),
        ({"float32": 0, "int8": 3, "dynamic": 1}, "dynamic"),
        ({"onnx": 0, "float32": 0}, "float32"),
        ({"onnx": 0}, "onnx"),
        ({"int8": 50}, None),
    ],
)
def test_the_first_format_that_stays_the_same_model_is_taken(changed, taken):
    found = chosen([result(form, count) for form, count in changed.items()])
    assert (found and found.format) == taken


@pytest.mark.parametrize(
    ("changed", "following"),
    [
        ({"int8": 2}, ""),
        ({"float32": 0}, ""),
        ({"int8": 3}, "dynamic"),
        ({"int8": 3, "float32": 0}, "dynamic"),
        ({"int8": 3, "dynamic": 2}, ""),
        ({"int8": 3, "dynamic": 3}, "float16"),
        ({"int8": 3, "int16x8": 0}, ""),
        ({"int8": 3, "dynamic": 3, "float16": 3}, ""),
    ],
)
def test_int8_is_replaced_only_where_it_changes_too_much(changed, following):
    assert fallback([result(form, count) for form, count in changed.items()]) == following
