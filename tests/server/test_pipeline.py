"""The stages of a study in their order, what each is handed, and what is written: with stand-ins, untrained."""

import json
import os
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from small_study import (
    LAYOUT,
    dataset,
    noting,
    saving,
    small_study,
    stages,
    weights,
    with_parts,
)

import server.beginning
import server.model_parts
import server.pipeline
import server.resumption
from fedrobust.audit.predictions import predictions_record
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.keys import SITES
from fedrobust.evaluation.metrics import NotFiniteError, measure
from fedrobust.evaluation.robustness import Robustness
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.events import ForecastMade, StageStarted, StudyFinished, StudyResumed, StudyStarted
from fedrobust.runs.folder import RunFolder, UnwritableRunError
from fedrobust.runs.privacy_page import privacy_page
from fedrobust.runs.promised import told as told_of
from fedrobust.runs.record import (
    AttackSuccessRecord,
    CardRecord,
    ClientsComparisonRecord,
    DefenceRecord,
    DistillationRecord,
    EvaluationRecord,
    ExportRecord,
    MetricsRecord,
    ModelEvaluationRecord,
    ModelRecord,
    PrivacyRecord,
    PromisedClientRecord,
    PromiseRecord,
    RoundRecord,
    SiteRecord,
    StudentRecord,
    ToleranceRecord,
)
from fedrobust.runs.record.card import ThreatRecord, VerdictRecord
from fedrobust.training.distillation_methods.rslad import RSLAD
from server.errors import UnmeasurableError
from server.parts import ServerParts
from server.pipeline import Pipeline
from server.stages.distillation import Student
from server.stages.examples import save_examples
from server.stages.predictions import predictions_of
from server.writing import writing

VERSIONS = {"tensorflow": "2.21", "keras": "3.11", "numpy": "2.3"}


@pytest.fixture
def stub(monkeypatch):
    """Put functions in place of the module's own, by name."""

    def put(**functions):
        for name, function in functions.items():
            monkeypatch.setattr(server.pipeline, name, function)

    return put


METRICS = measure([0, 1, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
MEASURED = Robustness(METRICS, {"fgsm": {"0.01": METRICS}})
CLEAN, ROBUST = MetricsRecord.of(METRICS), {"fgsm": {"0.01": MetricsRecord.of(METRICS)}}
FOUND = ModelEvaluationRecord(clean=MetricsRecord(accuracy=0.75))
TAUGHT = DistillationRecord(loss=1.0)
FILES = (ExportRecord(file="b.tflite"), ExportRecord(file="a.tflite", taken=True))


def card(word) -> SimpleNamespace:
    """Return an audit's card with that verdict."""
    record = CardRecord(verdict=VerdictRecord(word=word), threat=ThreatRecord(norm="linf"))
    return SimpleNamespace(record=record, content={"verdict": word})


CARD, STUDENTS_CARD = card("robust"), card("not robust")


def pipeline(images=None, ready=(), **settings) -> Pipeline:
    """Return a small study under way, whose server has the parts `ready`."""
    study = small_study(images, **settings)
    return Pipeline(with_parts(ServerParts(study, None, "pool"), **dict(ready)))


# -- Run folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begun", "then"), [(False, "start the study anew"), (True, "go on with: fedrobust run --resume ")]
)
@pytest.mark.parametrize(
    ("error", "why"), [(OSError(28, "disk full"), "disk full"), (OSError("gone"), "gone")]
)
def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path, begun, then, error, why):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ("round-000001.npz" if begun else "round-1.txt")).touch()
    with pytest.raises(UnwritableRunError) as refused, writing(RunFolder(tmp_path)):
        raise error
    assert str(refused.value) == (
        f"{tmp_path}: a file of the run cannot be written: {why}; what is in the folder is whole: make room, then "
        f"{then}{tmp_path if begun else ''}"
    )


def test_a_run_at_real_sites_goes_on_at_its_server(tmp_path, monkeypatch):
    monkeypatch.setenv(SITES, '{"0": "bern"}')
    folder = tmp_path / "a run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "round-000001.npz").touch()
    with pytest.raises(UnwritableRunError) as refused, writing(RunFolder(folder)):
        raise OSError("gone")
    command = f"fedrobust deploy run SERVER --set output.resume=true --set 'output.dir={folder}'"
    assert str(refused.value).endswith(f"then go on with: {command}")


