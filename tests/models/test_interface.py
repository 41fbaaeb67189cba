"""What is told of one model: class orders by number and by name."""

import pytest

from fedrobust.errors import ConfigError
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import UNDECLARED, Interface, class_order


def test_blank_texts_tell_nothing_and_others_are_read():
    assert Interface.parse() == Interface.parse(" ", "\t", " ") == UNDECLARED == Interface(None, (), "")
    assert UNDECLARED.assumed is UNIT
    told = Interface.parse("0..255", "1,0", " second ")
    assert told == Interface(InputFormat(high=255.0), (1, 0), "second")
    assert Interface.parse(labels="b,c,a", classes=3, names=("a", "b", "c")).labels == (1, 2, 0)
    with pytest.raises(ConfigError, match=r"^labels = '0,1,2': name each of the data's 2 labels once"):
        Interface.parse(labels="0,1,2")


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("0,1,2", (), (0, 1, 2)),
        (" , 2 ,0, 1, ", (), (2, 0, 1)),
        ("; 2; 0;1 ;", (), (2, 0, 1)),
        ("Melanoma, NEVUS,other", ("nevus ", " melanoma", "Other"), (1, 0, 2)),
        ("1, nevus, other", ("nevus", "melanoma", "other"), (1, 0, 2)),
        ("X, Y, Z", ("X", "Y", "Z"), (0, 1, 2)),
        ("Z; Y; X", ("X", "Y", "Z"), (2, 1, 0)),
        ("naevi, benign; carcinoma; other", ("carcinoma", "naevi, benign", "other"), (1, 0, 2)),
        ("2,1,0", ("carcinoma", "naevi, benign", "other"), (2, 1, 0)),
        ("0,1,2", ("2", "1", "0"), (0, 1, 2)),
    ],
)
def test_orders_are_numbers_or_names_between_commas_or_semicolons(text, names, expected):
    """A number is a label's number, also where labels have numbers for names."""
    assert class_order(text, 3, names) == expected


def test_a_name_with_a_comma_is_one_part_where_it_fills_the_text():
    assert class_order("a, b", 1, ("a, b",)) == (0,)


@pytest.mark.parametrize(
    "text", ["0,0,1", "0,1", "0,1,2,2", "0,1,3", "0,1,-1", "0,other,2", "0 1 2", ",", "1,2"]
)
def test_an_order_that_does_not_name_every_label_once_is_refused(text):
    with pytest.raises(ConfigError) as refusal:
        class_order(text, 3)
    assert str(refusal.value) == (
        f"labels = '{text}': name each of the data's 3 labels once, in the order of the model's outputs, separated by "
        "commas: numbers 0 to 2"
    )


def test_a_refused_order_tells_the_names_that_are_known():
    with pytest.raises(ConfigError, match=r"separated by commas: numbers 0 to 1, or 'normal', 'disease'$"):
        class_order("normal,ill", 2, ("normal", "disease"))
    with pytest.raises(
        ConfigError, match=r"separated by semicolons: numbers 0 to 1, or 'normal', 'rare, very'$"
    ):
        class_order("rare, normal", 2, ("normal", "rare, very"))
