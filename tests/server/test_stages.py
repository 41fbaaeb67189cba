"""The stages of a study in their order, what each is handed, and what is written: with stand-ins, untrained."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import server.app
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset, Split
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.events import ForecastMade, RoundFinished, RoundStarted, StageStarted, listening
from fedrobust.runs.folder import RunFolder, UnwritableRunError
from server.app import UNDEFENDED, Made, Study, save_examples, writing
from server.errors import AttackFailedError

LAYOUT = Layout((Entry("kernel", (2,), "trainable"), Entry("norm/moving_variance", (1,), "statistic")))
VERSIONS = {"tensorflow": "2.20", "keras": "3.11", "numpy": "2.3"}


def weights(value) -> Weights:
    return Weights(np.full(2, value, np.float32), np.ones(1, np.float32))


def split(count) -> Split:
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    return Split(images, np.arange(count, dtype=np.int32) % 2)


def dataset() -> Dataset:
    return Dataset(
        name="made-up",
        train=split(6),
        validation=split(4),
        test=split(5),
        label_names=("healthy", "ill"),
        task="binary-class",
        disease=(1,),
        source="this file",
        licence="none",
        digest="0123456789abcdef",
    )


def study(grid=None, **settings) -> Study:
    return Study(Experiment.of(**settings), grid, "pool")


@pytest.fixture
def told():
    """The events of a test."""
    events = []
    with listening(events.append):
        yield events


@pytest.fixture
def stub(monkeypatch):
    """Put functions in place of the module's own, by name."""

    def put(**functions):
        for name, function in functions.items():
            monkeypatch.setattr(server.app, name, function)

    return put


def stages(told):
    return [event.stage for event in told if isinstance(event, StageStarted)]


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


class Partition:
    hash, unevenness, shards = "f" * 8, "2 each", ()

    def write(self, path):
        path.write_text(json.dumps({"hash": self.hash}))


def begun(stub, tmp_path, lesson="lesson", **settings):
    """Return a study whose parts are stand-ins, and the order in which they were called."""
    calls = []

    def called(name, answer=None):
        return lambda *given: calls.append((name, *given)) or answer

    classifier = SimpleNamespace(name="net", layout=LAYOUT)
    data = dataset()
    stub(
        start_tensorflow=called("tensorflow"),
        evaluation_threads=lambda experiment: 3,
        check=called("check"),
        dataset_of=lambda experiment: data,
        partition_of=lambda experiment: Partition(),
        check_control=called("control"),
        initial_model=lambda experiment: (classifier, weights(1.0)),
        check_aggregation=called("aggregation"),
        plan_distillation=called("lesson", lesson),
        tolerance_of=lambda experiment: {"clients": 1},
        environment=lambda workers: {**VERSIONS, "workers": workers},
        Evaluator=SimpleNamespace(of=lambda *given: ("evaluator", *given)),
    )
    settings = {"distillation__enabled": False, "export__enabled": False, **settings}
    done = study(name="made-up", output__dir=str(tmp_path / "run"), **settings)
    done.run_in = called("run_in")
    return done, calls, data, classifier


def test_everything_is_checked_before_a_folder_is_made_and_handed_over(stub, tmp_path, told):
    done, calls, data, classifier = begun(stub, tmp_path)
    done.run()
    assert [call[0] for call in calls] == ["tensorflow", "check", "control", "aggregation", "run_in"]
    assert calls[0] == ("tensorflow", 3)
    assert calls[1:4] == [
        ("check", done.experiment),
        ("control", done.experiment, data),
        ("aggregation", done.experiment, LAYOUT),
    ]
    assert stages(told) == ["loading the data", "building the model"]
    assert done.result["tolerance"] == {"clients": 1}
    assert done.result["environment"] == {**VERSIONS, "workers": 0}
    assert done.result["dataset"]["name"] == "made-up"
    assert done.result["model"] == {
        "name": "net",
        "parameters": 2,
        "weights": "random",
        "image-size": done.experiment.model.image_size,
        "selected-round": None,
    }
    _, folder, evaluator, state, lesson = calls[-1]
    assert (folder.path, lesson) == (tmp_path / "run", None)
    assert evaluator == ("evaluator", done.experiment, data, classifier, "pool")
    assert (state.round, state.score, state.base, state.result) == (
        0,
        -np.inf,
        done.experiment.base,
        done.result,
    )
    assert state.weights.digest() == state.selected.digest() == weights(1.0).digest()
    assert (folder.path / "experiment.toml").read_text() == done.experiment.to_toml()
    assert folder.read_json("partition.json") == {"hash": "f" * 8}
    assert folder.read_json("environment.json") == done.result["environment"]


