"""What a study notes and decides, from made-up experiments, evaluators and data: nothing is trained."""

from types import SimpleNamespace

import numpy as np
import pytest

import server.app
from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset, Split
from fedrobust.evaluation.metrics import NotFiniteError
from fedrobust.runs.events import (
    RoundFinished,
    StudyFinished,
    StudyResumed,
    StudyStarted,
    listening,
)
from server.app import (
    MOST_COMPARED,
    RARE,
    UNMEASURED,
    Made,
    Study,
    UnmeasurableError,
    described,
    goal_of,
    native_space,
    rare_hospitals,
    remarks_of,
    stages_after_rounds,
    worst_clients,
)

FLIP = {"poisoning__attack": "sign-flip", "poisoning__malicious": [1]}


def split(*labels) -> Split:
    return Split(np.zeros((len(labels), 5, 4, 1), np.uint8), np.array(labels, np.int32))


def dataset(train=(0, 1, 2), validation=(0, 0, 1), test=(1, 1, 1, 0)) -> Dataset:
    return Dataset(
        name="made-up",
        train=split(*train),
        validation=split(*validation),
        test=split(*test),
        label_names=("healthy", "one", "two"),
        task="multi-class",
        disease=(1, 2),
        source="this file",
        licence="none",
        digest="0" * 64,
    )


def shared(monkeypatch, *counts):
    """Let client i have ``counts[i][k]`` images of class k, and return the data set."""
    labels = [label for row in counts for label, count in enumerate(row) for _ in range(count)]
    ends = np.cumsum([sum(row) for row in counts])
    shards = tuple(np.arange(end - sum(row), end) for end, row in zip(ends, counts, strict=True))
    found = dataset(labels)
    monkeypatch.setattr(
        server.app,
        "partition_of",
        lambda experiment: SimpleNamespace(shards=shards, unevenness="2 to 9 each"),
    )
    monkeypatch.setattr(server.app, "dataset_of", lambda experiment: found)
    return found


# -- Data ----------------------------------------------------------------------------------------------------------


def test_the_entry_of_a_data_set():
    assert described(dataset()) == {
        "name": "made-up",
        "source": "this file",
        "licence": "none",
        "digest": "0" * 64,
        "task": "multi-class",
        "labels": ["healthy", "one", "two"],
        "disease": [1, 2],
        "image-shape": [5, 4, 1],
        "samples": {"train": 3, "validation": 3, "test": 4},
        "counts": {"train": [1, 1, 1], "validation": [2, 1, 0], "test": [1, 3, 0]},
    }


def rare(**settings):
    found = rare_hospitals(Experiment.of(federation__clients=4, **settings))
    assert all(type(client) is int for client in found)
    return found


def test_rare_hospitals_are_those_whose_classes_are_far_from_all(monkeypatch):
    """All: 12, 2 and 2 of 16 images. The halved distances are 3/4, 1/4, 1/8 and 7/8."""
    shared(monkeypatch, (0, 1, 1), (8, 0, 0), (4, 0, 1), (0, 1, 0))
    assert RARE == 0.3
    assert rare() == [0, 3]
    # Whoever is at the border itself is rare.
    monkeypatch.setattr(server.app, "RARE", 0.25)
    assert rare() == [0, 1, 3]
    assert rare(**FLIP) == [0, 3], "an attacker is no honest client"
    monkeypatch.setattr(server.app, "RARE", 0.8)
    assert rare() == [3]


def test_of_very_many_clients_none_is_compared(monkeypatch):
    found = shared(monkeypatch, (0, 1, 1), (8, 0, 0))
    assert MOST_COMPARED == 10_000
    most, more = Experiment.of(federation__clients=10_000), Experiment.of(federation__clients=10_001)
    measured = {"clean": {"recall": [1.0, 1.0, 1.0]}, "robust": {}}
    assert rare_hospitals(most) == [0]
    assert rare_hospitals(more) == []
    assert worst_clients(most, found, measured) == {"clean": {"client": 0, "accuracy": 1.0, "mean": 1.0}}
    assert worst_clients(more, found, measured) is None