@pytest.mark.parametrize("error", [ConnectionError, TimeoutError, ValueError, KeyboardInterrupt])
def test_other_failures_are_no_matter_of_the_folder(tmp_path, error):
    with pytest.raises(error), writing(RunFolder(tmp_path)):
        raise error


def test_examples_are_written_by_name(tmp_path):
    names = ("images", "probabilities", "labels", "epsilons", "epsilon_names")
    shown = SimpleNamespace(**{name: np.full(3, number) for number, name in enumerate(names)})
    save_examples(RunFolder(tmp_path), shown)
    with np.load(tmp_path / "examples.npz") as found:
        assert {name: found[name].tolist() for name in found} == {
            name: [number] * 3 for number, name in enumerate(names)
        }


# -- The whole study -----------------------------------------------------------------------------------------------


TEST = SimpleNamespace(
    multilabel=False, disease=(0,), test=SimpleNamespace(labels=np.array([0, 0, 1, 1], np.int32))
)
LOGITS = {
    who: np.array([[2.0, 0.0], [first, 1.0], [0.0, 3.0], [0.0, 2.0]])
    for who, first in (("weights", 0.0), ("taught", 4.0))
}
ANSWERED = {who: predictions_record(TEST.test.labels, logits, TEST.disease) for who, logits in LOGITS.items()}
STUDENTS = weights(4.0)
"""The student's weights."""
ASKED = {
    "dataset": TEST,
    "answers": lambda asked: SimpleNamespace(test=LOGITS["taught" if asked is STUDENTS else asked]),
}
"""What an evaluator tells of a model's answers."""

CLASSIFIER = SimpleNamespace(name="net", layout=LAYOUT, parameters=LAYOUT.parameters)


@pytest.fixture
def begun(stub, monkeypatch, tmp_path):
    """Return a function that makes a study whose parts are stand-ins, and the order in which they are called."""

    def make(**settings):
        calls, images = [], dataset()
        stub(
            start_tensorflow=noting(calls, "tensorflow"),
            evaluation_threads=lambda engine: 3,
            check=noting(calls, "check"),
        )
        monkeypatch.setattr(server.beginning, "environment", lambda workers: {**VERSIONS, "workers": workers})
        monkeypatch.setattr(server.model_parts, "plan_distillation", noting(calls, "plan", "plan"))
        monkeypatch.setattr(server.model_parts, "student_of", lambda study: "student")
        ready = {
            "initial": (CLASSIFIER, weights(1.0)),
            "auditor": SimpleNamespace(check_control=noting(calls, "control")),
            "check_memory": noting(calls, "memory"),
            "tolerance": ToleranceRecord(clients=1),
        }
        settings = {
            "name": "made-up",
            "distillation__enabled": False,
            "export__enabled": False,
            "output__dir": str(tmp_path / "run"),
            **settings,
        }
        done = pipeline(images, ready, **settings)
        done.run_in = noting(calls, "run_in")
        return done, calls

    return make


def test_everything_is_checked_before_a_folder_is_made_and_handed_over(begun, tmp_path, told):
    done, calls = begun()
    done.run()
    study = done.parts.study
    assert calls[:4] == [
        ("tensorflow", 3),
        ("check", study),
        ("control", study.dataset),
        ("memory",),
    ]
    assert stages(told) == ["loading the data", "building the model"]
    assert done.record.tolerance == ToleranceRecord(clients=1)
    date = done.record.environment["date"]
    assert done.record.environment == {**VERSIONS, "workers": 0, "date": date}
    assert datetime.strptime(date, "%Y-%m-%d %H:%M UTC")
    assert done.record.dataset.name == "made-up"
    assert done.record.model == ModelRecord(
        name="mobilenetv2",
        parameters=2,
        weights="random",
        image_size=done.experiment.model.image_size,
        batchnorm="moments",
    )
    ((name, folder, state),) = calls[4:]
    assert (name, folder.path) == ("run_in", tmp_path / "run")
    assert (state.round, state.score, state.base, state.result) == (
        0,
        -np.inf,
        done.experiment.base,
        done.record.to_json(),
    )
    assert state.weights.digest() == state.selected.digest() == weights(1.0).digest()
    assert (folder.path / "experiment.toml").read_text() == done.experiment.changed(output__dir="").to_toml()
    assert folder.read_json("base.json") == {"folder": os.getcwd()}
    assert folder.read_json("partition.json") == {"hash": "f" * 8}
    assert folder.read_json("environment.json") == done.record.environment