def test_a_student_is_planned_before_anything_is_trained(stub, tmp_path):
    done, calls, data, _ = begun(stub, tmp_path, distillation__enabled=True)
    done.run()
    assert ("lesson", done.experiment, data) in calls
    assert calls[-1][-1] == "lesson"


def test_a_folder_of_its_own_is_made_below_the_root(stub, tmp_path):
    done, calls, *_ = begun(stub, tmp_path)
    output = done.experiment.output.model_copy(update={"dir": "", "root": str(tmp_path / "root")})
    done.experiment = done.experiment.model_copy(update={"output": output})
    done.run()
    assert calls[-1][1].path.parent == tmp_path / "root"
    assert calls[-1][1].path.name.startswith("made-up-")


def resumed(stub, tmp_path, told, changed=(), **before):
    """Return a study that goes on in a folder whose run stopped after round 2, and what is handed over."""
    first, calls, *_ = begun(stub, tmp_path)
    first.run()
    state = calls[-1][3]
    noted = {
        **first.result,
        "status": "stopped",
        "error": "stopped after 2 of 9 rounds",
        "seconds": 5.0,
        "rounds": [{"round": 1}, {"round": 2}],
        "resumed-after": [1],
        **before,
    }
    folder = RunFolder(tmp_path / "run")
    Checkpoint(2, weights(4.0), weights(3.0), 0.75, "", noted).save(folder)
    again, calls, *_ = begun(stub, tmp_path, **dict(changed))
    output = again.experiment.output.model_copy(update={"resume": True})
    again.experiment = again.experiment.model_copy(update={"output": output})
    again.started = 100.0
    told.clear()
    again.run()
    assert state.round == 0
    return again, calls[-1], folder


def test_a_resumed_study_goes_on_from_its_checkpoint(stub, tmp_path, told):
    again, (_, folder, _, state, _), kept = resumed(stub, tmp_path, told)
    assert folder.path == kept.path
    assert (state.round, state.score, state.weights.digest()) == (2, 0.75, weights(4.0).digest())
    assert again.result["resumed-after"] == [1, 2]
    assert (again.result["status"], again.result["error"]) == ("running", None)
    assert again.result["rounds"] == [{"round": 1}, {"round": 2}]
    assert again.started == 95.0, "the seconds of before count"
    assert (kept.path / "metrics.jsonl").read_text() == '{"round": 1}\n{"round": 2}\n'
    assert stages(told) == ["loading the data", "building the model"]


def test_other_packages_are_told_and_noted(stub, tmp_path, told):
    older = {**VERSIONS, "keras": "3.9", "numpy": "2.2", "workers": 0}
    again, *_ = resumed(stub, tmp_path, told, environment=older)
    assert stages(told)[-1] == (
        "resuming with other packages, so the bits may differ: keras 3.9 -> 3.11, numpy 2.2 -> 2.3"
    )
    assert again.result["environment"] == {**VERSIONS, "workers": 0}


def test_another_study_or_other_data_are_not_gone_on_with(stub, tmp_path, told):
    path = tmp_path / "run"
    with pytest.raises(ConfigError) as refused:
        resumed(stub, tmp_path, told, changed={"seed": 7, "federation__rounds": 3})
    assert str(refused.value) == (
        f"{path}: the run was started with other values of federation.rounds, seed: a resumed run may change [engine] "
        "and [output] only"
    )


def test_data_of_another_digest_are_told(stub, tmp_path, told):
    with pytest.raises(ConfigError) as refused:
        resumed(stub, tmp_path, told, dataset={"digest": "fedcba9876543210"})
    assert str(refused.value) == (
        f"{tmp_path / 'run'}: made-up has digest 0123456789ab, the run was started on fedcba987654: the data changed"
    )


