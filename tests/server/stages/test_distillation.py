"""What a study's settings make of distillation, with lessons that note what they are asked for."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.transfer_set import TransferSet
from fedrobust.edge.errors import ExportError
from fedrobust.models.layout import Weights
from fedrobust.runs.record import to_json
from fedrobust.training.distillation import Distilled
from fedrobust.training.distillation_methods import SoftLabels
from fedrobust.training.distillation_methods.defensive import Defensive
from fedrobust.training.distillation_methods.iad import IAD
from fedrobust.training.distillation_methods.rslad import RSLAD
from server.errors import UnmeasurableError
from server.stages import distillation as distiller
from server.stages.distillation import DistillationPlan, plan_distillation
from server.stages.transfer_images import transfer_images

TAUGHT = Weights(np.ones(2, np.float32), np.zeros(1, np.float32))
NETWORK = SimpleNamespace(layout=SimpleNamespace(parameters=90, statistics=10), classes=2)
TAUGHT_WELL = Distilled(TAUGHT, 7, {"steps": 14, "loss": 0.5})
SETTINGS = {
    "distillation__temperature": 3.0,
    "distillation__epochs": 7,
    "distillation__batch_size": 16,
    "distillation__learning_rate": 0.25,
    "distillation__copies": 0,
}


def settings(**more):
    """Return the settings of ``[distillation]``."""
    return Experiment.of(**{**SETTINGS, **more}).distillation


IMAGES = np.zeros((4, 8, 8, 1), np.uint8)
LABELS = np.array([0, 1, 0, 1], np.int32)
LOGITS = np.zeros((4, 2), np.float32)


def plan(labels=LABELS, method=SoftLabels(), **more) -> DistillationPlan:  # noqa: B008 - frozen
    return DistillationPlan(settings(**more), "student", IMAGES, labels, "somewhere", seed=5, method=method)


def dataset(shape=(8, 8, 1), names=("benign", "malignant"), images=3):
    split = Split(np.full((images, *shape), images, np.uint8), np.arange(images, dtype=np.int32) % 2)
    return SimpleNamespace(
        image_shape=shape,
        classes=2,
        validation=split,
        train=split,
        label_names=names,
        name="own",
        multilabel=False,
    )


def test_a_student_learns_what_the_global_model_answers(monkeypatch):
    asked, clock = [], iter([10.0, 12.5])

    def clean_logits(*arguments):
        asked.append(arguments)
        return LOGITS

    def distil(*arguments):
        asked.append(arguments)
        return Distilled(TAUGHT, epochs=7, metrics={"steps": 14, "loss": 0.5, "accuracy": 1.0})

    monkeypatch.setattr(distiller, "distil", distil)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    teacher = SimpleNamespace(clean_logits=clean_logits, dataset=dataset(), classifier=NETWORK)
    found = plan().distilled(teacher, ("weights",))
    assert asked == [
        ("weights", IMAGES),
        ("student", IMAGES, LOGITS, 3.0, 7, 16, 0.25, 5, SoftLabels(), None, None),
    ]
    assert (found.classifier, found.weights) == ("student", TAUGHT)
    assert to_json(found.record) == {
        "images": 4,
        "copies": 0,
        "source": "somewhere",
        "method": "soft-labels",
        "teacher": "global-model",
        "models": 1,
        "epochs": 7,
        "steps": 14,
        "temperature": 3.0,
        "loss": 0.5,
        "seconds": 2.5,
    }


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_teacher_that_answers_with_numbers_that_are_not_finite_is_named(monkeypatch, broken):
    monkeypatch.setattr(distiller, "distil", lambda *given: pytest.fail("the student would learn them"))
    answers = {"sound": LOGITS, "broken": np.where(np.arange(4)[:, None] == 2, broken, LOGITS)}
    teacher = SimpleNamespace(
        clean_logits=lambda weights, images: answers[weights], dataset=dataset(), classifier=NETWORK
    )
    with pytest.raises(
        UnmeasurableError, match=r"^teacher 2 of the student \(distillation\.teacher = \"clients"
    ) as found:
        plan(distillation__teacher="clients").distilled(teacher, ("sound", "broken"))
    assert "1 of 4 rows of logits hold NaN or infinity" in str(found.value)


def test_a_teacher_is_asked_on_moved_copies_too(monkeypatch):
    asked = []
    monkeypatch.setattr(
        distiller,
        "distil",
        lambda *given: asked.append(given) or TAUGHT_WELL,
    )
    monkeypatch.setattr(
        distiller,
        "teach_labels",
        lambda *given, balanced, loss: asked.append(given) or TAUGHT_WELL,
    )
    teacher = SimpleNamespace(
        clean_logits=lambda weights, images: np.repeat(images.reshape(len(images), -1)[:, :1], 2, 1),
        dataset=dataset(),
        classifier=NETWORK,
    )
    images = np.tile(np.arange(1, 5, dtype=np.uint8)[:, None, None, None] * 50, (1, 8, 8, 1))
    own = DistillationPlan(
        settings(distillation__copies=2), "student", images, LABELS, "somewhere", seed=5, method=SoftLabels()
    )
    monkeypatch.setattr(distiller, "DistillationRecord", lambda **facts: facts)
    found = own.distilled(teacher, ("weights",))
    own.label_trained_control()
    (_, shown, logits, *_), (_, same, labels, *_) = asked
    assert shown.shape == (12, 8, 8, 1)
    assert same is not shown
    np.testing.assert_array_equal(same, shown)
    np.testing.assert_array_equal(shown[:4], images)
    (
        np.testing.assert_array_equal(logits[:, 0], np.tile([50, 100, 150, 200], 3)),
        "a flat image stays as it is",
    )
    np.testing.assert_array_equal(labels, np.tile(LABELS, 3))
    assert (found.record["images"], found.record["copies"]) == (4, 2)


def test_methods_are_given_labels_and_the_teacher_where_they_need_them(monkeypatch):
    asked = []
    monkeypatch.setattr(distiller, "distil", lambda *given: asked.append(given) or TAUGHT_WELL)
    monkeypatch.setattr(distiller, "answers_of", lambda *given: given)
    teacher = SimpleNamespace(
        clean_logits=lambda weights, images: np.zeros((len(images), 2)),
        dataset=dataset(),
        classifier=NETWORK,
    )
    introspective = plan(method=IAD(), distillation__copies=1, distillation__method="iad")
    found = introspective.distilled(teacher, ("weights",))
    method, labels, answers = asked[0][-3:]
    assert (method, answers) == (IAD(), (NETWORK, ("weights",)))
    np.testing.assert_array_equal(labels, np.tile(LABELS, 2))
    assert (found.record.method, found.record.temperature) == ("iad", 3.0)
    without = plan(method=RSLAD(), distillation__method="rslad").distilled(teacher, ("weights",))
    assert asked[1][-3:] == (RSLAD(), None, None)
    assert (without.record.method, without.record.temperature) == ("rslad", None)


@pytest.mark.parametrize(("teacher", "sent"), [("clients", 4 * 100), ("local-models", 4 * 8 * 2)])
def test_several_teachers_say_the_mean_of_their_logits(monkeypatch, teacher, sent):
    """Two models on four images and a copy of each: a client sends its model, or two logits of eight images."""
    asked = []
    monkeypatch.setattr(distiller, "distil", lambda *given: asked.append(given) or TAUGHT_WELL)
    evaluator = SimpleNamespace(
        clean_logits=lambda weights, images: np.full((len(images), 2), weights, np.float32),
        dataset=dataset(),
        classifier=NETWORK,
    )
    taught = plan(distillation__copies=1, distillation__teacher=teacher)
    found = taught.distilled(evaluator, iter([1.0, 4.0]))
    np.testing.assert_array_equal(asked[0][2], np.full((8, 2), 2.5))
    assert (found.record.teacher, found.record.models, found.record.sent_bytes) == (teacher, 2, sent)


def test_the_teachers_in_the_graph_say_the_mean_of_their_logits(linear_classifier, draw):
    models = [Weights(draw.normal(size=34).astype(np.float32), np.zeros(0, np.float32)) for _ in range(2)]
    images = draw.random((3, 4, 4, 1)).astype(np.float32)
    each = [images.reshape(3, 16) @ one.trainable[:32].reshape(16, 2) + one.trainable[32:] for one in models]
    found = distiller.answers_of(linear_classifier, models)(images)
    np.testing.assert_allclose(found, np.mean(each, 0), rtol=1e-5)


@pytest.mark.parametrize(
    ("images", "epochs", "copies"), [(4, 0, 9), (4000, 0, 7), (40000, 0, 0), (40000, 1, 9)]
)
def test_there_are_no_more_copies_than_the_steps_can_show(images, epochs, copies):
    asked = settings(distillation__copies=9, distillation__epochs=epochs, distillation__batch_size=32)
    many = np.zeros((images, 1, 1, 1), np.uint8)
    assert (
        DistillationPlan(asked, "student", many, None, "somewhere", seed=5, method=SoftLabels()).copies
        == copies
    )


def test_its_twin_learns_the_labels_of_the_same_images_in_the_same_way(monkeypatch):
    asked = []

    def teach_labels(*arguments, balanced, loss):
        asked.append((*arguments, balanced, loss))
        return Distilled(TAUGHT, epochs=7, metrics={})

    monkeypatch.setattr(distiller, "teach_labels", teach_labels)
    assert plan().label_trained_control() is TAUGHT
    ((student, images, labels, *rest),) = asked
    assert (student, images is IMAGES, labels.tolist(), rest) == (
        "student",
        True,
        [0, 1, 0, 1],
        [7, 16, 0.25, 5, False, None],
    )
    replace(plan(), balanced=True, loss="loss").label_trained_control()
    assert asked.pop()[-2:] == (True, "loss")
    assert plan(labels=None).label_trained_control() is None
    assert len(asked) == 1


@pytest.fixture
def built(monkeypatch):
    """Return a student, and refuse to export it where a test says so."""
    found = SimpleNamespace(exported=[], refusal=None)
    found.student = SimpleNamespace(
        defence=None, initial_weights=lambda: "random", deployable=lambda weights: f"model with {weights}"
    )

    def check_exportable(model, formats):
        found.exported.append((model, formats))
        if found.refusal:
            raise ExportError(found.refusal)

    monkeypatch.setattr(distiller, "check_exportable", check_exportable)
    return found


def planned(built, own=None, formats=("float32", "int8"), method=SoftLabels(), **more) -> DistillationPlan:  # noqa: B008 - frozen
    return plan_distillation(settings(**more), own or dataset(), None, formats, built.student, 5, method)


def test_a_plan_is_of_the_validation_split_unless_images_are_public(built):
    own = dataset()
    found = planned(built, own, distillation__image_size=24)
    assert found.student is built.student
    assert (found.images is own.validation.images, found.labels is own.validation.labels) == (True, True)
    assert (found.source, found.seed) == ("validation split", 5)
    assert found.settings == settings(distillation__image_size=24)
    assert built.exported == [], "a registered network has been exported before"


def test_a_student_of_ones_own_is_tried_before_anything_is_trained(built):
    own = {"distillation__student": "my.models:build"}
    planned(built, formats=("int8",), **own)
    assert built.exported == [("model with random", ("int8",))]
    built.refusal = "LiteRT has no built-in operation for: Erfinv"
    planned(built, formats=(), **own)
    assert len(built.exported) == 1
    with pytest.raises(ConfigError) as refusal:
        planned(built, **own)
    assert str(refusal.value) == (
        'distillation.student = "my.models:build": LiteRT has no built-in operation for: Erfinv; choose another '
        "network, other export.formats, or set export.enabled = false"
    )


def test_a_student_of_the_teachers_network_is_tried_before_anything_is_trained(built):
    """GroupNorm has no int8 form."""
    planned(built, method=Defensive(), distillation__method="defensive")
    assert built.exported == [("model with random", ("float32", "int8"))]
    built.refusal = "int8 cannot be written: an operation has no int8 form"
    with pytest.raises(
        ConfigError,
        match=r'^distillation\.student = "edge-cnn" with distillation\.method = "defensive" \(the teacher\'s network\)'
        r": int8 cannot be written.*other export\.formats",
    ):
        planned(built, method=Defensive(), distillation__method="defensive")


@pytest.mark.parametrize(("names", "labelled"), [(("benign", "malignant"), True), (("a", "b"), False)])
def test_a_public_sets_labels_count_where_they_answer_the_same_question(names, labelled):
    public = TransferSet.of(dataset(names=names, images=5))
    images, labels, source = transfer_images(dataset(), public, "own")
    assert images is public.images
    assert (labels is public.labels) if labelled else labels is None
    assert source == "own, training split"
    unlabelled = replace(public, labels=None)
    assert transfer_images(dataset(), unlabelled, "own") == (public.images, None, "own, without labels")


def test_public_images_of_another_shape_are_refused():
    with pytest.raises(ConfigError) as refusal:
        transfer_images(dataset(), TransferSet.of(dataset((9, 8, 1))), "own")
    assert str(refusal.value) == (
        'distillation.public = "own": images of (9, 8, 1), the study\'s are (8, 8, 1)'
    )