def test_a_student_is_planned_before_anything_is_trained(begun):
    done, calls = begun(distillation__enabled=True)
    done.run()
    assert [call[0] for call in calls] == ["tensorflow", "check", "control", "memory", "plan", "run_in"]
    assert done.parts.distillation == "plan"


def test_a_study_without_an_audit_has_no_control(begun):
    done, calls = begun()
    with_parts(done.parts, auditor=None)
    done.run()
    assert [call[0] for call in calls] == ["tensorflow", "check", "memory", "run_in"]


def test_the_server_of_a_deployment_refuses_what_only_a_simulation_can_run(begun, monkeypatch):
    monkeypatch.setenv(SITES, '{"0": "bern"}')
    done, calls = begun(training__algorithm="scaffold")
    with pytest.raises(DeploymentError, match=r'training.algorithm = "scaffold"'):
        done.run()
    assert [call[0] for call in calls] == ["tensorflow", "check"]


def test_a_folder_of_its_own_is_made_below_the_root(begun, tmp_path):
    done, calls = begun(output__dir="", output__root=str(tmp_path / "root"))
    done.run()
    assert calls[-1][1].path.parent == tmp_path / "root"
    assert calls[-1][1].path.name.startswith("made-up-")


def test_a_resumed_study_goes_on_from_its_checkpoint(begun, tmp_path, told):
    first, calls = begun()
    first.run()
    noted = {
        **first.record.to_json(),
        "status": "stopped",
        "error": "stopped after 2 of 9 rounds",
        "seconds": 5.0,
        "rounds": [{"round": 1}, {"round": 2}],
        "resumed-after": [1],
        "environment": {**VERSIONS, "keras": "3.9", "workers": 0},
    }
    kept = RunFolder(tmp_path / "run")
    Checkpoint(2, weights(4.0), weights(3.0), 0.75, "", noted).save(kept)
    kept.append_line("metrics.jsonl", {"round": 3})
    again, calls = begun(output__resume=True)
    again.recorder.started = 100.0
    told.clear()
    again.run()
    _, folder, state = calls[-1]
    assert folder.path == kept.path
    assert (state.round, state.score, state.weights.digest()) == (2, 0.75, weights(4.0).digest())
    assert again.record.rounds == (), "they are on disk"
    again.recorder.gather()
    record = again.record
    assert record.resumed_after == (1, 2)
    assert (record.status, record.error) == ("running", None)
    assert record.rounds == (RoundRecord(round=1), RoundRecord(round=2))
    assert record.environment.keys() == {*VERSIONS, "workers", "date"}
    assert again.recorder.started == 95.0, "the seconds of before count"
    lines = (kept.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [one.plain for one in record.rounds]
    assert stages(told) == [
        "loading the data",
        "building the model",
        "resuming with other packages, so the bits may differ: keras 3.9 -> 3.11",
    ]


def test_a_study_resumed_at_nodes_promises_to_the_images_of_all_that_took_part(begun, tmp_path, monkeypatch):
    def promised(client, epsilon):
        clients = (PromisedClientRecord(client=client, epsilon=epsilon),)
        promise = PromiseRecord(unit="image", mechanism="dp-sgd", epsilon=epsilon, clients=clients)
        for module in (server.beginning, server.resumption):
            monkeypatch.setattr(module, "privacy_record", lambda *_: PrivacyRecord(promises=(promise,)))

    promised(0, 2.0)
    first, _ = begun()
    first.run()
    Checkpoint(1, weights(4.0), weights(3.0), 0.75, "", first.record.to_json()).save(
        RunFolder(tmp_path / "run")
    )
    promised(1, 3.0)
    again, _ = begun(output__resume=True)
    again.run()
    (one,) = again.record.privacy.promises
    assert (one.epsilon, [client.client for client in one.clients]) == (3.0, [0, 1])
    said = [remark for remark in again.record.remarks if remark.startswith("epsilon")]
    assert said == [told_of(again.record.privacy)[0]]
    assert [remark for remark in again.record.remarks if "round 2 may have been trained" in remark]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("audit", "student", "exported", "after"),
    [
        (False, False, False, ()),
        (True, False, False, ("the audit",)),
        (False, True, False, ("the student",)),
        (True, True, True, ("the audit", "the student", "its export")),
        (False, False, True, ()),
    ],
)
def test_listeners_are_told_that_a_study_begins_or_goes_on(told, resume, audit, student, exported, after):
    done = pipeline(
        name="made-up",
        federation__rounds=9,
        audit__enabled=audit,
        distillation__enabled=student,
        export__enabled=False,
        output__dir="runs/made-up",
        output__resume=resume,
    )
    export = done.experiment.export.model_copy(update={"enabled": exported})
    done.experiment = done.experiment.model_copy(update={"export": export})
    with_parts(done.parts, summary=lambda: "a line")
    done.recorder.note(remarks=("mind this",))
    done.announce(SimpleNamespace(path="runs/made-up"), SimpleNamespace(round=4))
    began = StudyStarted("made-up", "runs/made-up", 9, "a line", ("mind this",), after)
    assert told == [began, *([StudyResumed(4)] if resume else [])]


