"""A node with a privacy budget keeps it whatever the server asks for: every update has noise, and is counted first."""

import json

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from clients import app as node
from clients.site_budget import SiteBudget
from fedrobust.config import Experiment
from fedrobust.data.phantom import phantom
from fedrobust.data.problem import Problem
from fedrobust.errors import ConfigError
from fedrobust.flower.identity import RUN_ID, server_identity
from fedrobust.flower.records import arrays_of, problem_config, weights_record
from fedrobust.privacy import BudgetError, PrivacyBudget, Update
from fedrobust.study import Study

PROBLEM = Problem((28, 28, 1), 2)
IMAGES = 12

BUDGET = {"privacy-epsilon": 3.0, "privacy-delta": 0.01, "privacy-ledger": "ledger.json"}

PRIVATE = {
    "name": "mine",
    "data__samples": 60,
    "federation__clients": 2,
    "federation__rounds": 2,
    "engine__workers": 1,
    "model__name": "edge-cnn",
    "model__weights": "random",
    "model__image_size": 28,
    "model__normalization": "group",
    "training__batch_size": 4,
    "privacy__delta": 0.01,
    "privacy__example_noise": 4.0,
}


@pytest.fixture
def hospital(tmp_path):
    """Return a function that sends a message to a node with a privacy budget, and the ledger's path."""
    train = phantom(train=IMAGES, seed=0).train
    np.savez(tmp_path / "mine.npz", train_images=train.images, train_labels=train.labels)
    ledger = tmp_path / "ledger.json"

    def asked(kind=MessageType.TRAIN, round=1, epsilon=3.0, message=None, **settings):
        experiment = Experiment.of(**{**PRIVATE, **settings})
        with_noise = Study.of(experiment, PROBLEM)
        config = ConfigRecord({"round": round, **(message or {}), **problem_config(PROBLEM)})
        content = RecordDict({"weights": weights_record(with_noise.initial()[1]), "config": config})
        node_config = {"partition-id": 0, "data-path": str(tmp_path / "mine.npz")}
        if epsilon:
            node_config |= {"privacy-epsilon": epsilon, "privacy-delta": 0.01, "privacy-ledger": str(ledger)}
        with server_identity():
            sent = Message(content, 1, kind)
            sent.metadata.__dict__["_message_id"] = f"{kind}{round}"
            return node.app(sent, Context(RUN_ID, 1, node_config, RecordDict(), experiment.to_run_config()))

    budget = PrivacyBudget(3.0, 0.01, ledger)
    budget.create()
    return asked, budget


def test_every_update_is_counted_with_its_own_noise_steps_and_sampling(hospital, monkeypatch):
    asked, budget = hospital
    logged = []
    monkeypatch.setattr("clients.site_budget.log", lambda _, text, *rest: logged.append(text % rest))
    asked(MessageType.QUERY)
    assert not budget.updates()
    for round in (1, 2):
        assert not asked(round=round).has_error()
    assert [(one.study, one.round) for one in budget.updates()] == [("mine", 1), ("mine", 2)]
    (releases,) = {one.releases for one in budget.updates()}
    assert (releases.noise_multiplier, releases.count, releases.sampling) == (4.0, 3, "poisson")
    assert releases.rate == pytest.approx(4 / IMAGES)
    # By these lines an older copy of the ledger is completed.
    lines = [line.removeprefix("privacy budget: counted ") for line in logged if "counted" in line]
    assert [Update.read(json.loads(line)) for line in lines] == list(budget.updates())
    study = Study.of(Experiment.of(**PRIVATE), PROBLEM)
    _, whole = study.dp_sgd.promise(IMAGES).spent(0.01)
    assert budget.spent() == pytest.approx(whole, rel=0.01)


