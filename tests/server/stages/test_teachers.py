"""Who teaches the student: with a grid that hands on what clients send, and in small studies."""

from types import SimpleNamespace

import numpy as np
import pytest

import fedrobust
from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.models.layout import Weights
from fedrobust.study import Study
from server.errors import RoundError
from server.stages import teachers
from server.stages.teachers import teachers_of

SMALL = {"data__samples": 200, "model__name": "edge-cnn", "model__image_size": 28}


def model(value):
    return Weights(np.full(2, value, np.float32), np.zeros(1, np.float32))


def parts_of(models=(), failed="", recalibrate=None, **settings):
    """Return parts of a server whose clients send `models`, and what its federation was asked."""
    asked = []
    experiment = Experiment.of(**{"federation__clients": 4, "federation__rounds": 3, **settings})
    federation = SimpleNamespace(
        sampling=SimpleNamespace(sample=lambda number: [0, 1, 2, 3]),
        messages=lambda *given: asked.append(given) or ["message"],
        models=lambda *given: asked.append(given) or (tuple(models), failed),
    )
    parts = SimpleNamespace(
        study=SimpleNamespace(experiment=experiment),
        federation=federation,
        grid="grid",
        recalibrate=recalibrate,
        local_baseline=lambda client: ("alone", client),
        recalibrated_locally=lambda client, weights: (*weights, client),
        behind=lambda classifier, weights: (classifier, weights),
    )
    return parts, asked


def test_the_global_model_teaches_alone_unless_the_study_says_otherwise():
    parts, asked = parts_of()
    assert teachers_of(parts, "defended", "selected", "trained", 3) == ("selected",)
    assert asked == []


def test_clients_of_the_selected_round_train_once_more_from_its_model(monkeypatch):
    monkeypatch.setattr(teachers, "exchange", lambda *given: given)
    sent = (model(1), model(2))
    parts, asked = parts_of(sent, distillation__teacher="clients")
    found = teachers_of(parts, "defended", "selected", "trained", 2)
    assert found == tuple(("defended", one) for one in sent), "their statistics are moved behind the defence"
    assert asked == [
        (2, "trained", [0, 1, 2, 3]),
        (2, "trained", [0, 1, 2, 3], ("grid", ["message"], 0.0)),
    ], "clients train without the defence"
    measured, _ = parts_of(sent, recalibrate=lambda one: one.trainable[0], distillation__teacher="clients")
    found = teachers_of(measured, "defended", "selected", "trained", 3)
    assert found == (("defended", 1), ("defended", 2))
    few, _ = parts_of(sent[:1], "first reason: client 2: late", distillation__teacher="clients")
    with pytest.raises(RoundError, match=r"1 of 4 clients sent a model.*client 2: late"):
        teachers_of(few, "defended", "selected", "trained", 3)


def test_local_models_are_trained_one_by_one():
    parts, _ = parts_of(distillation__teacher="local-models")
    found = teachers_of(parts, "defended", "selected", "trained", 3)
    assert next(iter(found)) == ("defended", ("alone", 0, 0))
    assert list(found)[-1] == ("defended", ("alone", 3, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "clients", "attack": "alie"}, "colluding clients are simulated in the aggregation"),
        ({"teacher": "local-models", "attack": "sign-flip"}, "are of honest clients|those of honest clients"),
        ({"teacher": "clients", "algorithm": "scaffold"}, "train with more than the global weights"),
        ({"teacher": "clients", "algorithm": "fedbn"}, "or do not send the model that they trained"),
    ],
)
def test_clients_that_teach_are_those_of_a_round(settings, message):
    attack = (
        {"poisoning__attack": settings["attack"], "poisoning__malicious": 2} if "attack" in settings else {}
    )
    given = {
        **SMALL,
        **attack,
        "training__algorithm": settings.get("algorithm", "fedavg"),
        "distillation__teacher": settings["teacher"],
    }
    with pytest.raises(ConfigError, match=message):
        check_data(Study(Experiment.of(**given)))
    check_data(Study(Experiment.of(**{**given, "distillation__teacher": "global-model"})))


@pytest.mark.slow
@pytest.mark.parametrize("teacher", ["clients", "local-models", "class-logits"])
def test_ensembles_teach_a_student_that_learns(teacher, tmp_path):
    """Phantoms are easy: a student that learnt nothing is right on half of the images."""
    run = fedrobust.run(
        None,
        out=tmp_path / "run",
        federation__clients=4,
        federation__rounds=3,
        poisoning__attack="sign-flip" if teacher == "clients" else "none",
        poisoning__malicious=1 if teacher == "clients" else 0.0,
        federation__aggregator="median",
        distillation__teacher=teacher,
        distillation__epochs=8,
        evaluation__attacks=[],
        audit__enabled=False,
        export__enabled=False,
        output__report=False,
    )
    student = run.record.student
    assert student.clean.balanced_accuracy > 0.75
    assert (student.distillation.teacher, student.distillation.models) == (teacher, 4)
    assert student.control is not None
