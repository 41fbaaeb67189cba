"""What the study's audits are handed: model, control, teacher and plan, with stand-ins for the audit itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from small_study import with_parts

from fedrobust.audit.attack_cache import SAMPLE
from fedrobust.config import Experiment
from fedrobust.evasion import Threat
from fedrobust.models.classifier import build_classifier
from fedrobust.models.interfaces import Interfaces
from fedrobust.models.layout import Weights
from fedrobust.runs.events import AttackProgressed, CheckFinished, listening
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import DatasetRecord, ModelRecord, RoundRecord, RunRecord
from server.callbacks import UNDEFENDED
from server.stages import audit as auditing
from server.stages.audit import Auditor, described_split, training_logits

DATA = DatasetRecord(name="made-up", digest="d" * 8, labels=("healthy", "ill"), disease=(1,), licence="none")
SHAPE = (4, 4, 1)


class Split:
    images, labels = np.arange(40), np.arange(40) % 2

    def __len__(self):
        return 40

    def sample(self, count):
        return SimpleNamespace(images=self.images[:count], labels=self.labels[:count])


def weights(value=1.0) -> Weights:
    return Weights(np.full(2, value, np.float32), np.zeros(0, np.float32))


THREAT = Threat(norm="l2", bits=8)


def auditor(recipe="plain", **settings) -> Auditor:
    """Return the auditor of the study "mine"."""
    return Auditor(Experiment.of(**settings).audit, "mine", recipe, THREAT, 5, "base")


@pytest.fixture
def stub(monkeypatch):
    def put(**functions):
        for name, function in functions.items():
            monkeypatch.setattr(auditing, name, function)

    return put


@pytest.fixture
def evaluator(stub):
    """An evaluator whose targets are tuples that show what they are of."""
    stub(official=lambda dataset: 99)
    return SimpleNamespace(
        compiled=SimpleNamespace(shape=SHAPE, images=lambda stored: ("seen", stored.tolist())),
        dataset=SimpleNamespace(test=Split()),
        classifier=SimpleNamespace(weights_of=lambda model: None, defence=None),
        target=lambda weights: ("target", SHAPE, weights),
        map="map",
    )


PROBES = (
    RoundRecord(round=number, pgd_probe=probe) for number, probe in enumerate((0.5, None, 0.0), start=1)
)
RUN = RunRecord(dataset=DATA, rounds=tuple(PROBES))


def test_the_subject_is_the_model_on_a_sample_of_the_test_split(stub, evaluator):
    asked = []
    stub(training_logits=lambda *given: asked.append(given) or "logits in training")
    one = weights()
    model = auditor(audit__images=30).model_under_audit("global model", evaluator, one, RUN)
    assert model.name == "mine, global model"
    assert model.target == ("target", SHAPE, one)
    assert model.images == ("seen", list(range(30)))
    assert model.labels.tolist() == [0, 1] * 15
    assert model.digest == one.digest()
    assert model.data == described_split(DATA, 99, 40)
    assert model.in_training_mode() == "logits in training"
    ((judge, given, images),) = asked
    assert (judge, given, images.tolist()) == (evaluator, one, list(range(min(30, SAMPLE))))


def test_a_card_describes_the_test_split():
    assert described_split(DATA, None, 40) == {
        "name": "made-up",
        "digest": "d" * 8,
        "split": "test",
        "labels": ["healthy", "ill"],
        "disease": [1],
        "official": None,
        "of": 40,
    }


def asked_for(auditor, act):
    """Return what a card is made of when `act` asks `auditor` for one."""
    given = []
    with_parts(auditor, card=lambda *each: given.append(each) or "card")
    assert act(auditor) == "card"
    return given[0]


def test_the_global_model_is_audited_against_its_control(evaluator, tmp_path):
    controls, folder = [], RunFolder(tmp_path)
    control = ("before", SimpleNamespace(shape=SHAPE))

    def audited(**settings):
        whose = with_parts(
            auditor("pgd", **settings), control=lambda *given: controls.append(given) or control
        )
        return asked_for(whose, lambda whose: whose.audited(evaluator, weights(), RUN, folder))

    made = audited()
    model = made[0]
    assert made == (model, evaluator, RUN, tmp_path / "audit")
    assert model.name == "mine, global model"
    assert (model.control, model.notes, model.trained_on) == (control, (), ("pgd",))
    assert model.history == (0.5, 0.0), "rounds that were watched, 0 included"
    kept = replace(RUN, model=ModelRecord(name="edge-cnn", parameters=1, selected_round=2))
    whose = with_parts(auditor("pgd"), control=lambda *given: None)
    assert asked_for(whose, lambda whose: whose.audited(evaluator, weights(), kept, folder))[0].history == (
        0.5,
    )
    later = with_parts(replace(auditor("pgd"), first=2), control=lambda *given: None)
    assert asked_for(later, lambda whose: whose.audited(evaluator, weights(), RUN, folder))[0].history == (
        0.0,
    )
    (tmp_path / UNDEFENDED).touch()
    audited()
    audited(audit__control="other.keras")
    assert controls == [(evaluator, None), (evaluator, tmp_path / UNDEFENDED), (evaluator, None)]


def test_a_control_of_other_images_is_left_out_and_none_is_no_note(evaluator, tmp_path):
    def audited(control):
        whose = with_parts(auditor(), control=lambda *given: control)
        return asked_for(whose, lambda whose: whose.audited(evaluator, weights(), RUN, RunFolder(tmp_path)))[
            0
        ]

    model = audited(("before", SimpleNamespace(shape=(8, 8, 1))))
    assert (model.control, model.trained_on) == (None, ())
    assert model.notes == ("the control sees images of another shape: it was left out",)
    model = audited(None)
    assert (model.control, model.notes) == (None, ())


def test_a_student_has_its_twin_for_a_control_and_the_global_model_for_a_teacher(evaluator, tmp_path):
    def audited(twin, teacher):
        return asked_for(
            auditor(),
            lambda whose: whose.audited_student(
                evaluator, weights(), twin and (beside, twin), teacher, ("pgd",), RUN, RunFolder(tmp_path)
            ),
        )

    teacher, twin = SimpleNamespace(shape=SHAPE), weights(2.0)
    beside = SimpleNamespace(target=lambda weights: ("target behind its own defence", SHAPE, weights))
    made = audited(twin, teacher)
    model = made[0]
    assert made == (model, evaluator, RUN, tmp_path / "audit-student")
    assert model.name == "mine, student"
    assert model.control == ("label-trained control", ("target behind its own defence", SHAPE, twin))
    assert (model.teacher, model.notes) == (("global model", teacher), ())
    assert model.trained_on == ("pgd",)
    model = audited(None, SimpleNamespace(shape=(8, 8, 1)))[0]
    assert (model.control, model.teacher) == (None, None)
    assert model.notes == ("the global model sees images of another shape: none were transferred from it",)


def test_a_students_file_is_audited_with_it_where_both_see_native_images(stub, evaluator, tmp_path):
    stub(ExportedTarget=lambda path: ("target", path.name), file_digest=lambda path: "0123456789")
    file, teacher = tmp_path / "student.int8.tflite", SimpleNamespace(shape=SHAPE)

    def edge(whose):
        ask = lambda one: one.audited_student(  # noqa: E731
            evaluator, weights(), None, teacher, (), RUN, RunFolder(tmp_path), file
        )
        return asked_for(whose, ask)[0].edge

    assert edge(auditor()) == ("student.int8.tflite 01234567", ("target", "student.int8.tflite"))
    assert edge(replace(auditor(), threat=Threat(space="prepared"))) is None


TOLD = {"audit__control_input": "0..255", "audit__control_labels": "1,0", "audit__control": "c.keras"}


@pytest.mark.parametrize(
    ("settings", "file", "told"),
    [(TOLD, "c.keras", Interfaces({"control": "0..255"}, {"control": "1,0"})), ({}, "", Interfaces())],
)
def test_a_control_is_opened_before_anything_is_trained(stub, settings, file, told):
    asked = []
    stub(companion=lambda *given: asked.append(given))
    auditor(**settings).check_control("data")
    assert asked == [(file, "data", THREAT.space, "base", told)]


def test_the_control_is_the_studys_own_kind_or_a_file_as_it_is(stub, evaluator, tmp_path, monkeypatch):
    loaded, asked, own = [], [], weights(5.0)
    monkeypatch.setattr(
        auditing.keras.models, "load_model", lambda path, compile: loaded.append((path, compile)) or "model"
    )
    stub(
        companion=lambda *given: asked.append(given) or "as it is",
        model_path=lambda given, base: tmp_path / base / given,
        file_digest=lambda path: "0123456789",
    )
    assert auditor().control(evaluator, None) is None
    assert auditor(**TOLD).control(evaluator, None) == "as it is"
    file, told = tmp_path / "base" / "c.keras", Interfaces({"control": "0..255"}, {"control": "1,0"})
    assert asked == [(file, evaluator.dataset, THREAT.space, "base", told)]
    evaluator.classifier.weights_of = lambda model: own if model == "model" else None
    before = tmp_path / UNDEFENDED
    for each in (auditor(), auditor(**TOLD)):
        assert each.control(evaluator, before) == (f"{UNDEFENDED} 01234567", ("target", SHAPE, own))
    assert loaded == [(file, False), (before, False), (before, False)]


def test_an_audit_follows_the_study_and_tells_what_it_does(stub, tmp_path):
    given = {}

    def evidence(*each):
        given["evidence"] = each
        return "evidence"

    def audit(evidence, tell, environment):
        given["audit"] = (evidence, environment)
        tell(SimpleNamespace(record=lambda: "robust"))
        given["evidence"][4]("pgd", SimpleNamespace(done=3, left=4))
        return "card"

    stub(AttackCache=evidence, audit=audit)
    settings = {"audit__epsilon": 0.02, "audit__effort": "quick", "audit__epsilons": [0.01, 0.03]}
    whose, told = auditor(**settings), []
    with listening(told.append):
        judge = SimpleNamespace(map="map")
        assert whose.card("model", judge, RunRecord(environment="here"), tmp_path) == "card"
    model, plan, kept, map, _ = given["evidence"]
    assert (model, kept, map, given["audit"]) == ("model", tmp_path, "map", ("evidence", "here"))
    assert plan.epsilon == whose.settings.epsilon
    assert (plan.effort, plan.seed) == ("quick", 5)
    assert plan.curve == (0.01, 0.02, 0.03)
    assert plan.threat == THREAT
    assert told == [CheckFinished("robust"), AttackProgressed("pgd", 3, 4)]


def test_logits_in_training_mode_are_those_of_the_batchs_own_statistics(stub, draw, linear_classifier):
    classifier = build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0)
    one, images = classifier.initial_weights(), draw.integers(0, 256, (6, 16, 16, 1)).astype(np.uint8)
    judge = SimpleNamespace(classifier=classifier, compiled="compiled")
    native = tf.constant(images / np.float32(255))
    expected, _ = classifier.logits(*classifier.arrays(one), native, training=True)
    found = training_logits(judge, one, images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain, _ = classifier.logits(*classifier.arrays(one), native)
    assert np.abs(found - plain).max() > 1e-3
    stub(clean_logits=lambda *given: given)
    without = SimpleNamespace(classifier=linear_classifier, compiled="compiled")
    assert training_logits(without, one, images) == ("compiled", one, images)