def test_another_partition_is_told(stub, tmp_path, told, monkeypatch):
    monkeypatch.setattr(Partition, "write", lambda self, path: path.write_text('{"hash": "other"}'))
    with pytest.raises(ConfigError, match=r"run: partition\.json is not the partition of this study$"):
        resumed(stub, tmp_path, told)


# -- In the folder -------------------------------------------------------------------------------------------------


def ran(stub, tmp_path, federate=lambda *given: "selected", conclude=lambda *given: None):
    done = study(federation__rounds=9, output__report=False)
    order = []
    done.federate = lambda *given: order.append(("federate", *given)) or federate(*given)
    done.conclude = lambda *given: order.append(("conclude", *given)) or conclude(*given)
    stub(discard_checkpoints=lambda folder: order.append(("discard", folder)))
    folder = RunFolder(tmp_path)
    state = Checkpoint(4, weights(1.0), weights(1.0), 0.5, "", {})
    return done, order, folder, state


def test_a_study_is_saved_federated_concluded_finished_and_tidied(stub, tmp_path):
    done, order, folder, state = ran(stub, tmp_path)
    done.run_in(folder, "evaluator", state, "lesson")
    assert order == [
        ("federate", folder, "evaluator", state),
        ("conclude", folder, "evaluator", "selected", "lesson"),
        ("discard", folder),
    ]
    assert done.saved == 4
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["round-000004.npz"]
    assert (done.result["status"], done.result["error"]) == ("finished", None)


def test_a_study_that_is_stopped_keeps_the_rounds_that_are_saved(stub, tmp_path):
    def stop(*given):
        raise KeyboardInterrupt

    done, order, folder, state = ran(stub, tmp_path, conclude=stop)
    done.result["rounds"] = [{"round": number} for number in range(1, 7)]
    with pytest.raises(KeyboardInterrupt):
        done.run_in(folder, "evaluator", state, None)
    assert folder.result()["error"] == "stopped after 4 of 9 rounds"
    assert folder.result()["status"] == "stopped"
    assert len(done.result["rounds"]) == 4
    assert ("discard", folder) not in order


@pytest.mark.parametrize("error", [ValueError("no class 7"), SystemExit(3), MemoryError("2 GiB")])
def test_a_study_that_fails_says_so_and_keeps_its_checkpoints(stub, tmp_path, error):
    def fail(*given):
        raise error

    done, order, folder, state = ran(stub, tmp_path, federate=fail)
    with pytest.raises(type(error)):
        done.run_in(folder, "evaluator", state, None)
    assert folder.result()["status"] == "failed"
    assert folder.result()["error"] == f"{type(error).__name__}: {error}"
    assert [step[0] for step in order] == ["federate"]


def test_a_full_disk_is_the_reason_of_the_failure(stub, tmp_path):
    def full(*given):
        raise OSError(28, "disk full")

    done, _, folder, state = ran(stub, tmp_path, federate=full)
    with pytest.raises(UnwritableRunError, match="disk full"):
        done.run_in(folder, "evaluator", state, None)
    assert done.result["error"].startswith(
        f"UnwritableRunError: {tmp_path}: a file of the run cannot be written"
    )


# -- Rounds --------------------------------------------------------------------------------------------------------


def state_after(number, score=0.5):
    return Checkpoint(number, weights(number), weights(100 + number), score, "", {})


def test_the_rounds_that_are_left_are_run_and_the_selected_weights_returned(stub):
    done, seen = study(federation__rounds=4, model__batchnorm_policy="average"), []
    done.result["model"] = {}
    done.prepared = lambda evaluator: ("strategy", evaluator)
    done.round = lambda number, *given: seen.append((number, *given)) or state_after(number)
    found = done.federate("folder", "evaluator", state_after(2))
    assert [given[0] for given in seen] == [3, 4]
    assert [given[1].round for given in seen] == [2, 3], "each goes on from the one before"
    assert seen[0][2:] == (("strategy", "evaluator"), "evaluator", None, "folder")
    assert found.digest() == weights(104).digest() == done.result["model"]["digest"]


def test_a_study_whose_rounds_are_over_asks_no_client(stub):
    done = study(federation__rounds=4)
    done.result["model"] = {}
    done.prepared = done.round = None
    assert done.federate("folder", "evaluator", state_after(4)).digest() == weights(104).digest()


