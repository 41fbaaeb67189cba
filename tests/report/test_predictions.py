"""The confusion matrices and charts of a card."""

import pytest

from fedrobust.audit.predictions import predictions_record
from fedrobust.report import card as page
from fedrobust.report.predictions import predictions
from fedrobust.runs.record import CardRecord

LOGITS = [[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [0.0, 2.0]]
LABELS = [0, 0, 1, 1]


def card(**found):
    return CardRecord.read(
        {
            "schema": 3,
            "threat": {"norm": "linf", "epsilon": "2/255"},
            "data": {"labels": ["ill", "<b>well</b>"], "disease": [0]},
            "verdict": {"word": "robust"},
        }
        | {"predictions": {kind: CardRecord.to_json(one) for kind, one in found.items()}}
    )


@pytest.fixture
def both():
    return card(
        clean=predictions_record(LABELS, LOGITS, (0,)),
        attacked=predictions_record(LABELS, LOGITS[::-1], (0,)),
    )


def test_rows_of_a_confusion_matrix_are_true_classes(both):
    found = predictions(both.data.labels, both.predictions)["matrices"]
    assert [title for title, _ in found] == ["Without an attack", "Worst case of all attacks"]
    rows = [(name, [(one.n, one.text, one.right) for one in shares]) for name, shares in found[0][1]]
    assert rows == [
        ("ill", [(1, "50.0\u202f%", True), (1, "50.0\u202f%", False)]),
        ("<b>well</b>", [(0, "0.0\u202f%", False), (2, "100.0\u202f%", True)]),
    ]


def test_of_two_classes_the_curve_is_that_of_the_diseased_one(both):
    (chart,) = predictions(both.data.labels, both.predictions)["roc"]
    assert chart.title == "ROC curve of “ill”"
    assert [(line.kind, line.points[0], line.points[-1]) for line in chart.lines] == [
        ("clean", (0.0, 0.0), (1.0, 1.0)),
        ("attacked", (0.0, 0.0), (1.0, 1.0)),
    ]
    # All ill images rank above all others without an attack, and below two of them under attack.
    assert (0.0, 1.0) in chart.lines[0].points
    assert (0.0, 1.0) not in chart.lines[1].points


def test_a_reliability_diagram_has_the_share_of_right_answers_with_its_interval(both):
    chart = predictions(both.data.labels, both.predictions)["calibration"]
    line = chart.lines[0]
    assert [y for _, y in line.points] == [0, 1, 1], (
        "one wrong image, two right ones of equal confidence, a right one"
    )
    assert all(
        low <= y <= high and high - low > 0.5
        for (_, y), (low, high) in zip(line.points, line.limits, strict=True)
    )
    assert "beside 75.0\u202f%" in chart.sentence


def test_the_page_draws_them_with_names_as_text(both):
    html = page.render(both)
    assert html.count("<svg") == 2
    assert html.count("<polyline") == 2
    assert "<b>well</b>" not in html
    assert "&lt;b&gt;well" in html


def test_a_card_of_an_earlier_version_has_no_charts():
    assert "<svg" not in page.render(card())