# -- In the folder -------------------------------------------------------------------------------------------------


ENDED = SimpleNamespace(selected="selected")


def ran(stub, tmp_path, federate=lambda *given: ENDED, conclude=lambda *given: None):
    done = pipeline(federation__rounds=9, output__report=False)
    order = []
    done.federate = lambda *given: order.append(("federate", *given)) or federate(*given)
    done.conclude = lambda *given: order.append(("conclude", *given)) or conclude(*given)
    done.compare = lambda *given: order.append(("compare", *given))
    stub(discard_checkpoints=lambda folder: order.append(("discard", folder)))
    folder = RunFolder(tmp_path)
    state = Checkpoint(4, weights(1.0), weights(1.0), 0.5, "", {})
    return done, order, folder, state


def test_a_study_is_saved_federated_concluded_finished_and_tidied(stub, tmp_path):
    done, order, folder, state = ran(stub, tmp_path)
    done.run_in(folder, state)
    assert order == [
        ("federate", folder, state),
        ("conclude", folder, "selected"),
        ("compare", ENDED),
        ("discard", folder),
    ]
    assert done.recorder.saved == 4
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["round-000004.npz"]
    assert (done.record.status, done.record.error) == ("finished", None)


def test_a_study_that_is_stopped_keeps_the_rounds_that_are_saved(stub, tmp_path):
    def stop(*given):
        raise KeyboardInterrupt

    done, order, folder, state = ran(stub, tmp_path, conclude=stop)
    done.recorder.note(rounds=tuple(RoundRecord(round=number) for number in range(1, 7)))
    with pytest.raises(KeyboardInterrupt):
        done.run_in(folder, state)
    assert folder.result()["error"] == "stopped after 4 of 9 rounds"
    assert folder.result()["status"] == "stopped"
    assert len(done.record.rounds) == 4
    assert ("discard", folder) not in order


@pytest.mark.parametrize("error", [ValueError("no class 7"), SystemExit(3), MemoryError("2 GiB")])
def test_a_study_that_fails_says_so_and_keeps_its_checkpoints(stub, tmp_path, error):
    def fail(*given):
        raise error

    done, order, folder, state = ran(stub, tmp_path, federate=fail)
    with pytest.raises(type(error)):
        done.run_in(folder, state)
    assert folder.result()["status"] == "failed"
    assert folder.result()["error"] == f"{type(error).__name__}: {error}"
    assert [step[0] for step in order] == ["federate"]


def test_a_full_disk_is_the_reason_of_the_failure(stub, tmp_path):
    def full(*given):
        raise OSError(28, "disk full")

    done, _, folder, state = ran(stub, tmp_path, federate=full)
    with pytest.raises(UnwritableRunError, match="disk full"):
        done.run_in(folder, state)
    assert done.record.error.startswith(
        f"UnwritableRunError: {tmp_path}: a file of the run cannot be written"
    )


# -- Rounds --------------------------------------------------------------------------------------------------------


def state_after(number):
    return Checkpoint(number, weights(number), weights(100 + number), 0.5, "", {})


