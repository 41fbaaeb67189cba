"""CRFL's certificate of a run: conditions are checked, and attacks within the magnitude change nothing certified."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import fedrobust
from fedrobust.audit.logistic_regression import Attackers, LogisticRegression, unlike
from fedrobust.config import ConfigError, Experiment
from fedrobust.runs.events import RoundStarted
from fedrobust.study import Study

HEAD = {
    "data__samples": 60,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 3,
    "federation__rounds": 3,
    "federation__postprocessors": ["crfl(norm=2, deviation=0.1)"],
    "training__layers": "head",
    "training__optimizer": "sgd(momentum=0)",
    "training__learning_rate": 0.01,
    "evaluation__attacks": [],
    "evaluation__every": 3,
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def record(rounds=3, failed=0, kept=None):
    one = SimpleNamespace(kept=kept, clients=SimpleNamespace(failed=failed))
    return SimpleNamespace(rounds=[one] * rounds)


def test_a_head_trained_by_plain_sgd_fulfils_the_conditions():
    assert list(unlike(Study.of(Experiment.quickstart(**HEAD)), record())) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training__layers": "all"}, 'training.layers = "all": a network'),
        ({"training__augmentations": ["flip"]}, "no augmentations"),
        ({"model__defence": "median"}, "no defence"),
        ({"training__optimizer": "sgd"}, 'training.optimizer = "sgd": allowed is "sgd(momentum=0)"'),
        ({"training__optimizer": "sgd(momentum=0, weight_decay=0.1)"}, "weight_decay=0.1"),
        ({"training__loss": "focal"}, 'training.loss = "focal"'),
        ({"training__class_weights": "balanced"}, "training.class-weights"),
        ({"training__proximal": 0.1}, "training.proximal = 0.1"),
        ({"training__algorithm": "scaffold"}, 'training.algorithm = "scaffold"'),
        ({"data__undersample": True}, "data.undersample"),
        ({"federation__aggregator": "median"}, 'federation.aggregator = "median"'),
        ({"federation__aggregator": "mean(weighting='capped')"}, "capped"),
        ({"federation__pre_aggregators": ["clipping(threshold=1)"]}, "pre-aggregators"),
        ({"federation__server_optimizer": "fedavgm"}, "federation.server-optimizer"),
        ({"federation__participation": 0.5}, "federation.participation"),
        ({"federation__postprocessors": ["clip(norm=1)", "crfl"]}, "crfl alone"),
    ],
)
def test_what_differs_from_it_is_refused_by_name(settings, message):
    found = list(unlike(Study.of(Experiment.quickstart(**(HEAD | settings))), record()))
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize("about", [{"rounds": 2}, {"failed": 1}, {"kept": "round 2: not finite"}])
def test_so_is_a_run_in_which_a_round_or_a_reply_is_missing(about):
    assert "rejected, or lost" in next(unlike(Study.of(Experiment.quickstart(**HEAD)), record(**about)))


def test_attackers_are_the_clients_that_move_the_mean_most():
    """60, 30 and 10 images in batches of 10, one epoch: 0.6 * 6, 0.3 * 3, 0.1 * 1 times the rate."""
    training = LogisticRegression(
        np.array([60, 10, 30]), np.array([0.6, 0.1, 0.3]), 1.0, 2.0, rate=0.1, batch=10, epochs=1
    )
    assert training.moves(Attackers(2)) == pytest.approx([0.36, 0.09])
    assert training.moves(Attackers(1, poisoned=0.5)) == pytest.approx([0.18])
    assert training.moves(Attackers(1, boost=10, rounds=1)) == pytest.approx([3.6])
    assert training.moves(Attackers(1, rounds=2)) == pytest.approx([0.72])
    assert training.longest(2.0) == pytest.approx(1 + 6 * 0.1 * math.sqrt(2) * 2)
    assert training.contracts
    assert not LogisticRegression(training.images, training.shares, 1.0, 2.0, 0.6, 10, 1).contracts


@pytest.mark.slow
def test_a_label_flip_within_the_magnitude_changes_no_certified_answer(tmp_path):
    """One of six clients in one round, and as a control five in all rounds, who are not certified against."""
    long = HEAD | {
        "federation__clients": 6,
        "federation__rounds": 60,
        "federation__postprocessors": ["crfl(norm=2, deviation=0.05)"],
        "training__learning_rate": 0.03,
        "evaluation__every": 60,
    }
    flip = long | {"poisoning__attack": "label-flip(kind='targeted', source=1, target=0)"}
    runs = {
        "clean": long,
        "within": flip | {"poisoning__malicious": [0], "poisoning__first_round": 60},
        "beyond": flip | {"poisoning__malicious": [0, 1, 2, 3, 4]},
    }
    found = {
        name: fedrobust.certify_training(
            fedrobust.run(**settings, output__dir=str(tmp_path / name)).path,
            malicious=1,
            copies=300,
            radii=[0, 1.42],
        )
        for name, settings in runs.items()
    }
    clean, within = found["clean"], found["within"]
    assert clean["model"] != within["model"]
    assert clean["certified"][0]["accuracy"] == clean["smoothed"]
    assert 0 < clean["certified"][1]["accuracy"]["value"] <= within["smoothed"]["value"]
    answers = {name: np.array([one["answer"] for one in each["images"]]) for name, each in found.items()}
    certified = np.array([one["radius"] for one in clean["images"]]) > math.sqrt(2)
    # Where another 300 votes do not suffice for an answer, the smoothed model abstains.
    kept = (answers["within"] == answers["clean"]) | (answers["within"] == -1)
    assert kept[certified].all()
    assert (answers["within"] == answers["clean"])[certified].mean() > 0.9
    assert (answers["beyond"] != answers["clean"])[certified].any()


@pytest.mark.slow
def test_votes_are_counted_for_every_model_and_certified_for_none_that_is_not_a_head(tmp_path):
    run = fedrobust.run(**HEAD | {"training__layers": "all"}, output__dir=str(tmp_path / "run"))
    found = fedrobust.certify_training(run.path, copies=5, images=20)
    assert found["n"] == 20
    assert "certified" not in found
    with pytest.raises(ConfigError, match=r"training\.layers"):
        fedrobust.certify_training(run.path, malicious=1, copies=5)


@pytest.mark.slow
def test_a_resumed_run_draws_the_same_noise(tmp_path):
    def press_a_key(event):
        if isinstance(event, RoundStarted) and event.round == 3:
            raise KeyboardInterrupt

    whole = fedrobust.run(**HEAD, output__dir=str(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(None, press_a_key, **HEAD, output__dir=str(tmp_path / "resumed"))
    resumed = fedrobust.resume(tmp_path / "resumed")
    assert resumed.result["model"]["digest"] == whole.result["model"]["digest"]
