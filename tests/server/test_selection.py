"""Which round is kept."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.evaluation.metrics import measure
from fedrobust.runs.record import MetricsRecord, RoundRecord
from fedrobust.runs.record.metrics import LabelRecord
from server.selection import Selection, is_constant

FIGURES = replace(
    MetricsRecord.of(measure([0, 1, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])),
    auc=0.75,
    accuracy=0.625,
    balanced_accuracy=0.5,
    loss=2.0,
    recall=(0.25, 0.75),
)


def selection(mixes=None, **settings) -> Selection:
    return Selection(
        Experiment.of(**{f"evaluation__{key}": value for key, value in settings.items()}).evaluation, mixes
    )


@pytest.mark.parametrize(
    ("select", "by", "validation", "score"),
    [
        ("last", "auc", FIGURES, 4.0),
        ("last", "auc", None, 4.0),
        ("best", "auc", FIGURES, 0.75),
        ("best", "auc", replace(FIGURES, auc=0.0), 0.0),
        ("best", "auc", replace(FIGURES, auc=None), -np.inf),
        ("best", "auc", None, -np.inf),
        ("best", "accuracy", FIGURES, 0.625),
        ("best", "balanced-accuracy", FIGURES, 0.5),
        ("best", "loss", FIGURES, -2.0),
        ("best", "worst-client", FIGURES, 0.35),
    ],
)
def test_what_decides_which_round_is_kept(select, by, validation, score):
    mixes = np.array([[0.5, 0.5], [0.8, 0.2]])
    found = selection(mixes, select=select, select_by=by).score(RoundRecord(round=4, validation=validation))
    assert found == pytest.approx(score)
    assert type(found) is float


@pytest.mark.parametrize(("probe", "score"), [(0.4, 0.4), (None, -np.inf)])
def test_the_accuracy_under_the_short_attack_decides_if_it_is_asked_for(probe, score):
    entry = RoundRecord(round=4, validation=FIGURES, pgd_probe=probe)
    assert selection(select="best", select_by="robust-accuracy").score(entry) == score


ONE_ANSWER = replace(FIGURES, recall=(0.0, 1.0), predicted=(0, 78))
"""Of a model that answers the second class to every validation image."""


def course(*rounds) -> list[RoundRecord]:
    """Return rounds of a validation record and a figure under attack each."""
    return [
        RoundRecord(round=number, validation=validation, pgd_probe=probe, pgd_probe_balanced=probe)
        for number, (validation, probe) in enumerate(rounds, 1)
    ]


def kept(chosen: Selection, rounds) -> int:
    """Return the round that a run keeps: the last of the highest score."""
    return max(rounds, key=lambda entry: (chosen.score(entry), entry.round)).round


def test_balanced_accuracy_counts_every_class_alike_under_attack():
    """Of 64 images 47 are of one class: answering it nearly always has 73 %, and half of each class are 50 %."""
    frequent = RoundRecord(round=1, validation=FIGURES, pgd_probe=47 / 64, pgd_probe_balanced=0.5)
    honest = RoundRecord(round=2, validation=FIGURES, pgd_probe=0.62, pgd_probe_balanced=0.61)
    plain, balanced = (
        selection(select="best", select_by=by) for by in ("robust-accuracy", "robust-balanced-accuracy")
    )
    assert plain.score(frequent) > plain.score(honest)
    assert balanced.score(frequent) < balanced.score(honest)
    assert balanced.score(replace(honest, pgd_probe_balanced=None)) == -np.inf


@pytest.mark.parametrize("by", ["robust-accuracy", "robust-balanced-accuracy"])
def test_under_attack_a_constant_classifier_is_never_better_and_the_study_waits_for_another(by):
    """With two classes it keeps half, balanced, under any attack, and a model that begins to learn less."""
    chosen = selection(select="best", select_by=by, stop_after=4)
    rounds = course(*[(ONE_ANSWER, 0.5)] * 2, *[(FIGURES, probe) for probe in (0.31, 0.38, 0.42, 0.46)])
    assert chosen.scores(rounds) == [0.31, 0.38, 0.42, 0.46]
    assert [bool(chosen.exhausted(chosen.scores(rounds[:count]))) for count in range(7)] == [False] * 7
    assert kept(chosen, rounds) == 6
    assert chosen.remark(rounds) == ""
    worst = course((FIGURES, 0.0), (ONE_ANSWER, 1.0))
    assert kept(chosen, worst) == 1
    fallen = course((FIGURES, 0.3), *[(ONE_ANSWER, 0.5)] * 4)
    assert kept(chosen, fallen) == 1
    assert chosen.exhausted(chosen.scores(fallen)), "what was learnt is lost: that ends the study"


def test_rounds_count_one_by_one_as_they_do_together():
    chosen = selection(select="best", select_by="robust-balanced-accuracy", stop_after=2)
    rounds = course((ONE_ANSWER, 0.5), (FIGURES, 0.3), (ONE_ANSWER, 0.5), (FIGURES, 0.2))
    scores = []
    for entry in rounds:
        scores += chosen.scores([entry], waiting=bool(scores))
    assert scores == chosen.scores(rounds) == [0.3, -1.5, 0.2]
    assert chosen.exhausted(scores)


def test_of_constant_classifiers_alone_the_best_is_kept_with_a_remark():
    chosen = selection(select="best", select_by="robust-balanced-accuracy", stop_after=2)
    rounds = course((None, None), (ONE_ANSWER, 0.5), (ONE_ANSWER, 0.52), (ONE_ANSWER, 0.5), (ONE_ANSWER, 0.5))
    assert kept(chosen, rounds) == 3
    assert not chosen.exhausted(chosen.scores(rounds))
    assert chosen.remark(rounds).startswith(
        'evaluation.select-by = "robust-balanced-accuracy": in every evaluated'
    )
    assert chosen.remark(rounds[:1]) == "", "nothing was measured"


@pytest.mark.parametrize("by", ["auc", "loss", "accuracy", "balanced-accuracy"])
def test_clean_figures_are_those_of_a_constant_classifier_too(by):
    """There a model that learns has more than one that answers one class."""
    chosen = selection(select="best", select_by=by, stop_after=2)
    rounds = course((ONE_ANSWER, 0.5), (FIGURES, 0.3))
    assert chosen.score(rounds[0]) == chosen.score(rounds[1])
    assert len(chosen.scores(rounds)) == 2
    assert chosen.remark(rounds[:1]) == ""
    assert selection(select="last", select_by="robust-accuracy").remark(rounds[:1]) == ""


@pytest.mark.parametrize(
    ("recall", "predicted", "constant"),
    [
        ((0.0, 1.0), (0, 78), True),
        ((0.048, 0.96), (3, 75), True),
        ((0.06, 1.0), (1, 77), False),
        ((0.0, 0.97), (4, 74), False),
        ((None, 1.0), (0, 78), False),
        ((None, 0.0), (78, 0), True),
        ((0.0, 1.0, None, 0.0), (0, 99, 0, 1), True),
    ],
)
def test_which_classifiers_are_constant(recall, predicted, constant):
    assert is_constant(MetricsRecord(accuracy=0.5, recall=recall, predicted=predicted)) is constant


@pytest.mark.parametrize(
    ("sides", "constant"),
    [
        ([(0.0, 1.0), (1.0, 0.0)], True),
        ([(0.0, 1.0), (0.2, 0.96)], False),
        ([(0.0, 1.0), (None, 0.5)], True),
        ([(None, 1.0)], False),
    ],
)
def test_which_answers_to_several_findings_are_constant(sides, constant):
    labels = tuple(LabelRecord(sensitivity=found, specificity=spared) for found, spared in sides)
    assert is_constant(MetricsRecord(accuracy=0.5, labels=labels)) is constant


@pytest.mark.parametrize(
    ("aucs", "stops"),
    [
        ([0.5], False),
        ([0.5, 0.5], False),
        ([0.5, 0.5, 0.5], True),
        ([0.5, 0.4, 0.6], False),
        ([0.7, 0.4, 0.6], True),
        ([0.7, None, 0.6], False),
    ],
)
def test_a_study_stops_after_as_many_evaluations_without_a_better_one(aucs, stops):
    rounds = [
        RoundRecord(round=number, validation=None if auc is None else replace(FIGURES, auc=auc))
        for number, auc in enumerate(aucs, 1)
    ]
    waiting, patient = selection(select="best", stop_after=2), selection(select="best")
    assert bool(waiting.exhausted(waiting.scores(rounds))) == stops
    assert not patient.exhausted(patient.scores(rounds))


def test_stopping_early_needs_a_validation_figure():
    with pytest.raises(ConfigError, match=r"evaluation\.stop-after = 3"):
        Experiment.of(evaluation__stop_after=3)


def test_the_validation_split_is_measured_where_it_selects_or_is_asked_for():
    assert [selection(**each).validates for each in ({}, {"select": "best"}, {"validation": True})] == [
        False,
        True,
        True,
    ]
    entry = RoundRecord(round=4, validation=FIGURES)
    assert selection(validation=True).score(entry) == 4.0, "the last round is kept all the same"


@pytest.mark.parametrize("by", ["auc", "robust-accuracy", "robust-balanced-accuracy"])
def test_rounds_before_the_recipe_begins_are_neither_kept_nor_a_reason_to_stop(by):
    settings = {"select": "best", "select_by": by, "stop_after": 2}
    chosen = replace(selection(**settings), first=6)
    rounds = [
        RoundRecord(round=number, validation=FIGURES, pgd_probe=probe, pgd_probe_balanced=probe)
        for number, probe in enumerate([0.1] * 5 + [0.3] * 2, 1)
    ]
    assert [chosen.score(one) for one in rounds[:5]] == [-np.inf] * 5
    assert all(np.isfinite(chosen.score(one)) for one in rounds[5:])
    assert len(chosen.scores(rounds)) == 2
    assert chosen.exhausted(chosen.scores(rounds[:6])) == ""
    assert replace(chosen, settings=selection(select="last").settings).score(rounds[0]) == 1.0
