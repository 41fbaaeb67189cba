"""First rounds, computed once for several cells."""

import json
from dataclasses import replace

import numpy as np
import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.evaluation.metrics import measure
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import SHARED
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.runs.record import MetricsRecord, RoundRecord
from fedrobust.runs.run import Run
from fedrobust.study import Study
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.events import CellStarted
from fedrobust.sweeps.fork import FOLDER, Fork, copied_rounds
from fedrobust.sweeps.forks import Forks
from fedrobust.sweeps.shared_rounds import fork_key, shared_rounds, why_alone
from fedrobust.sweeps.slots import WorkerSlot, next_cell

SETTINGS = {
    "data__samples": 150,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 4,
    "federation__rounds": 3,
    "federation__aggregator": "median",
    "poisoning__malicious": 1,
    "poisoning__first_round": 3,
    "evaluation__attacks": [],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


def study(attack="sign-flip", **changed):
    return Study.of(Experiment.of(**{**SETTINGS, "poisoning__attack": attack, **changed}))


def test_only_the_attack_and_its_end_leave_the_shared_rounds_alone():
    key = fork_key(study())
    assert key
    for same in (
        study("pixel-backdoor"),
        study("ipm(epsilon=2)"),
        study(poisoning__last_round=3),
        study(poisoning__every=2),
        study(engine__workers=1, output__report=False),
    ):
        assert fork_key(same) == key
    for other in (
        study(seed=1),
        study(federation__aggregator="mean"),
        study(poisoning__malicious=2),
        study(poisoning__first_round=2),
        study(evaluation__every=2),
        study(federation__tolerate=0),
    ):
        assert fork_key(other) not in ("", key)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"federation__rounds": 1, "poisoning__first_round": 1}, "one round"),
        ({"federation__average": 0.9}, "average"),
        ({"training__recipe": "pgd", "training__recipe_from": 2}, "recipe"),
    ],
)
def test_rounds_that_differ_otherwise_are_not_shared(changed, reason):
    one = study(**changed)
    assert reason in why_alone(one)
    assert fork_key(one) == ""


@pytest.mark.parametrize(
    "changed",
    [
        {"poisoning__first_round": 1},
        {"poisoning__first_round": 4},
        {"attack": "pixel-backdoor + neurotoxin", "poisoning__first_round": 2},
        {"attack": "a3fl", "poisoning__first_round": 2},
    ],
)
def test_cells_with_an_attack_in_every_round_or_one_that_remembers_share_with_its_own_kind(changed):
    one = study(**changed)
    assert shared_rounds(one) == 2
    assert fork_key(one) == fork_key(study(**changed, audit__enabled=True))
    assert fork_key(one) != fork_key(study(**{**changed, "attack": "ipm"}))
    assert fork_key(one) != fork_key(study(**changed, poisoning__on_failure="mark"))


def honest(**changed):
    return study(
        **{"attack": "none", "poisoning__malicious": 0, "federation__aggregator": "mean", **changed},
    )


LATER = (
    {"audit__enabled": True},
    {"export__enabled": True, "distillation__enabled": True},
    {"distillation__enabled": True, "distillation__method": "rslad"},
)


@pytest.mark.parametrize("later", LATER)
def test_what_comes_after_the_last_round_leaves_all_but_it_alone(later):
    assert shared_rounds(honest()) == 2
    assert fork_key(honest(**later)) == fork_key(honest())


@pytest.mark.parametrize(
    "model",
    [{"model__defence": "jpeg"}, {"model__detector": "mahalanobis"}, {"model__removal": "fine-pruning"}],
)
def test_a_defence_at_prediction_time_shares_rounds_in_which_no_model_is_measured_or_asked(model):
    unmeasured = {"evaluation__every": 3}
    assert fork_key(honest(**unmeasured, **model)) == fork_key(honest(**unmeasured))
    for other in (
        {"evaluation__every": 2},
        {**unmeasured, "federation__aggregator": "deepsight"},
        {**unmeasured, "attack": "sign-flip", "poisoning__malicious": 1, "poisoning__first_round": 1},
    ):
        assert fork_key(honest(**other, **model)) != fork_key(honest(**other))


@pytest.mark.parametrize(
    "other",
    [
        {"distillation__enabled": True, "distillation__teacher": "clients"},
        {"evaluation__every": 3},
        {"evaluation__attacks": ["fgsm"]},
        {"training__recipe": "pgd"},
        {"model__name": "edge-cnn(width=4)"},
        {"federation__rounds": 4},
    ],
)
def test_what_rounds_depend_on_is_not_shared(other):
    assert fork_key(honest(**other)) not in ("", fork_key(honest()))


def cell(**changed):
    return Cell(changed, study(**changed).experiment)


def test_forks_are_of_two_cells_or_more_and_end_with_the_last(tmp_path):
    first, second, lonely = cell(), cell(attack="ipm"), cell(seed=1)
    forks = Forks.of(tmp_path, [first, second, lonely])
    assert forks.fork(lonely) is None
    fork = forks.fork(first)
    assert fork == forks.fork(second)
    assert (fork.rounds, fork.attacks_differ) == (2, True)
    assert not fork.ready
    path = fork.folder / "checkpoints" / "round-000002.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    assert fork.ready
    assert forks.pending(first) == ""
    forks.done(first)
    assert path.is_file()
    forks.done(second)
    assert not (tmp_path / FOLDER).exists()


