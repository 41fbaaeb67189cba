"""What the server's parts are made of, from made-up studies: each part is handed what it needs."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_study import LAYOUT, dataset, noting, shared, small_study, weights, with_parts

import server.model_parts
import server.parts
import server.rare_clients
from fedrobust.config import ConfigError
from fedrobust.defences.bit_depth import BitDepth
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Layout, Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.training.losses import BalancedSoftmax
from server.aggregation_step import AggregationStep
from server.baseline_parts import MOST_COMPARED
from server.callbacks import AttackSuccess, KeptRound, PGDProbe, PrivacySpent, UndefendedSnapshot, WorstClient
from server.parts import ServerParts
from server.rare_clients import RARE, rare_clients
from server.tolerance import tolerance_of

FLIP = {"poisoning__attack": "sign-flip", "poisoning__malicious": [1]}
CLASSIFIER = SimpleNamespace(name="net", layout=LAYOUT)


@pytest.fixture
def noted(monkeypatch):
    """Put functions in the place of the module's own, which note what they are given and return an answer each."""
    seen = []

    def put(**answers):
        for name, answer in answers.items():
            for module in (server.parts, server.model_parts):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, noting(seen, name, answer))
        return seen

    return put


def parts_of(images=None, partition=None, grid="grid", **settings) -> ServerParts:
    """Return the server's parts of a small study, with a model that answers nothing."""
    study = small_study(images, partition, **settings)
    return with_parts(ServerParts(study, grid, "pool"), initial=(CLASSIFIER, weights(1.0)))


# -- Who has which classes -----------------------------------------------------------------------------------------


def rare(malicious=()):
    """All: 12, 2 and 2 of 16 images. The halved distances are 3/4, 1/4, 1/8 and 7/8."""
    images, partition = shared((0, 1, 1), (8, 0, 0), (4, 0, 1), (0, 1, 0))
    counts = parts_of(images, partition, federation__clients=4).class_counts
    found = rare_clients(counts, malicious)
    assert all(type(client) is int for client in found)
    return found


def test_rare_clients_are_those_whose_classes_are_far_from_all(monkeypatch):
    assert RARE == 0.3
    assert rare() == [0, 3]
    # Whoever is at the border itself is rare.
    monkeypatch.setattr(server.rare_clients, "RARE", 0.25)
    assert rare() == [0, 1, 3]
    assert rare(malicious=(1,)) == [0, 3], "an attacker is no honest client"
    monkeypatch.setattr(server.rare_clients, "RARE", 0.8)
    assert rare() == [3]


def test_of_very_many_clients_none_is_compared():
    images, partition = shared((0, 1, 1), (8, 0, 0))
    assert MOST_COMPARED == 10_000
    ready = {"evaluator": "evaluator", "criterion": None}
    most = with_parts(parts_of(images, partition, federation__clients=10_000), **ready)
    more = with_parts(parts_of(images, partition, federation__clients=10_001), **ready)
    assert rare_clients(most.class_counts, ()) == [0]
    assert rare_clients(more.class_counts, ()) == []
    assert more.callbacks("folder")[0].mixes is None
    np.testing.assert_array_equal(most.callbacks("folder")[0].mixes, [[0, 0.5, 0.5], [1, 0, 0]])


# -- Federation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("malicious", [False, True])
def test_the_step_is_made_of_the_studys_parts(noted, malicious):
    """Client 0 is rare, which is only asked where somebody attacks."""
    seen = noted(root_update_of="root")
    images, partition = shared((0, 1, 1), (8, 0, 0))
    settings = {
        "federation__clients": 2,
        "federation__aggregator": "median",
        "federation__pre_aggregators": ["clipping(threshold=1.0)"],
        "federation__server_optimizer": "fedavgm",
        **(FLIP if malicious else {}),
    }
    parts = parts_of(images, partition, seed=5, **settings)
    study = with_parts(parts.study, local_training="training")
    step = parts.step
    assert isinstance(step, AggregationStep)
    assert seen == [("root_update_of", "training", images.validation, 2)]
    assert step.defence is study.defence
    assert step.optimizer is study.server_optimizer
    assert step.attack is study.attack
    assert step.schedule is study.schedule
    assert (step.tolerated, step.seed, step.root) == (study.tolerated, 5, "root")
    assert step.rare == ({0} if malicious else set())
    assert step.names == ("median", ("clipping(threshold=1.0)",))