def test_a_round_that_comes_again_counts_again_until_the_budget_is_spent(hospital):
    asked, budget = hospital
    asked()
    twice = budget.spent(budget.updates()[0].releases)
    asked(epsilon=twice * 1.001)
    assert [one.round for one in budget.updates()] == [1, 1]
    assert budget.spent() == pytest.approx(twice)
    with pytest.raises(
        BudgetError, match=r"round 1 of mine would bring .* in 2 updates to epsilon .* not trained"
    ):
        asked(epsilon=twice * 1.001)
    assert len(budget.updates()) == 2


def test_an_update_counts_whose_training_was_interrupted(hospital, monkeypatch):
    asked, budget = hospital

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(node.Client, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        asked()
    assert len(budget.updates()) == 1


def test_a_study_that_does_not_fit_is_refused_before_its_first_round(hospital):
    asked, budget = hospital
    with pytest.raises(BudgetError, match=r"and 900 rounds of this study would bring it to .* of them fit"):
        asked(MessageType.QUERY, federation__rounds=900)
    assert not budget.updates()


def test_of_a_resumed_study_only_the_rounds_that_are_left_have_to_fit(hospital):
    asked, budget = hospital
    asked(round=1)
    both = budget.spent(budget.updates()[0].releases)
    asked(MessageType.QUERY, 2, epsilon=both * 1.001, output__resume=True, output__dir="elsewhere")
    with pytest.raises(BudgetError, match=r"and 2 rounds of this study .* 1 of them fit"):
        asked(MessageType.QUERY, 1, epsilon=both * 1.001)


@pytest.mark.parametrize(
    ("trained", "next_round", "left"),
    [((1, 2, 3, 3), 3, 2), ((1, 2, 3), 1, 4), ((1, 2, 3, 4), 1, 4), ((1, 2, 3, 4), 5, 0)],
    ids=["resumed twice", "given up and begun anew", "begun anew", "at its end"],
)
def test_the_rounds_that_are_left_are_those_from_the_next_one_whatever_the_ledger_has(
    hospital, trained, next_round, left
):
    asked, budget = hospital
    study = Study.of(Experiment.of(**{**PRIVATE, "federation__rounds": 4}), PROBLEM)
    digest = SiteBudget.of(BUDGET, study.experiment.to_run_config()).digest
    one = SiteBudget(budget, digest).releases(study, IMAGES)
    for round in trained:
        budget.reserve(Update("mine", digest, round, one))
    needed = budget.spent(one.after(one.count * left))
    asked(MessageType.QUERY, next_round, epsilon=needed * 1.001, federation__rounds=4)
    with pytest.raises(BudgetError, match=f"and {left} rounds of this study"):
        asked(MessageType.QUERY, next_round, epsilon=needed * 0.999, federation__rounds=4)


def test_a_message_without_a_round_is_refused(hospital):
    asked, _ = hospital
    with pytest.raises(ConfigError, match=r"round = 1\.5 in the server's message; allowed: a whole number"):
        asked(MessageType.QUERY, 1.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"privacy__example_noise": 0.0},
            "nothing in this study adds noise before an update leaves the site",
        ),
        (
            {
                "privacy__example_noise": 0.0,
                "federation__postprocessors": ["gaussian-dp(noise_multiplier=3)"],
                "federation__aggregator": "mean(weighting='uniform')",
            },
            "nothing in this study adds noise before an update leaves the site",
        ),
        ({"model__normalization": "batch"}, "BatchNorm mixes the images"),
        ({"data__augment": 1}, "data.augment = 1"),
        ({"training__class_weights": "balanced"}, "training.class-weights"),
        ({"training__algorithm": "fednova"}, "sends arrays beside weights"),
        ({"privacy__example_clip": 1e-38}, r"example-clip = 1e-38: noise of this size is rounded to 0"),
        (
            {
                "privacy__example_noise": 0.0,
                "federation__postprocessors": ["gaussian-dp(clip=1e-20, noise_multiplier=20, noise='local')"],
            },
            r"clip = 1e-20: noise of this size is rounded to 0",
        ),
        ({"training__augmentations": [" mixup"]}, "mixup mixes images"),
    ],
    ids=[
        "no noise",
        "at the server",
        "batchnorm",
        "augment",
        "class weights",
        "arrays beside",
        "tiny clip",
        "tiny clip of updates",
        "mixed images",
    ],
)
@pytest.mark.parametrize("kind", [MessageType.QUERY, MessageType.TRAIN])
def test_what_leaves_without_noise_is_refused(hospital, settings, message, kind):
    asked, budget = hospital
    with pytest.raises(ConfigError, match=message):
        asked(kind, **settings)
    assert not budget.updates()


