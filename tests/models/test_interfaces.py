"""What is told of a model and of those that it is compared with."""

from types import SimpleNamespace

import pytest

from fedrobust.errors import ConfigError
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import UNDECLARED, Interface
from fedrobust.models.interfaces import NONE_DECLARED, Interfaces, by_companion

LESIONS = SimpleNamespace(classes=3, label_names=("naevus", "melanoma", "other"))
BYTES, CENTRED = InputFormat(high=255.0), InputFormat(low=-1.0)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("", {}),
        (" ", {}),
        ("2,0,1", {"": "2,0,1"}),
        ("mean=0.5", {"": "mean=0.5"}),
        ("control=0..1", {"control": "0..1"}),
        (" Edge =mean=0.5", {"edge": "mean=0.5"}),
        (["teacher=1", "0", "edge="], {"teacher": "1", "": "0"}),
        (("control=", "control=1"), {"control": "1"}),
        ({"": "0", "edge": "1"}, {"": "0", "edge": "1"}),
        ({"model": 0, "teacher": 1, "control": " "}, {"": "0", "teacher": "1"}),
    ],
)
def test_texts_go_to_the_model_or_to_the_companion_before_the_equals_sign(texts, expected):
    assert by_companion("head", texts) == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"student": "1"},
            "head: 'student' is no companion; choose one of control, teacher, edge, surrogate",
        ),
        ({"model": "0", "": "1"}, "head: given twice for the model"),
        (["0", "1"], "head: given twice for the model"),
        (["edge=0", "EDGE=1"], "head: given twice for edge"),
    ],
)
def test_unknown_companions_and_second_texts_are_refused(texts, message):
    with pytest.raises(ConfigError) as refusal:
        by_companion("head", texts)
    assert str(refusal.value) == message


def test_all_settings_are_read_and_come_back_as_plain_data():
    told = Interfaces.parse(["0..255", "edge=-1..1"], {"control": "1,0"}, "teacher=2")
    plain = {"input": {"": "0..255", "edge": "-1..1"}, "labels": {"control": "1,0"}, "head": {"teacher": "2"}}
    assert told.to_json() == plain
    assert told == Interfaces(**plain)
    assert Interfaces.parse() == NONE_DECLARED
    assert NONE_DECLARED.to_json() == {"input": {}, "labels": {}, "head": {}}


@pytest.mark.parametrize("setting", ["input", "labels", "head"])
def test_a_refusal_names_its_setting(setting):
    with pytest.raises(ConfigError, match=f"^{setting}: given twice for control$"):
        Interfaces.parse(**{setting: ["control=0..1", "control=0..1"]})


def test_images_that_cannot_be_read_are_refused_before_any_model_is_opened():
    with pytest.raises(ConfigError, match=r"^input = 'grey': 'grey' is not understood"):
        Interfaces.parse(["0..1", "edge=grey"])


def test_nothing_told_of_a_model_is_nothing_told_of_its_companions():
    for what in ("", "control", "teacher", "edge"):
        assert NONE_DECLARED.of(what, LESIONS) == UNDECLARED


def test_a_companion_has_the_models_order_and_where_it_shows_nothing_its_images():
    told = Interfaces.parse(
        ["0..255", "control=-1..1"], ["melanoma,naevus,other", "edge=2,1,0"], ["1", "teacher=side"]
    )
    assert told.of("", LESIONS) == Interface(BYTES, (1, 0, 2), "1", BYTES)
    assert told.of("control", LESIONS) == Interface(CENTRED, (1, 0, 2), "", BYTES)
    assert told.of("teacher", LESIONS) == Interface(None, (1, 0, 2), "side", BYTES)
    assert told.of("edge", LESIONS) == Interface(None, (2, 1, 0), "", BYTES)
    alone = Interfaces.parse("control=0..255", "teacher=2,1,0")
    assert alone.of("control", LESIONS) == Interface(BYTES, (), "", UNIT)
    assert alone.of("", LESIONS) == UNDECLARED


def test_an_order_that_does_not_fit_the_data_is_refused_with_their_names():
    with pytest.raises(ConfigError, match=r"data's 3 labels .* or 'naevus', 'melanoma', 'other'$"):
        Interfaces.parse(labels="1,0").of("", LESIONS)