def test_the_client_that_is_served_worst(monkeypatch):
    found = shared(monkeypatch, (2, 2, 0), (1, 0, 3), (0, 0, 4), (0, 2, 2))
    measured = {
        "clean": {"recall": [0.5, 1.0, None]},
        "robust": {
            "fgsm": {"0.01": {"recall": [0.0, 0.0, 0.0]}, "0.02": {"recall": [0.5, 0.25, 0.75]}},
            "pgd": {},
            "mim": {"1/255": {"recall": [None, 0.5, None]}},
        },
    }
    experiment = Experiment.of(federation__clients=4)
    assert worst_clients(experiment, found, measured) == {
        # 3/4, 1/2, nothing known, 1: a class whose recall is not known does not count.
        "clean": {"client": 1, "accuracy": 0.5, "mean": (0.75 + 0.5 + 1 + 1) / 4},
        # 3/8, 1/8 + 9/16, 3/4, 1/8 + 3/8
        "fgsm 0.02": {"client": 0, "accuracy": 0.375, "mean": (0.375 + 0.6875 + 0.75 + 0.5) / 4},
        "mim 1/255": {"client": 0, "accuracy": 0.5, "mean": (0.5 + 1 + 1 + 0.5) / 4},
    }


# -- What a study says of itself -----------------------------------------------------------------------------------


def test_an_attacks_aim_is_seen_on_the_test_split(monkeypatch):
    seen = []
    aim = SimpleNamespace(goal=lambda *given: seen.append(given) or "aim")
    monkeypatch.setattr(server.app, "attack_of", lambda poisoning, base: aim)
    found = dataset()
    assert goal_of(Experiment.of(seed=5), found) == "aim"
    ((images, scene),) = seen
    assert images is found.test
    assert (scene.classes, scene.seed) == (3, 5)


def test_no_attack_has_no_aim():
    assert goal_of(Experiment.of(), dataset()) is None


def test_an_attack_is_remarked_on_for_those_of_a_round(monkeypatch):
    seen = []
    monkeypatch.setattr(
        server.app,
        "attack_of",
        lambda poisoning, base: SimpleNamespace(remarks=lambda scene: seen.append(scene) or ["weak"]),
    )
    settings = {"federation__clients": 10, "federation__participation": 0.4}
    assert remarks_of(Experiment.of(**settings)) == []
    assert seen == []
    attackers = {"poisoning__attack": "sign-flip", "poisoning__malicious": [1, 3]}
    assert remarks_of(Experiment.of(**settings, **attackers)) == ["weak"]
    (scene,) = seen
    assert (scene.malicious, scene.clients, scene.sampled) == (2, 10, 4)


@pytest.mark.parametrize(
    ("audit", "student", "exported", "stages"),
    [
        (False, False, False, ()),
        (True, False, False, ("the audit",)),
        (False, True, False, ("the student",)),
        (True, True, True, ("the audit", "the student", "its export")),
        (False, False, True, ()),
    ],
)
def test_the_stages_that_follow_the_rounds(audit, student, exported, stages):
    experiment = SimpleNamespace(
        audit=SimpleNamespace(enabled=audit),
        distillation=SimpleNamespace(enabled=student),
        export=SimpleNamespace(enabled=exported),
    )
    assert stages_after_rounds(experiment) == stages


def test_native_space_changes_nothing_else():
    prepared = Experiment.of(evaluation__space="prepared", evaluation__every=3)
    assert native_space(prepared) == Experiment.of(evaluation__space="native", evaluation__every=3)


