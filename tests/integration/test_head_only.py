"""A study that trains the head alone, from its settings to its files."""

import keras
import numpy as np
import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.models.classifier import build_classifier
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.study import Study

pytestmark = pytest.mark.slow

HEAD = {
    "seed": 3,
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "data__samples": 400,
    "federation__clients": 40,
    "federation__rounds": 3,
    "federation__participation": 0.9,
    "federation__aggregator": "trimmed-mean",
    "poisoning__attack": "sign-flip",
    "poisoning__malicious": 3,
    "training__layers": "head",
    "training__learning_rate": 0.05,
    "evaluation__attacks": [],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def digest(folder, **settings):
    run = fedrobust.run(output__dir=str(folder), **{**HEAD, **settings})
    assert [one.clients.failed for one in run.record.rounds] == [0, 0, 0]
    assert [one.clients.trained for one in run.record.rounds] == [36, 36, 36]
    return run.record.model.digest


def test_same_bits_with_any_number_of_workers_and_any_engine_and_one_by_one(tmp_path):
    one = digest(tmp_path / "one", engine__workers=1)
    assert digest(tmp_path / "two", engine__workers=3) == one
    assert digest(tmp_path / "apart", engine__workers=2, engine__client_timeout=60.0) == one
    assert digest(tmp_path / "ray", engine__name="ray", engine__workers=2) == one


def test_only_the_head_differs_from_the_initial_network_and_it_learns(tmp_path):
    harmless = {"poisoning__attack": "none", "poisoning__malicious": 0}
    run = fedrobust.run(output__dir=str(tmp_path / "run"), **{**HEAD, **harmless})
    assert run.record.rounds[-1].clients.loss < run.record.rounds[0].clients.loss
    assert run.record.model.parameters == 93154
    seed = Study(Experiment.of(seed=3)).weights_seed()
    untrained = build_classifier("edge-cnn", (28, 28, 1), 2, image_size=28, seed=seed, layers="head")
    model = keras.models.load_model(tmp_path / "run" / "model.keras", compile=False)
    weights = untrained.weights_of(model)
    assert weights is not None, "the frozen part is that of the initial network"
    assert weights.trainable.shape == (258,)
    assert not np.array_equal(weights.trainable, untrained.initial_weights().trainable)


def test_a_stopped_study_goes_on_with_the_same_bits(tmp_path, monkeypatch):
    whole = digest(tmp_path / "whole")
    save, saved = Checkpoint.save, []

    def stopping(self, folder):
        save(self, folder)
        saved.append(self.round)
        if self.round == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        digest(tmp_path / "stopped")
    monkeypatch.undo()
    assert digest(tmp_path / "stopped", output__resume=True) == whole


def test_layers_are_unfrozen_by_and_by(tmp_path):
    study = {
        "training__unfreeze": ["2: blocks:1", "3: all"],
        "training__backbone_rate": 0.5,
        "federation__clients": 4,
        "federation__participation": 1.0,
        "federation__aggregator": "median",
        "poisoning__malicious": 1,
    }
    run = fedrobust.run(output__dir=str(tmp_path / "run"), **{**HEAD, **study, "evaluation__select": "last"})
    assert [one.clients.trained for one in run.record.rounds] == [4, 4, 4]
    short = {**HEAD, **study, "federation__rounds": 2, "training__unfreeze": ["2: blocks:1"]}
    fedrobust.run(output__dir=str(tmp_path / "short"), **short)
    seed = Study(Experiment.of(seed=3)).weights_seed()
    names = {"all": run.folder.path, "blocks:1": tmp_path / "short"}
    initial = build_classifier("edge-cnn", (28, 28, 1), 2, image_size=28, seed=seed)
    start = dict(
        zip(
            [entry.path for entry in initial.layout.entries],
            initial.layout.unflatten(initial.initial_weights()),
            strict=True,
        )
    )
    for layers, folder in names.items():
        model = keras.models.load_model(folder / "model.keras", compile=False)
        after = {variable.path: variable.numpy() for variable in model.variables}
        moved = {path for path, array in start.items() if not np.array_equal(array, after[path])}
        trained = build_classifier("edge-cnn", (28, 28, 1), 2, image_size=28, layers=layers)
        assert moved == {entry.path for entry in trained.layout.entries}