def test_the_rounds_that_are_left_are_run_and_their_end_returned():
    seen = []
    rounds = SimpleNamespace(run=noting(seen, "run", state_after(4)))
    done = pipeline(ready={"rounds": noting(seen, "rounds", rounds)}, federation__rounds=4)
    done.prepare = noting(seen, "prepare")
    state = state_after(2)
    found = done.federate("folder", state)
    assert seen == [("prepare",), ("rounds", "folder", 0, 0.0), ("run", state, done.recorder, "folder")]
    assert (found.round, done.record.model.digest) == (4, weights(104).digest())


def test_a_study_of_constant_classifiers_alone_says_so():
    chosen = SimpleNamespace(remark=lambda rounds: f"{len(rounds)} rounds, all constant")
    done = pipeline(ready={"rounds": None, "selection": chosen}, federation__rounds=4)
    before = done.record.remarks
    done.federate("folder", state_after(4))
    assert done.record.remarks == (*before, "0 rounds, all constant")


def test_a_study_whose_rounds_are_over_asks_no_client():
    done = pipeline(ready={"rounds": None}, federation__rounds=4)
    done.prepare = None
    state = state_after(4)
    assert done.federate("folder", state) is state
    assert done.record.model.digest == weights(104).digest()


def test_clients_are_compared_where_they_have_models_of_their_own(told):
    done = pipeline(federation__rounds=4)
    done.compare("state")
    assert (done.record.clients, done.record.central, told) == (None, None, [])

    class Comparison:
        clients = (0, 3)

        def __call__(self, state):
            return ClientsComparisonRecord(population=7) if state == "state" else None

    with_parts(
        done.parts, client_comparison=Comparison(), central_baseline=lambda: MetricsRecord(accuracy=0.5)
    )
    done.compare("state")
    assert (done.record.clients.population, done.record.central.accuracy) == (7, 0.5)
    assert stages(told) == ["training on all images in one place", "measuring the models of 2 clients"]


class Forecast:
    def __init__(self, error=None):
        self.error = error

    def to_json(self):
        return {"seconds": 3}

    def line(self):
        return "3 seconds"

    def rows(self):
        return [("a round", "1 s")]

    def check(self):
        if self.error:
            raise self.error


def test_clients_get_ready_and_the_costs_are_told_before_the_first_round(told):
    registry = SimpleNamespace(refused=("node 7 is late",), client_ids=np.arange(3))
    forecast, rehearsed = Forecast(), []
    ready = {"registry": registry, "forecast": forecast, "rehearse": lambda: rehearsed.append(list(told))}
    done = pipeline(ready=ready, federation__clients=4)
    done.prepare()
    assert rehearsed == [[StageStarted("preparing the clients")]]
    assert done.record.forecast is forecast
    assert told == [
        StageStarted("preparing the clients"),
        StageStarted("a node is left out: node 7 is late"),
        StageStarted("3 of 4 clients have a node: the others take no part"),
        ForecastMade("3 seconds", {"seconds": 3}, [("a round", "1 s")]),
    ]


def test_sites_that_trained_before_a_run_was_resumed_are_not_forgotten(monkeypatch):
    monkeypatch.setenv(SITES, '{"0": "bern", "1": "chur"}')
    registry = SimpleNamespace(refused=(), client_ids=np.array([1]), sizes=np.array([80]))
    done = pipeline(
        ready={"registry": registry, "forecast": Forecast(), "rehearse": lambda: None}, federation__clients=2
    )
    before = (SiteRecord(client=0, name="bern", images=70), SiteRecord(client=1, name="chur"))
    done.recorder.note(sites=before, resumed_after=(1, 3))
    done.prepare()
    assert [site.images for site in done.record.sites] == [70, 80]
    assert (
        done.record.remarks[-1]
        == "resumed after round 3 without bern, and with chur, which took no part before"
    )


def test_a_round_that_does_not_fit_is_told_and_refused(told):
    registry = SimpleNamespace(refused=(), client_ids=np.arange(4))
    forecast = Forecast(MemoryError("64 GiB"))
    ready = {"registry": registry, "forecast": forecast, "rehearse": lambda: None}
    done = pipeline(ready=ready, federation__clients=4)
    with pytest.raises(MemoryError):
        done.prepare()
    assert stages(told) == ["preparing the clients"]
    assert done.record.forecast is forecast, "what does not fit is told, too"


# -- After the rounds ----------------------------------------------------------------------------------------------


