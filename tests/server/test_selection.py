"""Which round is kept."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.evaluation.metrics import measure
from fedrobust.runs.record import MetricsRecord, RoundRecord
from server.selection import Selection

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


def test_a_constant_classifier_is_not_selected_by_balanced_accuracy():
    """Of 64 images 47 are of one class: a constant classifier has 73 %, and half of each class are 50 %."""
    constant = RoundRecord(round=1, validation=FIGURES, pgd_probe=47 / 64, pgd_probe_balanced=0.5)
    honest = RoundRecord(round=2, validation=FIGURES, pgd_probe=0.62, pgd_probe_balanced=0.61)
    plain, balanced = (
        selection(select="best", select_by=by) for by in ("robust-accuracy", "robust-balanced-accuracy")
    )
    assert plain.score(constant) > plain.score(honest)
    assert balanced.score(constant) < balanced.score(honest)
    assert balanced.score(replace(honest, pgd_probe_balanced=None)) == -np.inf


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