def test_clients_are_asked_to_get_ready(noted):
    seen = noted(registry_of="registry")
    images, partition = shared((0, 1, 1), (8, 0, 0))
    parts = parts_of(images, partition, federation__clients=2, engine__client_timeout=7.0)
    assert parts.registry == "registry"
    ((_, grid, problem, layout, clients, sizes, timeout, round),) = seen
    assert (grid, layout, clients, timeout, round) == ("grid", LAYOUT, 2, 7.0, 1)
    assert (problem.image_shape, problem.classes) == ((5, 4, 1), 3)
    assert sizes().tolist() == [2, 8]


def test_clients_of_a_run_that_is_resumed_are_asked_for_its_next_round(tmp_path):
    run = RunFolder.create("run", str(tmp_path))
    Checkpoint(2, weights(1.0), weights(1.0), 0.0, "", {}).save(run)
    parts = parts_of(output__resume=True, output__dir=str(run.path))
    run.write_study(parts.study.experiment)
    assert parts.next_round == 3
    (run.path / "checkpoints").rename(run.path / "elsewhere")
    with pytest.raises(RunFolderError, match="it has no checkpoint"):
        _ = parts.next_round


def test_the_federation_is_made_of_its_clients_and_its_step():
    parts = with_parts(parts_of(seed=5), registry="registry", step=SimpleNamespace(secret=True))
    federation, settings = parts.federation, parts.study.experiment
    assert (federation.settings, federation.poisoning) == (settings.federation, settings.poisoning)
    assert (federation.layout, federation.problem) == (LAYOUT, parts.study.problem)
    assert (federation.registry, federation.step, federation.seed) == ("registry", parts.step, 5)
    sampling = federation.sampling
    assert (sampling.settings, sampling.registry, sampling.seed) == (settings.federation, "registry", 5)
    assert (sampling.availability, sampling.secret) == (parts.study.availability, True)


def test_tolerance_is_told_of_the_studys_own_attackers():
    settings = {"federation__clients": 10, "federation__participation": 0.5, "federation__aggregator": "krum"}
    parts = parts_of(**settings, **FLIP)
    study = parts.study
    assert parts.tolerance == tolerance_of(
        study.experiment.federation,
        study.defence,
        study.tolerated,
        study.schedule.malicious,
        study.availability,
    )
    assert (parts.tolerance.malicious, parts.tolerance.given) == (1, True)


@pytest.mark.parametrize(("attack", "sums"), [({}, True), (FLIP, False)])
def test_memory_is_checked_for_the_clients_of_a_round(noted, attack, sums):
    seen = noted(check_aggregation=None)
    parts = parts_of(federation__clients=10, federation__participation=0.4, **attack)
    with_parts(parts.study, local_training="training")
    images, partition = shared(*[(1, 1, 1)] * 10)
    with_parts(parts.study, dataset=images, partition=partition)
    parts.check_memory()
    assert seen == [("check_aggregation", LAYOUT, 4, sums)]


@pytest.mark.parametrize("policy", ["average", "recalibrate", "moments"])
def test_what_a_round_costs_is_told_of_the_federation(noted, policy, monkeypatch):
    monkeypatch.setattr(server.model_parts, "recalibration_of", lambda classifier: print)
    seen = noted(forecast_of="forecast")
    parts = with_parts(
        parts_of(model__batchnorm_policy=policy), federation="federation", tolerance={"clients": 1}
    )
    study = parts.study
    assert parts.forecast == "forecast"
    assert seen == [
        (
            "forecast_of",
            study.experiment,
            study.dataset,
            "federation",
            0,
            {"clients": 1},
            policy,
            CLASSIFIER,
        )
    ]