def test_statistics_are_measured_on_a_sample_of_the_validation_split(stub):
    done, seen, asked = study(federation__rounds=1, model__batchnorm_policy="recalibrate", seed=5), [], []
    done.result["model"] = {}
    done.prepared = lambda evaluator: "strategy"
    done.round = lambda number, *given: seen.append(given[3](weights(2.0))) or state_after(number)
    data = dataset()
    sample = lambda split, seed: asked.append((split, seed)) or split  # noqa: E731
    stub(
        calibration_sample=sample,
        recalibration_of=lambda classifier: lambda given, images: (classifier, given, images),
    )
    done.federate("folder", SimpleNamespace(dataset=data, classifier="classifier"), state_after(0))
    assert asked == [(data.validation, 5)]
    ((classifier, given, images),) = seen
    assert (classifier, given.digest()) == ("classifier", weights(2.0).digest())
    assert images is data.validation.images


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


@pytest.mark.parametrize("malicious", [False, True])
def test_clients_get_ready_and_the_costs_are_told_before_the_first_round(stub, told, malicious):
    attack = {"poisoning__attack": "sign-flip", "poisoning__malicious": [1]} if malicious else {}
    done, seen, data = study(federation__clients=4, **attack), {}, dataset()
    population = SimpleNamespace(refused=("node 7 is late",), partitions=np.arange(3))

    def noted(name, answer):
        return lambda *given: seen.update({name: given}) or answer

    stub(
        registry_of=noted("population", population),
        rare_hospitals=noted("rare", [2]),
        root_update_of=noted("root", "root"),
        AggregationStep=noted("defender", "defender"),
        FederatedStrategy=noted("strategy", "strategy"),
        forecast_of=noted("forecast", Forecast()),
    )
    evaluator = SimpleNamespace(dataset=data, classifier=SimpleNamespace(layout=LAYOUT))
    assert done.prepared(evaluator) == "strategy"
    problem = seen["population"][2]
    assert seen["population"] == (None, done.experiment, problem, LAYOUT)
    assert problem.classes == 2
    assert seen["root"] == (done.experiment, data)
    assert seen["defender"] == (done.experiment, "root", [2] if malicious else ())
    assert seen["strategy"] == (done.experiment, LAYOUT, problem, population, "defender")
    assert seen["forecast"] == (done.experiment, data, LAYOUT, "strategy", 0, evaluator.classifier)
    assert done.result["forecast"] == {"seconds": 3}
    assert told == [
        StageStarted("preparing the clients"),
        StageStarted("a node is left out: node 7 is late"),
        StageStarted("3 of 4 clients have a node: the others take no part"),
        ForecastMade("3 seconds", {"seconds": 3}, [("a round", "1 s")]),
    ]
    told.clear()
    population.refused, population.partitions = (), np.arange(4)
    stub(forecast_of=noted("forecast", Forecast(MemoryError("64 GiB"))))
    with pytest.raises(MemoryError):
        done.prepared(evaluator)
    assert stages(told) == ["preparing the clients"]
    assert done.result["forecast"] == {"seconds": 3}, "what does not fit is told, too"


def a_round(stub, tmp_path, made, number=3, state=None, entry=None, error=None, **settings):
    """Run one round whose model is `made`; return the study, where it ends and what the parts were handed."""
    done, seen = study(federation__rounds=9, **settings), SimpleNamespace()
    done.result["model"], done.started = {"selected-round": 1}, 10.0
    messages = ["message"] * 4
    strategy = SimpleNamespace(
        configure_train=lambda *given: setattr(seen, "asked", given) or messages, outcome=None, memory=None
    )

    def making(*given):
        seen.made = given
        if error:
            raise error
        return made

    done.made, done.evaluated = (
        making,
        lambda *given: setattr(seen, "evaluated", given) or {"validation": None},
    )
    done.round_record = lambda number, strategy, began, made, *more: dict(
        entry or {"round": number, "defence": None}, noted=[number, began, made.kept, *more]
    )
    done.grid = "grid"
    deployed = SimpleNamespace(save=lambda path: path.write_text("deployed"))
    classifier = SimpleNamespace(deployable=lambda given: setattr(seen, "deployed", given) or deployed)
    seen.strategy, seen.evaluator = strategy, SimpleNamespace(classifier=classifier)
    stub(
        exchange=lambda *given: setattr(seen, "exchanged", given) or "replies",
        time=SimpleNamespace(perf_counter=lambda: 12.0),
        weights_record=lambda given: ("record", given),
    )
    folder = seen.folder = RunFolder(tmp_path)
    state = state or Checkpoint(2, weights(2.0), weights(1.0), 0.5, "base", {}, {"m": np.ones(1)})
    seen.state = state
    seen.end = lambda: done.round(number, state, strategy, seen.evaluator, "recalibrate", folder)
    return done, seen


