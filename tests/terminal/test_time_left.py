"""The time left is that of the whole run: rounds, audit, student."""

import pytest

from fedrobust.config import Experiment
from fedrobust.runs.events import ForecastMade, RoundFinished, StageStarted, StudyResumed, StudyStarted
from fedrobust.runs.record import RoundRecord
from fedrobust.terminal.time_left import TimeLeft, stage_seconds
from fedrobust.training.distillation import TARGET_STEPS

FIGURES = {
    "rounds": 10,
    "evaluations": 10,
    "workers": 2,
    "step-seconds": 0.1,
    "training-seconds": 8.0,
    "evaluation-seconds": 2.0,
}


def study(**settings):
    return Experiment.of(evaluation__epsilons=["1/255"], **settings)


@pytest.fixture
def run(tmp_path):
    """A clock, and what is known after the forecast of ten rounds of 10 s."""
    now = [0.0]
    (tmp_path / "experiment.toml").write_text(study().to_toml())
    left = TimeLeft(lambda: now[0])
    left(StudyStarted("b", str(tmp_path), 10, ""))
    assert left.line() == ""
    left(ForecastMade("", FIGURES, ()))
    return now, left


def finished(number, seconds):
    return RoundFinished(RoundRecord(round=number, seconds=seconds))


AUDIT = 581.5 * 2.0 / 5
"""Passes an image at the quick effort, times the images: an evaluation is five passes."""

STUDENT = TARGET_STEPS * 2 * 0.1
"""With its control."""


def test_the_stages_are_forecast_from_the_trial_steps():
    assert stage_seconds(study(), FIGURES) == {
        "auditing the global model": pytest.approx(AUDIT),
        "distilling the student": pytest.approx(STUDENT),
    }
    robust = stage_seconds(study(distillation__method="rslad(steps=7)"), FIGURES)
    assert robust["distilling the student"] == pytest.approx(TARGET_STEPS * (7 + 2 + 1) * 0.1)
    few = stage_seconds(study(audit__images=32, distillation__enabled=False, export__enabled=False), FIGURES)
    assert few == {"auditing the global model": pytest.approx(581.5 * 0.1 / 3 / 2)}
    assert stage_seconds(study(audit__images=10**6), FIGURES) == stage_seconds(study(), FIGURES)


@pytest.mark.parametrize("images", [0, 32])
def test_the_clients_recipe_does_not_make_audit_and_student_dearer(images):
    """Its step takes six times as long, and an evaluation no longer."""
    plain = stage_seconds(study(audit__images=images, audit__student=True), FIGURES)
    longer = {**FIGURES, "step-seconds": 6 * FIGURES["step-seconds"], "training-seconds": 48.0}
    robust = study(audit__images=images, audit__student=True, training__recipe="pgd(steps=5)")
    assert stage_seconds(robust, longer) == pytest.approx(plain)
    assert len(plain) == 3


def test_before_the_first_round_all_is_as_forecast(run):
    _, left = run
    assert left.seconds == pytest.approx(100 + AUDIT + STUDENT)


def test_measured_rounds_scale_what_follows(run):
    now, left = run
    now[0] = 20.0
    left(finished(1, 20.0))
    assert left.seconds == pytest.approx(9 * 20 + 2 * (AUDIT + STUDENT))
    now[0] = 25.0
    assert left.seconds == pytest.approx(9 * 20 + 2 * (AUDIT + STUDENT) - 5)
    assert left.line().startswith("about ")


def test_stages_take_their_time_away(run):
    now, left = run
    left(finished(10, 10.0))
    left(StageStarted("measuring the global model"))
    assert left.seconds == pytest.approx(AUDIT + STUDENT)
    left(StageStarted("auditing the global model"))
    now[0] = 30.0
    assert left.seconds == pytest.approx(AUDIT + STUDENT - 30)
    left(StageStarted("distilling the student"))
    assert left.seconds == pytest.approx(STUDENT)
    now[0] = 30.0 + STUDENT + 1
    assert left.line() == "", "an estimate that has run out says nothing"
    left(StageStarted("measuring the student"))
    assert left.seconds == 0


def test_a_run_that_stops_early_has_no_rounds_left(run):
    _, left = run
    left(finished(3, 10.0))
    left(StageStarted("stopped after round 3 of 10: no progress"))
    left(StageStarted("measuring the global model"))
    assert left.seconds == pytest.approx(AUDIT + STUDENT)


def test_a_resumed_run_has_fewer_rounds_left(run, tmp_path):
    _, left = run
    left(StudyResumed(6))
    assert left.seconds == pytest.approx(40 + AUDIT + STUDENT)
