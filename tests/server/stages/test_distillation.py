"""What a study's settings make of distillation, with lessons that note what they are asked for."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Split
from fedrobust.edge.export import ExportError
from fedrobust.models.layout import Weights
from fedrobust.study import weights_seed
from fedrobust.training.distillation import Distilled
from server.stages import distillation as distiller
from server.stages.distillation import (
    DistillationPlan,
    distil_student,
    plan_distillation,
    transfer_images,
    twin_of,
)

TAUGHT = Weights(np.ones(2, np.float32), np.zeros(1, np.float32))
SETTINGS = {
    "seed": 5,
    "distillation__temperature": 3.0,
    "distillation__epochs": 7,
    "distillation__batch_size": 16,
    "distillation__learning_rate": 0.25,
    "evaluation__batch_size": 9,
    "model__batchnorm_momentum": 0.75,
}


@pytest.fixture
def lesson():
    return DistillationPlan(
        "student", np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 0, 1], np.int32), "somewhere"
    )


def dataset(shape=(8, 8, 1), names=("benign", "malignant"), images=3):
    split = Split(np.full((images, *shape), images, np.uint8), np.arange(images, dtype=np.int32) % 2)
    return SimpleNamespace(
        image_shape=shape, classes=2, validation=split, train=split, label_names=names, name="own"
    )


def test_a_student_learns_what_the_global_model_answers(monkeypatch, lesson):
    asked, clock = [], iter([10.0, 12.5])

    def clean_logits(*arguments):
        asked.append(arguments)
        return "logits"

    def distil(*arguments):
        asked.append(arguments)
        return Distilled(TAUGHT, epochs=7, metrics={"steps": 14, "loss": 0.5, "accuracy": 1.0})

    monkeypatch.setattr(distiller, "clean_logits", clean_logits)
    monkeypatch.setattr(distiller, "distil", distil)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    teacher = SimpleNamespace(victim="victim", map="map")
    found = distil_student(Experiment.of(**SETTINGS), lesson, teacher, "weights")
    assert asked == [
        ("victim", "weights", lesson.images, 9, "map"),
        ("student", lesson.images, "logits", 3.0, 7, 16, 0.25, 5),
    ]
    assert (found.classifier, found.weights) == ("student", TAUGHT)
    assert found.record == {
        "images": 4,
        "source": "somewhere",
        "epochs": 7,
        "steps": 14,
        "temperature": 3.0,
        "loss": 0.5,
        "seconds": 2.5,
    }


def test_its_twin_learns_the_labels_of_the_same_images_in_the_same_way(monkeypatch, lesson):
    asked = []

    def teach_labels(*arguments):
        asked.append(arguments)
        return Distilled(TAUGHT, epochs=7, metrics={})

    monkeypatch.setattr(distiller, "teach_labels", teach_labels)
    assert twin_of(Experiment.of(**SETTINGS), lesson) is TAUGHT
    assert asked == [("student", lesson.images, lesson.labels, 7, 16, 0.25, 5)]
    unlabelled = DistillationPlan("student", lesson.images, None, "somewhere")
    assert twin_of(Experiment.of(**SETTINGS), unlabelled) is None
    assert len(asked) == 1


@pytest.fixture
def built(monkeypatch):
    """Return what a student was built as, and refuse to export it where a test says so."""
    found = SimpleNamespace(asked=[], exported=[], refusal=None)
    student = SimpleNamespace(
        initial_weights=lambda: "random", deployable=lambda weights: f"model with {weights}"
    )

    def build_classifier(*arguments, **settings):
        found.asked.append((arguments, settings))
        return student

    def check_exportable(model, formats):
        found.exported.append((model, formats))
        if found.refusal:
            raise ExportError(found.refusal)

    monkeypatch.setattr(distiller, "build_classifier", build_classifier)
    monkeypatch.setattr(distiller, "check_exportable", check_exportable)
    found.student = student
    return found


def test_a_student_is_built_for_the_studys_images_with_random_weights_of_its_own(built):
    experiment = Experiment.of(**SETTINGS, distillation__image_size=24)
    own = dataset()
    lesson = plan_distillation(experiment, own)
    settings = {"image_size": 24, "momentum": 0.75, "seed": weights_seed(experiment, model=1)}
    assert built.asked == [(("edge-cnn", (8, 8, 1), 2), settings)]
    assert settings["seed"] != weights_seed(experiment)
    assert lesson.student is built.student
    assert (lesson.images is own.validation.images, lesson.labels is own.validation.labels) == (True, True)
    assert lesson.source == "validation split"
    assert built.exported == [], "a registered network has been exported before"


def test_a_student_of_ones_own_is_tried_before_anything_is_trained(built):
    settings = {**SETTINGS, "distillation__student": "my.models:build"}
    plan_distillation(Experiment.of(**settings, export__formats=["int8"]), dataset())
    assert built.exported == [("model with random", ("int8",))]
    built.refusal = "LiteRT has no built-in operation for: Erfinv"
    plan_distillation(Experiment.of(**settings, export__enabled=False), dataset())
    assert len(built.exported) == 1
    with pytest.raises(ConfigError) as refusal:
        plan_distillation(Experiment.of(**settings), dataset())
    assert str(refusal.value) == (
        'distillation.student = "my.models:build": LiteRT has no built-in operation for: Erfinv; choose another '
        "network, or set export.enabled = false"
    )


@pytest.mark.parametrize(("names", "labelled"), [(("benign", "malignant"), True), (("a", "b"), False)])
def test_a_public_sets_labels_count_where_they_answer_the_same_question(monkeypatch, names, labelled):
    asked, public = [], dataset(names=names, images=5)

    def load(*arguments, **settings):
        asked.append((arguments, settings))
        return public

    monkeypatch.setattr(distiller, "load", load)
    experiment = Experiment.of(seed=5, distillation__public="own", data__size=28, data__samples=60)
    images, labels, source = transfer_images(experiment, dataset())
    assert images is public.train.images
    assert (labels is public.train.labels) if labelled else labels is None
    assert source == "own, training split"
    assert asked == [
        (
            ("own", 28, experiment.data.root),
            {"seed": 5, "base": None, "classes": 2, "channels": 1, "samples": 60},
        )
    ]


def test_public_images_of_another_shape_are_refused(monkeypatch):
    monkeypatch.setattr(distiller, "load", lambda *arguments, **settings: dataset((9, 8, 1)))
    with pytest.raises(ConfigError) as refusal:
        transfer_images(Experiment.of(distillation__public="own"), dataset())
    assert str(refusal.value) == (
        'distillation.public = "own": images of (9, 8, 1), the study\'s are (8, 8, 1)'
    )