def concluded(stub, tmp_path, unseen=None, **settings):
    """Return the study, and everything that its last stages handed over and wrote, in order."""
    seen = []
    student = Student(
        classifier=SimpleNamespace(name="small", layout=LAYOUT),
        weights=STUDENTS,
        record=TAUGHT,
    )
    taught = SimpleNamespace(test=lambda given: MEASURED, classifier=student.classifier, **ASKED)
    evaluator = SimpleNamespace(
        classifier=SimpleNamespace(save=lambda given, path: saving(f"model of {given}").save(path)),
        examples=noting(seen, "examples", "shown"),
        of_model=noting(seen, "evaluator", taught),
        target=noting(seen, "teacher", "teacher"),
        unseen=lambda given: dict(unseen or {}),
    )
    auditor = SimpleNamespace(
        audited=noting(seen, "audited", CARD),
        audited_student=noting(seen, "audited student", STUDENTS_CARD),
    )
    plan = SimpleNamespace(
        distilled=noting(seen, "distilled", student),
        label_trained_control=noting(seen, "label-trained", "control"),
        method=RSLAD(),
    )
    done = pipeline(ready={"evaluator": evaluator}, **settings)
    plan.settings = done.experiment.distillation
    with_parts(
        done.parts,
        auditor=auditor if done.experiment.audit.enabled else None,
        distillation=plan if done.experiment.distillation.enabled else None,
    )
    done.selected_evaluation = noting(seen, "measured", FOUND)
    stub(save_examples=noting(seen, "saved"), export_student=noting(seen, "export", FILES))
    folder = RunFolder(tmp_path)
    done.conclude(folder, "selected")
    return SimpleNamespace(
        record=done.record,
        experiment=done.experiment,
        seen=seen,
        folder=folder,
        evaluator=evaluator,
        student=student,
        taught=taught,
    )