def test_a_study_in_one_line(monkeypatch):
    found = shared(monkeypatch, (2, 2, 0), (1, 0, 3))
    settings = {"federation__clients": 2, "model__name": "cnn-small", "data__partition": "iid"}
    partition = SimpleNamespace(unevenness="2 to 9 each")
    start = "made-up: 8 images over 2 clients (iid; 2 to 9 each), cnn-small from random weights"
    assert Study(Experiment.of(**settings), None, None).summary(found, partition) == start
    attacked = Study(Experiment.of(**settings, **FLIP), None, None).summary(found, partition)
    assert attacked == f"{start}; 1 malicious: sign-flip"


def test_a_new_study_has_nothing_to_show():
    experiment = Experiment.of(name="made-up")
    assert Study(experiment, None, None).result == {
        "schema": 1,
        "status": "running",
        "error": None,
        "name": "made-up",
        "experiment": experiment.to_dict(),
        "rounds": [],
        "resumed-after": [],
        "tolerance": None,
        "remarks": [],
        "audit": None,
        "student": None,
        "export": [],
        "seconds": 0.0,
    }


@pytest.mark.parametrize("resume", [False, True])
def test_listeners_are_told_that_a_study_begins_or_goes_on(monkeypatch, resume):
    found = shared(monkeypatch, (2, 2, 0), (1, 0, 3))
    experiment = Experiment.of(name="made-up", federation__clients=2, federation__rounds=9)
    output = experiment.output.model_copy(update={"resume": resume})
    study = Study(experiment.model_copy(update={"output": output}), None, None)
    study.result["remarks"] = ["mind this"]
    monkeypatch.setattr(study, "summary", lambda data, partition: f"{data.name}, {partition.unevenness}")
    monkeypatch.setattr(server.app, "stages_after_rounds", lambda experiment: ("the audit",))
    told = []
    with listening(told.append):
        study.announce(SimpleNamespace(path="runs/made-up"), found, SimpleNamespace(round=4))
    began = StudyStarted("made-up", "runs/made-up", 9, "made-up, 2 to 9 each", ("mind this",), ("the audit",))
    assert told == [began, *([StudyResumed(4)] if resume else [])]


# -- Rounds --------------------------------------------------------------------------------------------------------


class Judge:
    """An evaluator that notes what it is asked."""

    def __init__(self, error=None):
        self.dataset, self.error, self.asked = dataset(), error, []

    def test(self, weights, attacked=True):
        self.asked.append(("test", weights, attacked))
        if self.error:
            raise self.error
        robust = {"fgsm": "curve"} if attacked else {}
        return SimpleNamespace(to_json=lambda: {"clean": "clean", "robust": robust})

    def validate(self, weights):
        self.asked.append(("validate", weights))
        return SimpleNamespace(to_json=lambda: {"auc": 0.75})

    def probe(self, weights):
        return f"probe of {weights}"

    def success(self, weights, goal):
        return f"success of {weights} at {goal}"


def study(**settings) -> Study:
    return Study(Experiment.of(**settings), None, None)


def test_what_is_not_measured_is_none():
    assert UNMEASURED == {"clean": None, "robust": {}, "validation": None}


@pytest.mark.parametrize(
    ("every", "attack_every", "attacked"),
    [
        (1, 0, {1: True, 2: True, 3: True, 4: True, 5: True, 6: True, 7: True}),
        (3, 0, {3: True, 6: True, 7: True}),
        (3, 2, {3: False, 6: True, 7: True}),
        (2, 4, {2: False, 4: True, 6: False, 7: True}),
        (9, 9, {7: True}),
    ],
)
def test_which_rounds_are_measured_and_attacked(monkeypatch, every, attack_every, attacked):
    monkeypatch.setattr(server.app, "worst_clients", lambda experiment, data, found: sorted(found))
    server_side = study(federation__rounds=7, evaluation__every=every, evaluation__attack_every=attack_every)
    for number in range(1, 8):
        judge = Judge()
        entry = server_side.evaluated(number, judge, "weights")
        if number not in attacked:
            assert (entry, judge.asked) == (dict(UNMEASURED), [])
            assert entry is not UNMEASURED
            continue
        assert judge.asked == [("test", "weights", attacked[number])]
        assert entry == {
            "clean": "clean",
            "robust": {"fgsm": "curve"} if attacked[number] else {},
            "validation": None,
            "worst-client": ["clean", "robust"],
            "pgd-probe": "probe of weights",
            "attack-success": None,
        }