MEMORY = {"m": np.full(1, 9.0)}


def test_a_round_asks_trains_measures_and_is_saved_before_it_is_told(stub, tmp_path, told):
    new = Made(weights(3.0), MEMORY)
    done, seen = a_round(stub, tmp_path, new)
    reached = seen.end()
    number, sent, config, grid = seen.asked
    assert (number, sent, len(config), grid) == (3, ("record", seen.state.weights), 0, "grid")
    assert seen.strategy.memory is seen.state.memory
    assert seen.exchanged == ("grid", ["message"] * 4, done.experiment.engine.client_timeout)
    assert seen.made == (3, seen.state, seen.strategy, seen.evaluator, "recalibrate", "replies")
    assert seen.evaluated == (3, seen.evaluator, new.weights)
    noted = [3, 12.0, "", {"validation": None}]
    entry = {"round": 3, "defence": None, "noted": noted, "training-seconds": 0.0}
    assert told == [RoundStarted(3, 4), RoundFinished(entry)]
    assert done.result["rounds"] == [entry]
    assert (tmp_path / "metrics.jsonl").read_text() == json.dumps(entry) + "\n"
    assert (done.saved, done.result["seconds"], done.result["model"]["selected-round"]) == (3, 2.0, 3)
    assert (reached.round, reached.score, reached.base, reached.memory) == (3, 3.0, "base", MEMORY)
    assert reached.weights is reached.selected is new.weights
    again = Checkpoint.latest(RunFolder(tmp_path))
    assert (again.round, again.weights.digest(), again.result["rounds"]) == (3, new.weights.digest(), [entry])
    assert not (tmp_path / UNDEFENDED).exists()


@pytest.mark.parametrize(
    ("auc", "best", "kept", "taken"),
    [(0.75, 0.5, "", True), (0.5, 0.5, "", True), (0.25, 0.5, "", False), (0.75, 0.5, "unsound", False)],
)
def test_the_best_sound_round_so_far_is_selected_and_of_equals_the_last(
    stub, tmp_path, auc, best, kept, taken
):
    new = Made(weights(3.0), MEMORY, kept)
    state = Checkpoint(2, weights(2.0), weights(1.0), best, "", {})
    entry = {"round": 3, "defence": None, "validation": {"auc": auc}}
    done, seen = a_round(stub, tmp_path, new, state=state, entry=entry, evaluation__select="best")
    reached = seen.end()
    assert reached.selected is (new.weights if taken else state.selected)
    assert reached.score == (auc if taken else best)
    assert done.result["model"]["selected-round"] == (3 if taken else 1)
    assert reached.weights is new.weights


@pytest.mark.parametrize(
    ("defence", "success"), [(None, 0.5), ({}, 0.5), ({"valid": True}, 0.5), ({"valid": False}, None)]
)
def test_an_attack_that_did_not_run_as_asked_has_no_success(stub, tmp_path, defence, success):
    entry = {"round": 3, "defence": defence, "attack-success": 0.5}
    done, seen = a_round(stub, tmp_path, Made(weights(3.0), MEMORY), entry=entry)
    seen.end()
    assert done.result["rounds"][0]["attack-success"] == success


def test_the_model_before_a_recipe_begins_is_kept(stub, tmp_path):
    settings = {"training__recipe": "pgd", "training__recipe_from": 4}
    done, seen = a_round(stub, tmp_path, Made(weights(3.0), MEMORY), **settings)
    seen.end()
    assert seen.deployed.digest() == weights(3.0).digest()
    assert (tmp_path / UNDEFENDED).read_text() == "deployed"
    assert done.saved == 3


