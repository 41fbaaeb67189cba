"""What the study's audits are handed: subject, control, teacher and plan, with stand-ins for the audit itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.audit.evidence import SAMPLE
from fedrobust.config import Experiment
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.models.told import Told
from fedrobust.runs.events import AttackProgressed, CheckFinished, listening
from fedrobust.runs.folder import RunFolder
from server.stages import audit as auditor
from server.stages.audit import (
    UNDEFENDED,
    audited,
    audited_student,
    card_of,
    check_control,
    control_of,
    described_split,
    subject_of,
    told_of_control,
    training_logits,
)

DATA = {"name": "made-up", "digest": "d" * 8, "labels": ["healthy", "ill"], "disease": [1], "licence": "none"}
SHAPE = (4, 4, 1)


class Split:
    images, labels = np.arange(40), np.arange(40) % 2

    def sample(self, count):
        return SimpleNamespace(images=self.images[:count], labels=self.labels[:count])


def weights(value=1.0) -> Weights:
    return Weights(np.full(2, value, np.float32), np.zeros(0, np.float32))


@pytest.fixture
def stub(monkeypatch):
    def put(**functions):
        for name, function in functions.items():
            monkeypatch.setattr(auditor, name, function)

    return put


@pytest.fixture
def evaluator(stub):
    """An evaluator whose targets are tuples that show what they are of."""
    stub(
        WhiteBox=SimpleNamespace(of=lambda victim, weights, size: ("target", victim.shape, weights, size)),
        official=lambda dataset: 99,
    )
    return SimpleNamespace(
        victim=SimpleNamespace(shape=SHAPE, images=lambda stored: ("seen", stored.tolist())),
        dataset=SimpleNamespace(test=Split()),
        classifier=SimpleNamespace(weights_of=lambda model: None),
        map="map",
    )


RESULT = {"dataset": DATA, "rounds": [{"pgd-probe": 0.5}, {"pgd-probe": None}, {}, {"pgd-probe": 0.0}]}


def test_the_subject_is_the_model_on_a_sample_of_the_test_split(stub, evaluator):
    asked = []
    stub(training_logits=lambda *given: asked.append(given) or "logits in training")
    experiment = Experiment.of(name="mine", audit__images=30, evaluation__batch_size=7)
    one = weights()
    subject = subject_of(experiment, "global model", evaluator, one, RESULT)
    assert subject.name == "mine, global model"
    assert subject.target == ("target", SHAPE, one, 7)
    assert subject.images == ("seen", list(range(30)))
    assert subject.labels.tolist() == [0, 1] * 15
    assert subject.digest == one.digest()
    assert subject.data == described_split(DATA, 99)
    assert subject.in_training_mode() == "logits in training"
    ((judge, given, images),) = asked
    assert (judge, given, images.tolist()) == (evaluator, one, list(range(min(30, SAMPLE))))


def test_a_card_describes_the_test_split():
    assert described_split(DATA, None) == {
        "name": "made-up",
        "digest": "d" * 8,
        "split": "test",
        "labels": ["healthy", "ill"],
        "disease": [1],
        "official": None,
    }


def card(stub, act):
    """Return what a card is made of when `act` asks for one."""
    given = []
    stub(card_of=lambda *each: given.append(each) or "card")
    assert act() == "card"
    return given[0]


def test_the_global_model_is_audited_against_its_control(stub, evaluator, tmp_path):
    controls = []
    control = ("before", SimpleNamespace(shape=SHAPE))
    stub(control_of=lambda *given: controls.append(given) or control)
    experiment, folder = Experiment.of(training__recipe="pgd"), RunFolder(tmp_path)
    made = card(stub, lambda: audited(experiment, evaluator, weights(), RESULT, folder))
    subject = made[1]
    assert made == (experiment, subject, evaluator, RESULT, tmp_path / "audit")
    assert subject.name == f"{experiment.name}, global model"
    assert (subject.control, subject.notes, subject.trained_on) == (control, (), ("pgd",))
    assert subject.history == (0.5, 0.0), "rounds that were watched, 0 included"
    (tmp_path / UNDEFENDED).touch()
    card(stub, lambda: audited(experiment, evaluator, weights(), RESULT, folder))
    given = experiment.model_copy(
        update={"audit": experiment.audit.model_copy(update={"control": "other.keras"})}
    )
    card(stub, lambda: audited(given, evaluator, weights(), RESULT, folder))
    assert [each[2] for each in controls] == [None, tmp_path / UNDEFENDED, None]
    assert controls[0][:2] == (experiment, evaluator)


def test_a_control_of_other_images_is_left_out_and_none_is_no_note(stub, evaluator, tmp_path):
    folder = RunFolder(tmp_path)
    stub(control_of=lambda *given: ("before", SimpleNamespace(shape=(8, 8, 1))))
    subject = card(stub, lambda: audited(Experiment.of(), evaluator, weights(), RESULT, folder))[1]
    assert (subject.control, subject.trained_on) == (None, ())
    assert subject.notes == ("the control sees images of another shape: it was left out",)
    stub(control_of=lambda *given: None)
    subject = card(stub, lambda: audited(Experiment.of(), evaluator, weights(), RESULT, folder))[1]
    assert (subject.control, subject.notes) == (None, ())


def test_a_student_has_its_twin_for_a_control_and_the_global_model_for_a_teacher(stub, evaluator, tmp_path):
    experiment, folder = Experiment.of(evaluation__batch_size=7), RunFolder(tmp_path)
    teacher, twin = SimpleNamespace(shape=SHAPE), weights(2.0)
    made = card(
        stub, lambda: audited_student(experiment, evaluator, weights(), twin, teacher, RESULT, folder)
    )
    subject = made[1]
    assert made == (experiment, subject, evaluator, RESULT, tmp_path / "audit-student")
    assert subject.name == f"{experiment.name}, student"
    assert subject.control == ("twin taught by labels", ("target", SHAPE, twin, 7))
    assert (subject.teacher, subject.notes) == (("global model", teacher), ())
    other = SimpleNamespace(shape=(8, 8, 1))
    subject = card(
        stub, lambda: audited_student(experiment, evaluator, weights(), None, other, RESULT, folder)
    )[1]
    assert (subject.control, subject.teacher) == (None, None)
    assert subject.notes == ("the global model sees images of another shape: none were transferred from it",)


TOLD = {"audit__control_input": "0..255", "audit__control_labels": "1,0", "audit__control": "c.keras"}


def test_what_is_told_of_the_control():
    assert told_of_control(Experiment.of(**TOLD)) == Told({"control": "0..255"}, {"control": "1,0"})
    assert told_of_control(Experiment.of()) == Told()


@pytest.mark.parametrize("enabled", [False, True])
def test_a_control_is_opened_before_anything_is_trained_where_there_is_an_audit(stub, enabled):
    asked = []
    stub(companion=lambda *given: asked.append(given), base_of=lambda experiment: ("base", experiment.name))
    experiment = Experiment.of(**TOLD, audit__enabled=enabled, name="made-up")
    check_control(experiment, "data")
    space = auditor.evasion_of(experiment).space
    given = ("c.keras", "data", space, ("base", "made-up"), told_of_control(experiment))
    assert asked == ([given] if enabled else [])


def test_the_control_is_the_studys_own_kind_or_a_file_as_it_is(stub, evaluator, tmp_path, monkeypatch):
    loaded, asked, own = [], [], weights(5.0)
    monkeypatch.setattr(
        auditor.keras.models, "load_model", lambda path, compile: loaded.append((path, compile)) or "model"
    )
    stub(
        companion=lambda *given: asked.append(given) or "as it is",
        base_of=lambda experiment: "base",
        model_path=lambda given, base: tmp_path / base / given,
        file_digest=lambda path: "0123456789",
    )
    experiment = Experiment.of(**TOLD, evaluation__batch_size=7)
    assert control_of(Experiment.of(), evaluator, None) is None
    assert control_of(experiment, evaluator, None) == "as it is"
    file, space = tmp_path / "base" / "c.keras", auditor.evasion_of(experiment).space
    assert asked == [(file, evaluator.dataset, space, "base", told_of_control(experiment))]
    evaluator.classifier.weights_of = lambda model: own if model == "model" else None
    before = tmp_path / UNDEFENDED
    for each in (Experiment.of(evaluation__batch_size=7), experiment):
        found = control_of(each, evaluator, before)
        assert found == (f"{UNDEFENDED} 01234567", ("target", SHAPE, own, 7))
    assert loaded == [(file, False), (before, False), (before, False)]


def test_an_audit_follows_the_study_and_tells_what_it_does(stub, tmp_path):
    given = {}

    def evidence(*each):
        given["evidence"] = each
        return "evidence"

    def audit(evidence, tell, environment):
        given["audit"] = (evidence, environment)
        tell(SimpleNamespace(to_json=lambda: {"check": "robust"}))
        given["evidence"][4]("pgd", SimpleNamespace(done=3, left=4))
        return "card"

    stub(Evidence=evidence, audit=audit)
    settings = {"audit__epsilon": 0.02, "audit__effort": "quick", "audit__epsilons": [0.01, 0.03], "seed": 5}
    experiment, told = Experiment.of(**settings), []
    with listening(told.append):
        judge = SimpleNamespace(map="map")
        assert card_of(experiment, "subject", judge, {"environment": "here"}, tmp_path) == "card"
    subject, plan, kept, map, _ = given["evidence"]
    assert (subject, kept, map, given["audit"]) == ("subject", tmp_path, "map", ("evidence", "here"))
    assert plan.epsilon == experiment.audit.epsilon
    assert (plan.effort, plan.seed) == ("quick", 5)
    assert plan.curve == (0.01, 0.02, 0.03)
    assert plan.threat == auditor.evasion_of(experiment)
    assert told == [CheckFinished({"check": "robust"}), AttackProgressed("pgd", 3, 4)]


def test_logits_in_training_mode_are_those_of_the_batchs_own_statistics(stub, draw, linear_classifier):
    classifier = build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0)
    one, images = classifier.initial_weights(), draw.integers(0, 256, (6, 16, 16, 1)).astype(np.uint8)
    judge = SimpleNamespace(classifier=classifier, victim="victim")
    native = tf.constant(images / np.float32(255))
    expected, _ = classifier.logits(*classifier.arrays(one), native, training=True)
    found = training_logits(judge, one, images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain, _ = classifier.logits(*classifier.arrays(one), native)
    assert np.abs(found - plain).max() > 1e-3
    stub(clean_logits=lambda *given: given)
    without = SimpleNamespace(classifier=linear_classifier, victim="victim")
    assert training_logits(without, one, images) == ("victim", one, images)