def test_validation_chooses_and_an_aim_is_judged(monkeypatch):
    given = []
    monkeypatch.setattr(server.app, "worst_clients", lambda *arguments: given.append(arguments))
    monkeypatch.setattr(server.app, "goal_of", lambda experiment, data: (experiment.seed, data.name))
    judge, chooses = Judge(), study(seed=5, evaluation__select="best")
    entry = chooses.evaluated(1, judge, "weights")
    assert [asked[0] for asked in judge.asked] == ["validate", "test"]
    assert entry["validation"] == {"auc": 0.75}
    assert entry["attack-success"] == "success of weights at (5, 'made-up')"
    assert given == [(chooses.experiment, judge.dataset, {"clean": "clean", "robust": {"fgsm": "curve"}})]
    assert UNMEASURED["validation"] is None


def test_a_model_that_overflows_on_other_images_is_not_measured():
    judge = Judge(NotFiniteError("3 of 4 rows"))
    assert study(evaluation__select="best").evaluated(1, judge, "weights") == {
        "clean": None,
        "robust": {},
        "validation": None,
        "unmeasured": "3 of 4 rows",
    }


@pytest.mark.parametrize(
    ("select", "validation", "score"),
    [
        ("last", {"auc": 0.75}, 4.0),
        ("last", None, 4.0),
        ("best", {"auc": 0.75}, 0.75),
        ("best", {"auc": 0}, 0.0),
        ("best", {"auc": None}, -np.inf),
        ("best", None, -np.inf),
    ],
)
def test_what_decides_which_round_is_kept(select, validation, score):
    found = study(evaluation__select=select).score(4, {"validation": validation})
    assert (found, type(found)) == (score, float)


def test_the_entry_of_a_round(monkeypatch):
    monkeypatch.setattr(server.app, "time", SimpleNamespace(perf_counter=lambda: 12.5))
    outcome = SimpleNamespace(to_json=lambda: {"sampled": 3}, defence={"rule": "mean"})
    kept, new = Made("weights", {}, "too few", failed=True), Made("weights", {})
    told = study().round_record(6, SimpleNamespace(outcome=outcome), 10.0, kept)
    assert told == {
        "round": 6,
        "clean": None,
        "robust": {},
        "validation": None,
        "clients": {"sampled": 3},
        "defence": {"rule": "mean"},
        "kept": "too few",
        "failed": True,
        "seconds": 2.5,
    }
    assert study().round_record(1, SimpleNamespace(outcome=None), 12.0, new, {"clean": 1}) == {
        "round": 1,
        "clean": 1,
        "clients": {},
        "defence": None,
        "kept": None,
        "failed": False,
        "seconds": 0.5,
    }


# -- The selected round --------------------------------------------------------------------------------------------


def entry(clean="first", robust="curve", defence=None, **more):
    return {"clean": clean, "robust": {"fgsm": robust} if robust else {}, "defence": defence, **more}


def selected(number, rounds, aim="aim", error=None, **settings):
    """Return the evaluation of the selected round, and whether it was measured anew."""
    judge, done = Judge(error), study(**settings)
    done.result["rounds"] = rounds
    done.result["model"] = {"selected-round": number}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.app, "goal_of", lambda experiment, data: aim)
        found = done.selected_evaluation(judge, "weights")
    return found, judge.asked == [("test", "weights", True)]


ANEW = {"clean": "clean", "robust": {"fgsm": "curve"}}