@pytest.mark.parametrize("begins", [1, 3, 5])
def test_models_of_other_rounds_are_not_kept(stub, tmp_path, begins):
    settings = {"training__recipe": "pgd", "training__recipe_from": begins}
    _, seen = a_round(stub, tmp_path, Made(weights(3.0), MEMORY), **settings)
    seen.end()
    assert not (tmp_path / UNDEFENDED).exists()


def test_a_failed_round_is_told_to_whom_it_may_stop(stub, tmp_path, told):
    same = Made(weights(2.0), {}, "round 3: nobody", failed=True)
    done, seen = a_round(stub, tmp_path, same)
    stops = []
    done.stop_after_failures = lambda *given: stops.append(given)
    reached = seen.end()
    ((number, folder, entry),) = stops
    assert (number, folder, entry["round"]) == (3, seen.folder, 3)
    assert done.result["model"]["selected-round"] == 1
    assert reached.selected is seen.state.selected
    assert isinstance(told[-1], RoundFinished)


def test_an_attack_that_fails_is_noted_and_raised(stub, tmp_path, told):
    done, seen = a_round(stub, tmp_path, None, error=AttackFailedError("client 2: KeyError"))
    given = []
    done.round_record = lambda *each: given.append(each) or {"round": 3}
    with pytest.raises(AttackFailedError):
        seen.end()
    ((number, strategy, began, made),) = given
    assert (number, strategy, began) == (3, seen.strategy, 12.0)
    assert (made.weights, made.memory) == (seen.state.weights, seen.state.memory)
    assert (made.kept, made.failed) == ("client 2: KeyError", False)
    assert told == [RoundStarted(3, 4), RoundFinished({"round": 3})]
    assert done.saved == 0


# -- After the rounds ----------------------------------------------------------------------------------------------


def concluded(stub, tmp_path, lesson=None, **settings):
    """Return the study, and everything that its last stages handed over and wrote, in order."""
    done, seen = study(**settings), []

    def noted(name, answer=None):
        return lambda *given: seen.append((name, *given)) or answer

    def saving(name):
        return SimpleNamespace(save=lambda path: path.write_text(name))

    student = SimpleNamespace(
        classifier=SimpleNamespace(name="small", layout=SimpleNamespace(parameters=9)),
        weights="taught",
        record={"loss": 1},
    )
    taught = SimpleNamespace(test=lambda given: SimpleNamespace(to_json=lambda: {"clean": given}))
    evaluator = SimpleNamespace(
        classifier=SimpleNamespace(deployable=lambda given: saving(f"model of {given}")),
        examples=noted("examples", "shown"),
        dataset="data",
        victim="victim",
    )
    done.selected_evaluation = noted("measured", {"clean": 1})
    done.deploy = noted("deploy")
    stub(
        save_examples=noted("saved"),
        audited=noted("audited", SimpleNamespace(content={"verdict": "robust"})),
        distil_student=noted("distilled", student),
        Evaluator=SimpleNamespace(of=noted("evaluator", taught)),
        twin_of=noted("twin", "twin"),
        WhiteBox=SimpleNamespace(of=noted("teacher", "teacher")),
        audited_student=noted("audited student", SimpleNamespace(content={"verdict": "fragile"})),
    )
    folder = RunFolder(tmp_path)
    done.conclude(folder, evaluator, "selected", lesson)
    return done, seen, folder, evaluator, student, taught


NONE = {"evaluation__examples": 0, "audit__enabled": False}


