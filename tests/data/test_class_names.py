"""Names of classes, which may contain commas, in options and messages."""

import pytest

from fedrobust.data.class_names import as_option, names_in
from fedrobust.data.dataset import DataError
from fedrobust.data.importing.classes import numbered

LABELS = ["gesund", "selten, sehr"]


@pytest.mark.parametrize("names", [("a", "b"), ("malignant", "normal, benign"), ("normal, benign",)])
def test_an_option_is_read_as_the_names_that_it_was_made_of(names):
    assert names_in(as_option(names)) == names


@pytest.mark.parametrize("text", ["selten, sehr", " selten, sehr ", "selten, sehr;", ["selten, sehr"]])
def test_a_class_with_a_comma_is_one_class(text):
    _, _, ill = numbered(LABELS, disease=text)
    assert ill.tolist() == [1]


@pytest.mark.parametrize("text", ["gesund, selten, sehr", "gesund,selten"])
def test_names_taken_apart_at_a_comma_of_theirs_are_refused_with_advice(text):
    with pytest.raises(DataError) as told:
        numbered(LABELS, disease=text)
    assert (
        "'selten': no class; allowed: 'gesund', 'selten, sehr'. A name contains a comma: put semicolons"
        in str(told.value)
    )
    with pytest.raises(
        DataError, match=r"class 'selten, sehr' is not in classes = .*put semicolons between names"
    ):
        numbered(LABELS, classes=text)


def test_one_class_with_a_comma_is_told_with_the_option_that_keeps_it():
    with pytest.raises(DataError, match=r"1 class \('selten, sehr'\); .*classes = selten, sehr;OTHER"):
        numbered(LABELS[1:], classes="selten, sehr")