def test_a_simulation_says_how_many_clients_train_at_a_time(monkeypatch):
    class Simulated:
        workers = 3

    monkeypatch.setattr(server.model_parts, "SimulatedGrid", Simulated)
    assert parts_of(grid=Simulated()).workers == 3
    assert parts_of().workers == 0


# -- Rounds --------------------------------------------------------------------------------------------------------


def test_the_round_loop_is_handed_its_settings_and_parts():
    settings = {
        "federation__rounds": 4,
        "federation__patience": 2,
        "engine__client_timeout": 7.0,
        "model__batchnorm_policy": "average",
    }
    images, partition = shared((0, 1, 1), (8, 0, 0))
    ready = {"federation": "federation", "evaluator": "evaluator", "criterion": "aim"}
    parts = with_parts(parts_of(images, partition, **settings), **ready)
    rounds = parts.rounds("folder")
    assert (rounds.grid, rounds.federations, rounds.evaluator) == ("grid", ("federation",), "evaluator")
    assert rounds.settings == parts.study.experiment.evaluation
    assert (rounds.rounds, rounds.patience, rounds.timeout) == (4, 2, 7.0)
    assert rounds.recalibrate is None
    assert [type(callback) for callback in rounds.callbacks] == [
        WorstClient,
        PGDProbe,
        AttackSuccess,
        UndefendedSnapshot,
        PrivacySpent,
        KeptRound,
    ]


@pytest.mark.parametrize(
    ("settings", "epsilon"),
    [
        ({}, None),
        ({"training__recipe": "fgsm", "training__epsilon": 0.02}, 0.02),
        ({"training__recipe": "pgd", "training__epsilon": 0.02, "training__space": "prepared"}, None),
        (
            {
                "training__recipe": "pgd",
                "training__epsilon": 0.02,
                "training__space": "prepared",
                "evaluation__space": "prepared",
            },
            0.02,
        ),
    ],
)
def test_training_is_watched_where_clients_train_adversarially_in_the_space_of_the_evaluation(
    settings, epsilon
):
    images, partition = shared((0, 1, 1), (8, 0, 0))
    parts = with_parts(parts_of(images, partition, **settings), evaluator="evaluator", criterion="aim")
    _, probe, *_ = parts.callbacks("folder")
    assert (probe.evaluator, probe.epsilon) == ("evaluator", epsilon)


def test_callbacks_know_the_aim_and_the_round_in_which_the_recipe_begins():
    images, partition = shared((0, 1, 1), (8, 0, 0))
    settings = {"training__recipe": "pgd", "training__recipe_from": 4}
    parts = with_parts(parts_of(images, partition, **settings), evaluator="evaluator", criterion="aim")
    _, _, success, snapshot, spent, kept = parts.callbacks("folder")
    assert (success.evaluator, success.criterion) == ("evaluator", "aim")
    assert (snapshot.classifier, snapshot.folder, snapshot.recipe_from) == (CLASSIFIER, "folder", 4)
    assert spent.promise is None
    assert (kept.folder, kept.every) == ("folder", 0)


def test_statistics_are_measured_on_a_sample_of_the_validation_split(noted, monkeypatch):
    parts = parts_of(model__batchnorm_policy="recalibrate", seed=5)
    images = parts.study.dataset
    seen = noted(calibration_sample=images.validation)
    monkeypatch.setattr(
        server.model_parts,
        "recalibration_of",
        lambda classifier: lambda given, images: (classifier, given, images),
    )
    given = Weights(np.zeros(2, np.float32), np.zeros(1, np.float32))
    assert parts.recalibrate(given) == (CLASSIFIER, given, images.validation.images)
    assert seen == [("calibration_sample", images.validation, 5)]
    assert parts_of(model__batchnorm_policy="average").recalibrate is None