def test_without_more_the_model_is_measured_and_written(stub, tmp_path, told):
    done, seen, folder, evaluator, *_ = concluded(stub, tmp_path, **NONE)
    assert seen == [("measured", evaluator, "selected")]
    assert done.result["model-evaluation"] == {"clean": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert folder.file("model.keras").read_text() == "model of selected"
    assert stages(told) == ["measuring the global model"]
    assert (done.result["audit"], done.result["student"]) == (None, None)


def test_examples_and_the_card_are_written(stub, tmp_path, told):
    done, seen, folder, evaluator, *_ = concluded(stub, tmp_path, evaluation__examples=2, audit__enabled=True)
    assert seen[1:] == [
        ("examples", "selected"),
        ("saved", folder, "shown"),
        ("audited", done.experiment, evaluator, "selected", done.result, folder),
    ]
    assert done.result["audit"] == folder.read_json("card.json") == {"verdict": "robust"}
    assert stages(told) == ["measuring the global model", "auditing the global model"]


@pytest.mark.parametrize("exported", [False, True])
def test_a_student_is_taught_measured_audited_and_deployed(stub, tmp_path, told, exported):
    settings = {
        **NONE,
        "audit__enabled": True,
        "audit__student": True,
        "distillation__enabled": True,
        "export__enabled": exported,
    }
    done, seen, folder, evaluator, student, taught = concluded(stub, tmp_path, "lesson", **settings)
    experiment = done.experiment
    assert seen[2:] == [
        ("distilled", experiment, "lesson", evaluator, "selected"),
        ("evaluator", experiment, "data", student.classifier, "pool"),
        ("twin", experiment, "lesson"),
        ("teacher", "victim", "selected", experiment.evaluation.batch_size),
        ("audited student", experiment, taught, "taught", "twin", "teacher", done.result, folder),
        ("deploy", folder, taught, student),
    ]
    assert done.result["student"] == {
        "name": "small",
        "parameters": 9,
        "clean": "taught",
        "distillation": {"loss": 1},
        "audit": {"verdict": "fragile"},
    }
    assert folder.read_json("card-student.json") == {"verdict": "fragile"}
    assert stages(told)[2:] == [
        "distilling the student",
        "measuring the student",
        "auditing the student",
        *(["exporting the student"] if exported else []),
    ]


@pytest.mark.parametrize("space", ["native", "prepared"])
@pytest.mark.parametrize("exported", [False, True])
def test_files_for_devices_are_compared_on_native_test_images(stub, tmp_path, exported, space):
    done = study(export__enabled=exported, evaluation__space=space, distillation__enabled=True, seed=5)
    data, given = dataset(), {}

    def noted(name, answer):
        return lambda *each, **more: given.update({name: (*each, more)}) or answer

    student = SimpleNamespace(
        classifier=SimpleNamespace(
            deployable=lambda weights: SimpleNamespace(save=lambda path: path.write_text(weights))
        ),
        weights="taught",
    )
    measured = []
    stub(
        calibration_sample=noted("sample", data.validation),
        export=noted("export", {"float32": "a.tflite", "int8": "b.tflite"}),
        Evaluator=SimpleNamespace(
            of=noted("evaluator", SimpleNamespace(victim="native victim", map="native map"))
        ),
        clean_logits=noted("logits", "logits"),
        measure_export=lambda *each: (
            measured.append(each) or SimpleNamespace(to_json=lambda: {"file": each[0]})
        ),
    )
    evaluator = SimpleNamespace(dataset=data, victim="victim", map="map")
    done.deploy(RunFolder(tmp_path), evaluator, student)
    assert (tmp_path / "student.keras").read_text() == "taught"
    if not exported:
        assert (given, done.result["export"]) == ({}, [])
        return
    assert given["sample"] == (data.validation, 5, {})
    _, path, formats, calibration, more = given["export"]
    assert (path, formats, more) == (tmp_path, done.experiment.export.formats, {"stem": "student"})
    assert calibration.dtype == np.float32
    np.testing.assert_allclose(calibration, data.validation.images / 255, rtol=1e-6)
    kind = "native " if space == "prepared" else ""
    victim, taught, images, size, mapped, _ = given["logits"]
    assert (victim, taught, size, mapped) == (
        f"{kind}victim",
        "taught",
        done.experiment.evaluation.batch_size,
        f"{kind}map",
    )
    assert images is data.test.images
    if kind:
        experiment, *rest, _ = given["evaluator"]
        assert (experiment.evaluation.space, rest) == ("native", [data, student.classifier, "pool"])
    assert done.result["export"] == [{"file": "a.tflite"}, {"file": "b.tflite"}]
    for _, logits, test, labels in measured:
        assert (logits, test.dtype) == ("logits", np.float32)
        np.testing.assert_allclose(test, data.test.images / 255, rtol=1e-6)
        assert labels is data.test.labels