def test_models_of_earlier_rounds_are_kept_only_for_other_attacks(tmp_path):
    measured, last = (
        RoundRecord(round=1, clean=MetricsRecord.of(measure([0, 1], [[1.0, 0.0], [0.0, 1.0]]))),
        RoundRecord(round=2),
    )
    kept = [Fork(tmp_path, 2, attacks_differ) for attacks_differ in (True, False)]
    assert [[fork.wants(one) for one in (measured, last)] for fork in kept] == [[True, True], [False, True]]
    assert not kept[0].wants(RoundRecord(round=1))
    assert not kept[0].wants(replace(measured, round=3))


def test_a_worker_is_not_handed_rounds_that_another_one_computes(tmp_path):
    first, second, other = cell(), cell(attack="ipm"), cell(seed=1)
    forks = Forks.of(tmp_path, [first, second, other])
    idle, busy = WorkerSlot(0, None, None), WorkerSlot(1, None, None, first, last_graph=first.graph_key)
    assert next_cell([second, other], idle, [idle, busy], forks.pending) == 1
    assert next_cell([second], idle, [idle, busy], forks.pending) == 0


def comparable(record):
    """Return a record without times, dates and memory."""
    drop = {"seconds", "environment", "forecast", "shared", "resumed-after", "training-seconds", "bytes"}

    def clean(value):
        if isinstance(value, dict):
            return {key: clean(each) for key, each in value.items() if key not in drop}
        return [clean(each) for each in value] if isinstance(value, list) else value

    return clean({**record, "experiment": None})


def written(file, **axes):
    """Write a sweep of `SETTINGS` and return its path."""
    lines = ['name = "forked"']
    for key, value in {**SETTINGS, **axes}.items():
        lines.append(f"{key.replace('__', '.').replace('_', '-')} = {json.dumps(value)}")
    file.write_text("\n".join(lines))
    return file


@pytest.mark.slow
def test_cells_that_differ_after_the_last_round_have_the_bits_of_those_that_ran_alone(tmp_path):
    late = {
        "poisoning__attack": "none",
        "poisoning__malicious": 0,
        "poisoning__first_round": 1,
        "federation__aggregator": "mean",
        "evaluation__every": 3,
        "distillation__enabled": True,
        "distillation__epochs": 1,
    }
    axes = {
        "model__defence": ["none", "autoencoder(steps=2, width=2)"],
        "distillation__temperature": [2.0, 4.0],
    }
    heard = []
    results = fedrobust.bench(
        written(tmp_path / "late.toml", **late, **axes), heard.append, out=tmp_path / "out", workers=1
    )
    assert [one.shared for one in heard if isinstance(one, CellStarted)] == [0, 2, 2, 2]
    digests = set()
    for row in results.rows():
        forked = Run.open(results.folder / row.folder)
        chosen = {
            key.replace(".", "__"): value
            for key, value in row.settings.items()
            if key in ("model.defence", "distillation.temperature")
        }
        alone = fedrobust.run(
            study(**{**late, **chosen, "attack": late["poisoning__attack"]}).experiment.changed(
                engine__workers=1
            ),
            out=tmp_path / f"alone-{row.hash}",
        )
        assert {**comparable(forked.result), "name": ""} == {**comparable(alone.result), "name": ""}
        digests.add(
            (
                forked.result["model"]["digest"],
                json.dumps(comparable(forked.result)["student"], sort_keys=True),
            )
        )
    # The statistics of the model behind the autoencoder are fitted to it.
    assert len({model for model, _ in digests}) == 2
    assert len(digests) == 4


@pytest.mark.slow
def test_a_forked_cell_has_the_bits_of_one_that_ran_alone(tmp_path):
    file = written(tmp_path / "forked.toml", poisoning__attack=["sign-flip", "pixel-backdoor(target=1)"])
    heard = []
    results = fedrobust.bench(file, heard.append, out=tmp_path / "out", workers=1)
    assert [one.shared for one in heard if isinstance(one, CellStarted)] == [0, 2]
    rows = {row.settings["poisoning.attack"]: row for row in results.rows()}
    leader, forked = (Run.open(results.folder / row.folder) for row in rows.values())
    assert leader.record.shared is None
    assert forked.record.shared.rounds == 2
    assert forked.record.shared.run == rows["sign-flip"].hash
    assert not (results.folder / FOLDER).exists()
    assert not forked.folder.file(SHARED).exists()
    # The whole: the same study, run by itself from the first round.
    alone = fedrobust.run(
        study("pixel-backdoor(target=1)").experiment.changed(engine__workers=1), out=tmp_path / "alone"
    )
    own, others = forked.result, alone.result
    assert own["model"]["digest"] == others["model"]["digest"]
    assert forked.record.rounds[0].attack_success.rate is not None
    assert comparable(own)["rounds"] == comparable(others)["rounds"]
    assert {**comparable(own), "name": ""} == {**comparable(others), "name": ""}
    # The attack did something, so that equal bits say something.
    assert own["model"]["digest"] != leader.result["model"]["digest"]
    assert np.isfinite(own["model-evaluation"]["clean"]["auc"])


def test_a_run_that_begins_with_shared_rounds_has_their_kept_models(tmp_path):
    source, target = tmp_path / "one", tmp_path / "other"
    source.mkdir()
    target.mkdir()
    weights = Weights(np.arange(3, dtype=np.float32), np.zeros(0, np.float32))
    for number in (1, 2, 3):
        KeptRounds(RunFolder(source)).save(number, weights)
    copied_rounds(source, target, 2)
    assert KeptRounds(RunFolder(target)).numbers == (1, 2)
    np.testing.assert_array_equal(KeptRounds(RunFolder(target)).weights(2).trainable, weights.trainable)