@pytest.mark.parametrize(
    ("asked", "clients", "validation", "found"),
    [
        ("auto", 2, 64, "recalibrate"),
        ("auto", 2, 63, "moments"),
        ("auto", 1, 64, "average"),
        ("average", 2, 64, "average"),
        ("recalibrate", 1, 3, "recalibrate"),
        ("moments", 2, 64, "moments"),
    ],
)
def test_statistics_are_measured_unasked_where_that_is_better(asked, clients, validation, found, monkeypatch):
    monkeypatch.setattr(server.model_parts, "recalibration_of", lambda classifier: print)
    images = dataset(validation=[0, 1] * (validation // 2) + [1] * (validation % 2))
    parts = parts_of(images, federation__clients=clients, model__batchnorm_policy=asked)
    assert parts.batchnorm_policy == found
    assert (parts.recalibrate is None) == (found != "recalibrate")
    told = {
        "recalibrate": ", BatchNorm statistics measured on validation images",
        "moments": ", BatchNorm statistics measured by the clients",
        "average": ", BatchNorm statistics averaged",
    }
    assert parts.batchnorm.startswith(told[found] if asked == "auto" else "")
    assert bool(parts.batchnorm) == (asked == "auto")


def test_a_model_without_statistics_has_no_policy(monkeypatch):
    parts = with_parts(parts_of(), initial=(SimpleNamespace(layout=Layout(())), None))
    assert (parts.batchnorm_policy, parts.recalibrate, parts.batchnorm) == ("none", None, "")


# -- After the rounds ----------------------------------------------------------------------------------------------


def test_the_evaluator_is_that_of_the_global_model(monkeypatch):
    seen = []
    monkeypatch.setattr(
        server.model_parts, "Evaluator", SimpleNamespace(of=noting(seen, "evaluator", "evaluator"))
    )
    parts = parts_of(seed=5)
    study = parts.study
    assert parts.evaluator == "evaluator"
    assert seen == [
        (
            "evaluator",
            study.experiment.evaluation,
            study.threat,
            5,
            study.dataset,
            CLASSIFIER,
            "pool",
            study.metrics,
            None,
            study.evasion,
        )
    ]


def test_an_auditor_is_there_where_the_study_wants_an_audit():
    assert parts_of(audit__enabled=False).auditor is None
    parts = parts_of(name="mine", seed=5, training__recipe="pgd")
    auditor, study = parts.auditor, parts.study
    assert auditor.settings == study.experiment.audit
    assert (auditor.name, auditor.recipe, auditor.seed, auditor.base) == ("mine", "pgd", 5, None)
    assert auditor.threat is study.threat


@pytest.mark.parametrize("exported", [False, True])
def test_a_student_is_planned(noted, exported):
    seen = noted(plan_distillation="plan", student_of="student")
    assert parts_of(distillation__enabled=False, export__enabled=False).distillation is None
    settings = {"export__enabled": exported, "export__formats": ["int8"]}
    settings |= {"training__class_weights": "balanced" if exported else "none"}
    settings |= {"training__loss": "balanced-softmax" if exported else "tempered-cross-entropy"}
    parts = parts_of(seed=5, **settings)
    study = with_parts(parts.study, public="public")
    assert parts.distillation == "plan"
    assert seen == [
        ("student_of", study),
        (
            "plan_distillation",
            study.experiment.distillation,
            study.dataset,
            "public",
            ("int8",) if exported else (),
            "student",
            5,
            study.distillation_method,
            exported,
            BalancedSoftmax() if exported else None,
        ),
    ]


def test_rules_and_teachers_ask_models_as_clients_train_them():
    """Behind the defence their statistics, which are not moved for it, would answer for another model."""
    parts = parts_of(seed=5)
    inline = SimpleNamespace(map=map)
    shape, classes = parts.study.dataset.image_shape, parts.study.dataset.classes
    bare, behind = (
        build_classifier("edge-cnn", shape, classes, image_size=16, defence=one)
        for one in (None, BitDepth(bits=1))
    )
    start, images = bare.initial_weights(), parts.study.dataset.test.images[:8]
    plain = with_parts(parts_of(seed=5), initial=(bare, start))
    assert plain.undefended.classifier is bare
    with_parts(parts, initial=(behind, start))
    assert parts.undefended.classifier.defence is None
    vars(parts.undefended)["pool"] = vars(parts.evaluator)["pool"] = vars(plain.evaluator)["pool"] = inline
    found = parts.undefended.clean_logits(start, images)
    np.testing.assert_allclose(found, plain.evaluator.clean_logits(start, images), atol=1e-5)
    assert not np.allclose(found, parts.evaluator.clean_logits(start, images))


def test_an_attacks_aim_is_seen_on_the_test_split():
    seen = []
    parts = parts_of(seed=5)
    with_parts(parts.study, attack=SimpleNamespace(criterion=noting(seen, "criterion", "aim")))
    assert parts.criterion == "aim"
    ((_, images, context),) = seen
    assert images is parts.study.dataset.test
    assert (context.classes, context.seed) == (3, 5)


def test_no_attack_has_no_aim():
    assert parts_of().criterion is None


# -- What a study says of itself -----------------------------------------------------------------------------------


def test_an_attack_is_remarked_on_for_those_of_a_round():
    seen = []
    settings = {"federation__clients": 10, "federation__participation": 0.4}
    attack = SimpleNamespace(remarks=lambda context: seen.append(context) or ["weak"])
    parts = parts_of(**settings)
    with_parts(parts.study, attack=attack)
    assert (parts.remarks(), seen) == ([], [])
    parts = parts_of(**settings, poisoning__attack="sign-flip", poisoning__malicious=[1, 3])
    with_parts(parts.study, attack=attack)
    assert parts.remarks() == ["weak"]
    (context,) = seen
    assert (context.malicious, context.clients, context.sampled) == (2, 10, 4)


@pytest.mark.parametrize(
    ("schedule", "share"), [("linear", "1.7 %"), ("cosine", "0.093 %"), ("constant", "")]
)
def test_clients_that_teach_at_almost_no_learning_rate_are_remarked_on(schedule, share):
    settings = {"federation__rounds": 30, "training__schedule": schedule, "distillation__teacher": "clients"}
    said = parts_of(distillation__enabled=True, **settings).remarks()
    assert len(said) == bool(share)
    assert all(f'training.schedule = "{schedule}": clients that' in one for one in said)
    assert all(f"is {share} of training.learning-rate" in one for one in said)
    assert all('set training.schedule = "constant"' in one for one in said)
    without = {**settings, "distillation__enabled": False, "export__enabled": False}
    assert parts_of(**without).remarks() == []
    others = {**settings, "distillation__enabled": True, "distillation__teacher": "global-model"}
    assert parts_of(**others).remarks() == []


def test_a_study_in_one_line():
    settings = {"federation__clients": 2, "model__name": "cnn-small", "data__partition": "iid"}
    settings |= {"model__batchnorm_policy": "average"}
    images, partition = shared((2, 2, 0), (1, 0, 3))
    start = "made-up: 8 images over 2 clients (iid; 2 to 9 each), cnn-small from random weights"
    assert parts_of(images, partition, **settings).summary() == start
    attacked = parts_of(images, partition, **settings, **FLIP).summary()
    assert attacked == f"{start}; 1 malicious: sign-flip"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"training__recipe": "gradient-penalty"},
        {"training__recipe": "pgd", "training__space": "prepared"},
    ],
)
def test_robust_accuracy_selects_only_where_it_is_measured(settings):
    robust = {"evaluation__select": "best", "evaluation__select_by": "robust-accuracy"}
    with pytest.raises(ConfigError, match=r'select-by = "robust-accuracy" with training\.recipe'):
        _ = parts_of(**robust, **settings).selection
    assert parts_of(**robust, training__recipe="trades").selection.settings.select_by == "robust-accuracy"