def test_local_noise_counts_as_of_an_update_that_may_be_any_other(hospital):
    asked, budget = hospital
    local = ["gaussian-dp(noise_multiplier=20, noise='local')"]
    asked(message={"batchnorm": "moments"}, privacy__example_noise=0.0, federation__postprocessors=local)
    (update,) = budget.updates()
    assert (update.releases.noise_multiplier, update.releases.count, update.releases.replace_one) == (
        20,
        1,
        True,
    )


def test_statistics_asked_for_by_a_message_are_those_that_came(hospital):
    asked, _ = hospital
    local = {"privacy__example_noise": 0.0, "model__normalization": "batch"}
    local["federation__postprocessors"] = ["gaussian-dp(noise_multiplier=20, noise='local')"]
    answer = asked(message={"batchnorm": "moments"}, **local)
    came = Study.of(Experiment.of(**{**PRIVATE, **local}), PROBLEM).initial()[1].statistics
    assert len(came)
    np.testing.assert_array_equal(arrays_of(answer.content.array_records["weights"])["statistics"], came)


def test_groups_of_simulated_clients_are_refused_at_a_site(hospital):
    asked, _ = hospital
    with pytest.raises(ConfigError, match="training in groups is for simulated clients"):
        asked("train.group", message={"clients": [0, 1]}, epsilon=0)


def test_clients_that_train_in_a_group_have_the_noise_that_they_have_alone(monkeypatch):
    settings = {
        **{name: value for name, value in PRIVATE.items() if not name.startswith("privacy__")},
        "training__layers": "head",
        "data__train_share": 0.5,
        "data__train_draw": 1,
        "federation__postprocessors": ["gaussian-dp(noise='local')"],
    }
    experiment = Experiment.of(**settings)
    study = Study.of(experiment)
    seeds = []
    monkeypatch.setattr(node, "postprocessed", lambda *given: seeds.append(given[3]) or given[1])
    frozen = {"frozen": study.classifier.layout.frozen}
    config = ConfigRecord({"round": 1, "clients": [0, 1], **frozen, **problem_config(study.problem)})
    content = RecordDict({"weights": weights_record(study.initial()[1]), "config": config})
    with server_identity():
        sent = Message(content, 1, "train.group")
        sent.metadata.__dict__["_message_id"] = "1"
        node.app(sent, Context(RUN_ID, 1, {}, RecordDict(), experiment.to_run_config()))
    assert seeds == [study.local_training.noise_seed] * 2 != [study.seed] * 2


@pytest.mark.parametrize(
    "given",
    [
        {"privacy-epsilon": 3.0},
        {"privacy-epsilon": 3.0, "privacy-delta": 0.01},
        {"privacy-epsilon": 0, "privacy-delta": 0.01, "privacy-ledger": "l"},
        {"privacy-epsilon": 3.0, "privacy-delta": 1, "privacy-ledger": "l"},
        {"privacy-epsilon": "3", "privacy-delta": 0.01, "privacy-ledger": "l"},
        {"privacy-epsilon": float("nan"), "privacy-delta": 0.01, "privacy-ledger": "l"},
    ],
    ids=str,
)
def test_half_a_budget_is_refused(given):
    with pytest.raises(ConfigError, match="a privacy budget has privacy-epsilon above 0"):
        SiteBudget.of(given, {})