def test_the_selected_rounds_own_figures_are_taken():
    rounds = [entry(), entry("second", **{"attack-success": 0.5}), entry("third")]
    own = {"clean": "second", "robust": {"fgsm": "curve"}, "attack-success": 0.5}
    assert selected(2, rounds) == (own, False)
    assert selected(1, rounds) == ({**own, "clean": "first", "attack-success": None}, False)


def test_where_it_was_not_measured_or_not_attacked_it_is_measured():
    for rounds in ([entry(None)], [entry(robust="")]):
        assert selected(1, rounds) == ({**ANEW, "attack-success": "success of weights at aim"}, True)
        assert selected(1, rounds, aim=None) == ({**ANEW, "attack-success": None}, True)
    own = {"clean": "first", "robust": {}, "attack-success": None}
    assert selected(1, [entry(robust="")], evaluation__attacks=[]) == (own, False)


def test_without_a_selected_round_the_weights_are_measured():
    assert selected(None, [entry()])[1]


def test_an_attack_that_did_not_run_in_some_round_has_no_success():
    good, bad = {"valid": True}, {"valid": False}
    for defences, ran in (
        ((None, good), True),
        (({}, good), True),
        ((good, bad), False),
        ((bad, good), False),
    ):
        rounds = [entry(defence=defence, **{"attack-success": 0.5}) for defence in defences]
        assert selected(1, rounds)[0]["attack-success"] == (0.5 if ran else None)
        assert selected(1, rounds)[0]["clean"] == "first"
        rounds[0]["clean"] = None
        found = selected(1, rounds)[0]
        assert found["attack-success"] == ("success of weights at aim" if ran else None)


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

    def append_line(self, name, content):
        self._write("line", name, content)


def ended(monkeypatch, act, folder, **settings):
    """Return what is told and of what a report is written when `act` is done to a study begun 2 seconds ago."""
    reports, told, done = [], [], study(**settings)
    done.started = 10.0
    monkeypatch.setattr(server.app, "time", SimpleNamespace(perf_counter=lambda: 12.0))
    monkeypatch.setattr(server.app, "write_report", reports.append)
    with listening(told.append):
        act(done, folder)
    assert done.result["seconds"] == 2.0
    return done.result, told, reports


def test_a_finished_study_is_written_reported_and_told(monkeypatch):
    folder = Folder()
    result, told, reports = ended(monkeypatch, lambda done, folder: done.finish(folder, "finished"), folder)
    assert (result["status"], result["error"]) == ("finished", None)
    assert folder.written == [("json", "result.json", result)]
    assert told == [StudyFinished(result)]
    assert reports == ["runs/made-up"]


def test_without_a_report_none_is_written(monkeypatch):
    def act(done, folder):
        done.finish(folder, "finished")

    assert ended(monkeypatch, act, Folder(), output__report=False)[2] == []


def test_a_failed_study_says_why(monkeypatch):
    folder, error = Folder(), ValueError("no\n class 7")
    result, told, _ = ended(monkeypatch, lambda done, folder: done.give_up(folder, error), folder)
    assert (result["status"], result["error"]) == ("failed", "ValueError: no class 7")
    assert folder.written == [("whatever", "result.json", result)]
    assert told == [StudyFinished(result)]
    assert not hasattr(error, "__notes__")


def test_a_failed_study_whose_record_cannot_be_written_is_told_all_the_same(monkeypatch):
    error = ValueError("no class 7")
    result, told, _ = ended(monkeypatch, lambda done, folder: done.give_up(folder, error), Folder("whatever"))
    assert error.__notes__ == ["its record cannot be written: OSError: disk full"]
    assert told == [StudyFinished(result)]


def test_the_round_with_which_a_study_stops_is_noted(monkeypatch):
    folder, told, done = Folder(), [], study()
    with listening(told.append):
        done.note_round(folder, {"round": 3})
    assert done.result["rounds"] == [{"round": 3}]
    assert folder.written == [("line", "metrics.jsonl", {"round": 3})]
    assert told == [RoundFinished({"round": 3})]
