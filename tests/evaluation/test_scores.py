"""Further scores: their formulas, and that record, report and sweeps show what a study asks for."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, matthews_corrcoef

from fedrobust.config import ConfigError, Experiment
from fedrobust.evaluation.metrics import measure
from fedrobust.evaluation.scores import MCC, METRICS, Brier
from fedrobust.runs.record import EvaluationRecord, MetricsRecord
from fedrobust.spec import build
from fedrobust.study import Study
from fedrobust.sweeps.figures import evaluation_figures


@dataclass(frozen=True)
class Share:
    """The share of images that are given one class."""

    label: int = 1

    def __call__(self, labels, logits):
        return float((logits.argmax(1) == self.label).mean())


def drawn(classes, n=200):
    draw = np.random.default_rng(classes)
    return draw.integers(0, classes, n), draw.normal(size=(n, classes))


def probabilities(logits):
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 5])
def test_they_are_those_of_scikit_learn(classes):
    labels, logits = drawn(classes)
    assert MCC()(labels, logits) == pytest.approx(matthews_corrcoef(labels, logits.argmax(1)))
    each = [brier_score_loss(labels == label, probabilities(logits)[:, label]) for label in range(classes)]
    assert Brier()(labels, logits) == pytest.approx(sum(each))


def test_large_logits_do_not_overflow():
    assert Brier()(np.array([0, 1]), np.array([[1e4, 0.0], [1e4, 0.0]])) == 1.0


def test_a_constant_classifier_has_no_correlation():
    labels, _ = drawn(3)
    assert MCC()(labels, np.tile([1.0, 0.0, 0.0], (len(labels), 1))) == 0.0


def test_the_record_and_the_figures_of_sweeps_have_them_by_name():
    labels, logits = drawn(2)
    measured = measure(labels, logits, further={"mcc": MCC(), "nothing": lambda labels, logits: None})
    record = MetricsRecord.of(measured)
    assert record.further == {"mcc": MCC()(labels, logits), "nothing": None}
    figures = evaluation_figures(EvaluationRecord(clean=record), None)
    assert figures["mcc"] == record.further["mcc"]
    assert "nothing" not in figures
    assert MetricsRecord.of(measure(labels, logits)).further == {}


def test_a_study_names_them_and_ones_of_its_own():
    asked = ("mcc", "brier", f"{__name__}:Share(label=0)")
    study = Study.of(Experiment.of(evaluation__metrics=asked, data__samples=60))
    assert study.metrics == {"mcc": MCC(), "brier": Brier(), asked[2]: Share(label=0)}
    assert build(METRICS, "brier") == Brier()


@pytest.mark.parametrize(
    ("metrics", "message"),
    [(("briar",), 'did you mean "brier"'), (("mcc", "mcc"), "one metric stands twice")],
)
def test_what_cannot_be_is_refused(metrics, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of(evaluation__metrics=metrics)