NONE = {
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


def test_without_more_the_model_is_measured_and_written(stub, tmp_path, told):
    done = concluded(stub, tmp_path, **NONE)
    assert done.seen == [("measured", done.evaluator, "selected")]
    assert done.record.model_evaluation == FOUND
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert done.folder.file("model.keras").read_text() == "model of selected"
    assert stages(told) == ["measuring the global model"]
    assert (done.record.audit, done.record.student) == (None, None)


def test_sites_that_were_held_out_are_recorded_where_there_are_any(stub, tmp_path):
    assert concluded(stub, tmp_path, **NONE).record.unseen is None
    assert concluded(stub, tmp_path, {"Genf": FOUND.clean}, **NONE).record.unseen == {"Genf": FOUND.clean}


def test_examples_and_the_card_are_written(stub, tmp_path, told):
    done = concluded(stub, tmp_path, **{**NONE, "evaluation__examples": 2, "audit__enabled": True})
    assert done.seen[1:] == [
        ("examples", "selected"),
        ("saved", done.folder, "shown"),
        ("audited", done.evaluator, "selected", replace(done.record, audit=None), done.folder),
    ]
    assert done.record.audit == replace(CARD.record, privacy=privacy_page(None, None))
    assert done.folder.read_json("card.json") == done.record.audit.to_json()
    assert stages(told) == ["measuring the global model", "auditing the global model"]


@pytest.mark.parametrize("exported", [False, True])
def test_a_student_is_taught_measured_audited_and_exported(stub, tmp_path, told, exported):
    settings = {
        **NONE,
        "audit__enabled": True,
        "audit__student": True,
        "distillation__enabled": True,
        "export__enabled": exported,
        "seed": 5,
    }
    done = concluded(stub, tmp_path, **settings)
    formats = done.experiment.export.formats if exported else ()
    unaudited = replace(done.record.student, audit=None)
    before = replace(done.record, student=unaudited)
    file, control = done.folder.file("a.tflite"), (done.taught, "control")
    assert done.seen[2:] == [
        ("distilled", done.evaluator, ("selected",)),
        ("evaluator", done.student.classifier),
        ("label-trained",),
        ("export", done.folder, done.taught, STUDENTS, formats, 5, ""),
        ("teacher", "selected"),
        ("audited student", done.taught, STUDENTS, control, "teacher", ("pgd",), before, done.folder, file),
    ]
    assert done.record.student == StudentRecord(
        name="edge-cnn",
        parameters=LAYOUT.parameters,
        clean=CLEAN,
        robust=ROBUST,
        distillation=TAUGHT,
        control=EvaluationRecord(clean=CLEAN, robust=ROBUST),
        audit=STUDENTS_CARD.record,
        predictions=ANSWERED["taught"],
    )
    assert done.record.export == (FILES if exported else ())
    assert done.folder.read_json("card-student.json") == STUDENTS_CARD.content
    assert stages(told)[2:] == [
        "distilling the student",
        "training the control of the student",
        "measuring the student",
        *(["exporting the student"] if exported else []),
        "auditing the student",
    ]


class Fitted:
    """A learned defence that notes the models that it is fitted to, by their answers to the first image."""

    def __init__(self):
        self.models = []

    def fitted(self, to):
        self.models.append(np.asarray(to.answers(to.images[:1])))
        number = len(self.models)
        return lambda images: images * (1.0 / number)


def test_a_learned_defence_is_fitted_to_the_student_and_to_its_control(stub, tmp_path):
    """Each is measured and audited behind its own defence: fitted to the student, it is none of the control's."""
    seen, defence = [], Fitted()
    audited = {"audit__enabled": True, "audit__student": True, "distillation__enabled": True}
    done = pipeline(**{**NONE, **audited, "model__defence": "ape-gan"})
    shape = done.parts.study.dataset.image_shape
    classifier = build_classifier("edge-cnn(width=4)", shape, 3, image_size=16)
    one = classifier.initial_weights()
    other = Weights(one.trainable[::-1].copy(), one.statistics)
    plan = SimpleNamespace(label_trained_control=lambda: other, method=RSLAD())
    auditor = SimpleNamespace(audited_student=noting(seen, "audited", STUDENTS_CARD))
    with_parts(done.parts.study, prediction_defence=defence)
    with_parts(done.parts, auditor=auditor, distillation=plan, initial=(classifier, one))
    stub(
        taught=lambda *given: Student(classifier, one, TAUGHT),
        student_record=noting(seen, "record", StudentRecord()),
        export_student=lambda *given: (),
    )
    done.teach(RunFolder(tmp_path), done.parts.evaluator, one, one)
    shown = done.parts.study.dataset.validation.images[:1] / np.float32(255)
    models = [np.asarray(classifier.answers(*classifier.arrays(each), shown)) for each in (one, other)]
    np.testing.assert_allclose(defence.models, models, atol=1e-6)
    (_, _, _, (control, weights_of_control), student), (_, audited, _, beside, *_) = seen
    assert audited is student
    assert beside == (control, weights_of_control)
    assert weights_of_control.trainable is other.trainable
    assert [each.classifier.defence(1.0) for each in (student, control)] == [1.0, 0.5]


def test_a_student_is_audited_only_where_the_study_says_so(stub, tmp_path, told):
    settings = {**NONE, "audit__enabled": True, "distillation__enabled": True}
    done = concluded(stub, tmp_path, **settings)
    assert [step[0] for step in done.seen[2:]] == ["distilled", "evaluator", "label-trained", "export"]
    assert done.record.student.audit is None
    assert not done.folder.file("card-student.json").exists()


# -- The selected round --------------------------------------------------------------------------------------------


FIRST, SECOND = MetricsRecord(accuracy=0.25), MetricsRecord(accuracy=0.5)
CURVE = {"fgsm": {"0.01": MetricsRecord(accuracy=0.125)}}
SUCCESS, ANOTHER = AttackSuccessRecord(rate=0.5), AttackSuccessRecord(rate=0.25)


def entry(clean=FIRST, robust=CURVE, defence=None, success=None) -> RoundRecord:
    return RoundRecord(round=1, clean=clean, robust=robust, defence=defence, attack_success=success)


def selected(number, rounds, aim="aim", error=None, **settings):
    """Return the evaluation of the selected round, and whether it was measured anew."""
    asked = []

    def test(weights):
        asked.append(weights)
        if error:
            raise error
        return MEASURED

    judge = SimpleNamespace(
        test=test, success=lambda *given: ANOTHER if given == ("weights", "aim") else None, **ASKED
    )
    done = pipeline(ready={"evaluator": judge, "criterion": aim}, **settings)
    done.recorder.note(rounds=tuple(rounds))
    done.recorder.note_model(selected_round=number)
    return done.selected_evaluation(judge, "weights"), asked == ["weights"]


def evaluation(clean=FIRST, robust=CURVE, success=None) -> ModelEvaluationRecord:
    return ModelEvaluationRecord(
        clean=clean, robust=robust, attack_success=success, predictions=ANSWERED["weights"]
    )


def test_the_selected_rounds_own_figures_are_taken():
    rounds = [entry(), entry(SECOND, success=SUCCESS), entry()]
    assert selected(2, rounds) == (evaluation(SECOND, success=SUCCESS), False)
    assert selected(1, rounds) == (evaluation(), False)


def test_where_it_was_not_measured_or_not_attacked_it_is_measured():
    for rounds in ([entry(None)], [entry(robust={})]):
        assert selected(1, rounds) == (evaluation(CLEAN, ROBUST, ANOTHER), True)
        assert selected(1, rounds, aim=None) == (evaluation(CLEAN, ROBUST), True)
    assert selected(1, [entry(robust={})], evaluation__attacks=[]) == (evaluation(robust={}), False)


def test_without_a_selected_round_the_weights_are_measured():
    assert selected(None, [entry()])[1]


def test_an_attack_that_did_not_run_in_some_round_has_no_success():
    good, bad = DefenceRecord(), DefenceRecord(valid=False)
    for defences, ran in (((None, good), True), ((good, bad), False), ((bad, good), False)):
        rounds = [entry(defence=defence, success=SUCCESS) for defence in defences]
        assert selected(1, rounds)[0] == evaluation(success=SUCCESS if ran else None)
        rounds[0] = replace(rounds[0], clean=None)
        assert selected(1, rounds)[0].attack_success == (ANOTHER if ran else None)


def test_where_an_image_may_have_several_findings_there_is_no_confusion_matrix():
    several = SimpleNamespace(**{**ASKED, "dataset": SimpleNamespace(multilabel=True)})
    assert predictions_of(several, "weights") is None


def test_a_selected_model_without_numbers_ends_the_study():
    with pytest.raises(UnmeasurableError, match=r"^the selected model cannot be measured: 3 of 4 rows$"):
        selected(None, [], error=NotFiniteError("3 of 4 rows"))


# -- The end -------------------------------------------------------------------------------------------------------


class Folder:
    """A run folder that notes what is written; `broken` lists what cannot be."""

    path = "runs/made-up"

    def __init__(self, *broken):
        self.broken, self.written = broken, []

    def _write(self, how, name, content):
        if how in self.broken:
            raise OSError("disk full")
        self.written.append((how, name, content))

    def write_json(self, name, content):
        self._write("json", name, dict(content))

    def write_whatever(self, name, content):
        self._write("whatever", name, dict(content))


@pytest.fixture
def ended(stub, monkeypatch, told):
    """Return a function that does `act` to a study begun 2 seconds ago, and returns its result and its reports."""

    def end(act, **settings):
        reports, done = [], pipeline(**settings)
        done.recorder.started = 10.0
        monkeypatch.setattr("server.recorder.time", SimpleNamespace(perf_counter=lambda: 12.0))
        stub(write_report=reports.append)
        act(done)
        assert done.record.seconds == 2.0
        return done.record, reports

    return end


def test_a_finished_study_is_written_reported_and_told(ended, told):
    folder = Folder()
    record, reports = ended(lambda done: done.finish(folder, "finished"))
    assert (record.status, record.error) == ("finished", None)
    assert folder.written == [("json", "result.json", record.to_json())]
    assert told == [StudyFinished(record)]
    assert reports == ["runs/made-up"]


def test_without_a_report_none_is_written(ended):
    assert ended(lambda done: done.finish(Folder(), "finished"), output__report=False)[1] == []


def test_a_failed_study_says_why(ended, told):
    folder, error = Folder(), ValueError("no\n class 7")
    record, _ = ended(lambda done: done.give_up(folder, error))
    assert (record.status, record.error) == ("failed", "ValueError: no class 7")
    assert folder.written == [("whatever", "result.json", record.to_json())]
    assert told == [StudyFinished(record)]
    assert not hasattr(error, "__notes__")


def test_a_failed_study_whose_record_cannot_be_written_is_told_all_the_same(ended, told):
    error = ValueError("no class 7")
    record, _ = ended(lambda done: done.give_up(Folder("whatever"), error))
    assert error.__notes__ == ["its record cannot be written: OSError: disk full"]
    assert told == [StudyFinished(record)]
