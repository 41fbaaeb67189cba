"""Whole runs, small and real."""

import json
from typing import Any

import keras
import numpy as np
import pytest
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

import fedrobust
from clients.app import app as honest
from clients.client import Client
from fedrobust.config import Experiment
from fedrobust.engines.simulate import simulate
from fedrobust.errors import FedrobustError
from fedrobust.randomness import Purpose, generator, graph_seed
from fedrobust.runs.events import RoundFinished, StudyStarted
from fedrobust.runs.run import Run
from fedrobust.study import Study
from fedrobust.training.batches import draw_batches
from fedrobust.training.training_data import TrainingData
from server.errors import RoundError

SMALL = {
    "data__samples": 200,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 4,
    "federation__rounds": 2,
    "training__batch_size": 16,
    "evaluation__epsilons": [0.005, "8/255"],
    "evaluation__examples": 3,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


def small(tmp_path, **settings) -> Experiment:
    return Experiment.quickstart(**{**SMALL, "output__root": str(tmp_path), **settings})


def test_a_whole_study_leaves_everything_behind(tmp_path):
    events = []
    run = fedrobust.run(
        small(
            tmp_path,
            federation__rounds=3,
            data__samples=600,
            training__learning_rate=0.01,
            audit__enabled=True,
            audit__images=20,
            audit__effort="quick",
            distillation__enabled=True,
            distillation__student="edge-cnn(width=8)",
            distillation__epochs=6,
            distillation__copies=1,
            distillation__batch_size=16,
            distillation__learning_rate=0.01,
            export__enabled=True,
        ),
        events.append,
        out=tmp_path / "here",
    )
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "experiment.toml",
        "base.json",
        "environment.json",
        "card.json",
        "classify.py",
        "labels.txt",
        "audit",
        "partition.json",
        "metrics.jsonl",
        "result.json",
        "examples.npz",
        "model.keras",
        "student.keras",
        "student.float32.tflite",
        "student.int8.tflite",
        "report.html",
    }
    result = run.result
    assert result["status"] == "finished"
    assert [entry["round"] for entry in result["rounds"]] == [1, 2, 3]
    assert [event.record.round for event in events if isinstance(event, RoundFinished)] == [1, 2, 3]
    last = result["rounds"][-1]
    assert last["clients"]["trained"] == 4
    assert last["clients"]["failed"] == 0
    assert set(last["robust"]["fgsm"]) == {"0.005", "8/255"}
    assert last["clean"]["n"] == 500
    assert last["clean"]["majority_rate"] == 0.6
    # It learns, its interval excludes the majority class, FGSM hurts, and the student has learnt from it.
    assert last["clean"]["interval"]["accuracy"][0] > 0.6
    assert last["clean"]["balanced_accuracy"] > 0.7
    assert last["robust"]["fgsm"]["8/255"]["accuracy"] < last["clean"]["accuracy"] - 0.1
    assert result["student"]["clean"]["balanced_accuracy"] > 0.65
    assert result["student"]["distillation"]["images"] == 300
    float32, int8 = result["export"]
    assert float32["agreement"] == 1.0
    assert int8["agreement"] > 0.95
    assert int8["bytes"] < 0.5 * float32["bytes"]
    lines = [json.loads(line) for line in run.folder.file("metrics.jsonl").read_text().splitlines()]
    assert lines == result["rounds"]
    table = run.rounds
    assert list(table["round"]) == [1, 2, 3]
    assert table["fgsm 8/255 accuracy"].iloc[-1] == last["robust"]["fgsm"]["8/255"]["accuracy"]
    partition = run.folder.read_json("partition.json")
    assert sorted(place for shard in partition["indices"] for place in shard) == list(range(600))
    # The saved model is the one that was measured.
    dataset = fedrobust.load_dataset("phantom", samples=600)
    logits = run.model()(dataset.test.images.astype(np.float32) / 255.0).numpy()
    assert (
        int((logits.argmax(1) == dataset.test.labels).sum()) == result["model-evaluation"]["clean"]["correct"]
    )
    assert Run.open(run.path).experiment.to_dict() == run.experiment.to_dict()


def digest(experiment: Experiment, **apps: str) -> str:
    """Return the digest of the model that a study ends with; no client may fail on the way."""
    return bits(experiment, **apps)[-1]


def bits(experiment: Experiment, **apps: str) -> list[Any]:
    """Return what a study's rounds recorded of clients and scores, and at last the digest of its model."""
    result = simulate(experiment, **apps).result
    clients = [
        {name: value for name, value in entry["clients"].items() if name != "seconds"}
        for entry in result["rounds"]
    ]
    assert [each["failures"] for each in clients] == [[]] * len(clients)
    scores = [{**entry["clean"], **entry["robust"]} for entry in result["rounds"]]
    return [*zip(clients, scores, strict=True), result["model"]["digest"]]


@pytest.mark.slow
def test_same_seed_same_bits_with_any_number_of_workers_in_one_process(tmp_path):
    """`test_workers.py` tests the command, each run in a process of its own."""
    settings = {
        "data__partition": "dirichlet(min_size=1)",
        "federation__participation": 0.6,
        "training__recipe": "pgd",
    }
    # Rounds before the digest: where they differ, they show from which round and client on.
    alone, two, four = (bits(small(tmp_path, engine__workers=workers, **settings)) for workers in (1, 2, 4))
    assert two == alone
    assert four == alone
    assert digest(small(tmp_path, seed=1, engine__workers=2, **settings)) != alone[-1]


def test_statistics_that_clients_measure_make_the_model_answer_where_their_mean_does_not(tmp_path):
    """Clients of few steps: moving statistics have hardly left 0 and 1."""
    settings = {"federation__rounds": 1, "model__batchnorm_momentum": 0.99}
    loss, made = {}, {}
    for policy, workers in (("average", 1), ("moments", 1), ("moments", 2)):
        run = fedrobust.run(
            small(tmp_path, model__batchnorm_policy=policy, engine__workers=workers, **settings)
        )
        loss[policy] = run.record.rounds[-1].clean.loss
        made[policy, workers] = run.record.model.digest
        assert run.record.model.batchnorm == policy
    assert loss["moments"] < loss["average"]
    assert made["moments", 1] == made["moments", 2]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_federation_of_one_is_local_training_to_the_bit(tmp_path, optimizer):
    experiment = small(
        tmp_path,
        federation__clients=1,
        federation__rounds=1,
        training__optimizer=optimizer,
        model__batchnorm_policy="average",
    )
    study = Study.of(experiment)
    shard = study.shard(0)
    assert len(shard) == 200
    batches = draw_batches(np.arange(200), 1, 16, generator(0, Purpose.TRAINING, round=1, partition=0))
    _, start = study.initial()
    weights, _ = study.local_training.update(experiment.training)(
        start,
        TrainingData.of(shard.images, shard.labels),
        batches,
        [0.001] * len(batches.sizes),
        graph_seed(0, Purpose.TRAINING, round=1, partition=0),
    )
    assert digest(experiment) == weights.digest()


def test_hospitals_with_class_weights_train_otherwise(tmp_path):
    study = Study.of(small(tmp_path, data__partition="dirichlet(min_size=1)"))
    balanced = Study.of(
        small(tmp_path, data__partition="dirichlet(min_size=1)", training__class_weights="balanced")
    )
    _, weights = study.initial()
    shard = study.shard(0)
    layout = study.classifier.layout
    plain, metrics = Client(0, shard, study.local_training, layout).train(weights, 1, {})
    other, _ = Client(0, shard, balanced.local_training, layout).train(weights, 1, {})
    assert plain.weights.digest() != other.weights.digest()
    assert metrics["num-examples"] == len(study.partition.shards[0])


def wrapped(behaviour) -> ClientApp:
    """The project's client app with `behaviour(message, context)` in front of its training."""
    app = ClientApp()

    @app.query()
    def introduce(message: Message, context: Context) -> Message:
        return honest(message, context)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return behaviour(message, context)

    return app


def two_clients_fail(message: Message, context: Context) -> Message:
    partition = context.node_config["partition-id"]
    if partition == 1:
        raise MemoryError("out of memory")
    reply = honest(message, context)
    if partition == 3:
        from flwr.app import Array

        record: Any = reply.content["weights"]
        broken = record["trainable"].numpy().copy()
        broken[7] = np.nan
        record["trainable"] = Array(broken)
    return reply


failing_app = wrapped(two_clients_fail)


def test_clients_that_fail_are_reported_and_left_out(tmp_path):
    experiment = small(tmp_path, federation__rounds=1)
    run = simulate(experiment, client_app=f"{__name__}:failing_app")
    clients = run.result["rounds"][0]["clients"]
    assert (clients["sampled"], clients["trained"], clients["failed"]) == (4, 2, 2)
    assert clients["failures"] == [
        {"partition": 1, "reason": "MemoryError: out of memory"},
        {
            "partition": 3,
            "reason": "trainable has 1 numbers that are not finite, the first in stage1_convolution/kernel",
        },
    ]
    assert run.status == "finished"
    assert "out of memory" in run.report.read_text()


def test_too_few_clients_end_the_run_and_keep_its_folder(tmp_path):
    experiment = small(tmp_path, federation__min_replies=0.75)
    folders = []
    with pytest.raises(
        RoundError, match=r"round 1: 2 of 4 sampled clients are left.*asks for 3.*out of memory"
    ):
        simulate(
            experiment,
            lambda event: folders.append(event.folder) if isinstance(event, StudyStarted) else None,
            client_app=f"{__name__}:failing_app",
        )
    run = Run.open(folders[0])
    assert run.status == "failed"
    assert "2 of 4 sampled clients" in run.result["error"]
    assert run.result["rounds"][0]["clients"]["failed"] == 2
    assert run.report.exists()


def test_the_best_round_is_kept_if_asked_for(tmp_path):
    run = simulate(small(tmp_path, federation__rounds=3, evaluation__select="best"))
    scores = [entry["validation"]["auc"] for entry in run.result["rounds"]]
    chosen = run.result["model"]["selected-round"]
    assert scores[chosen - 1] == max(scores)
    assert run.result["model-evaluation"]["clean"] == run.result["rounds"][chosen - 1]["clean"]


def test_rounds_between_evaluations_are_not_measured(tmp_path):
    run = simulate(small(tmp_path, federation__rounds=3, evaluation__every=2))
    assert [entry["clean"] is not None for entry in run.result["rounds"]] == [False, True, True]
    assert run.rounds["accuracy"].isna().tolist() == [True, False, False]


@pytest.mark.slow
def test_prepared_space_runs_to_the_end(tmp_path):
    run = simulate(
        small(
            tmp_path,
            model__image_size=32,
            federation__rounds=1,
            evaluation__space="prepared",
            training__space="prepared",
            training__recipe="fgsm",
            distillation__enabled=True,
            distillation__epochs=1,
            export__enabled=True,
            export__formats=["float32"],
        )
    )
    assert run.result["export"][0]["agreement"] == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"federation__clients": 201}, "201 clients"),
        ({"distillation__enabled": True, "distillation__public": "OWN"}, r"images of \(28, 28, 1\)"),
        (
            {"distillation__enabled": True, "distillation__student": "mobilenetv2"},
            "image-size = 28: mobilenetv2",
        ),
        ({"model__name": "resnet50"}, "image-size = 28: resnet50"),
        ({"federation__aggregator": "tests.none:Rule"}, "cannot import"),
        ({"training__recipe": "json:loads"}, "training.recipe"),
        ({"federation__aggregator": "fltrust(images=9999)"}, "images = 9999: the root images come from"),
        ({"poisoning__attack": "tests.none:Attack", "poisoning__malicious": 1}, "cannot import"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(tmp_path, settings, message):
    settings = {key: str(own_set(tmp_path)) if value == "OWN" else value for key, value in settings.items()}
    with pytest.raises(FedrobustError, match=message):
        fedrobust.run(small(tmp_path / "runs", data__channels=3, **settings))
    assert not (tmp_path / "runs").exists()


def own_set(tmp_path):
    dataset = Study.of(Experiment.quickstart(data__samples=60)).dataset
    path = tmp_path / "own.npz"
    arrays = {}
    for name, split in [("train", dataset.train), ("val", dataset.validation), ("test", dataset.test)]:
        arrays[f"{name}_images"], arrays[f"{name}_labels"] = split.images[..., 0], split.labels[:, None]
    np.savez(path, **arrays)
    return path


def test_an_own_file_is_the_set_it_was_written_from(tmp_path):
    path = own_set(tmp_path)
    settings = {"data__samples": 60, "federation__rounds": 1}
    assert digest(small(tmp_path, **settings)) == digest(small(tmp_path, data__name=str(path), **settings))


@pytest.mark.slow
def test_a_public_set_teaches_the_student(tmp_path):
    run = simulate(
        small(
            tmp_path,
            federation__rounds=1,
            distillation__enabled=True,
            distillation__epochs=1,
            distillation__public=str(own_set(tmp_path)),
        )
    )
    assert run.result["student"]["distillation"]["images"] == 60
    assert run.result["student"]["distillation"]["source"] == "own, training split"


def test_real_data_by_name(tmp_path, real_data):
    run = simulate(small(tmp_path, data__name="breastmnist", data__root=str(real_data), federation__rounds=1))
    assert run.result["dataset"]["counts"]["test"] == [42, 114]
    assert run.result["rounds"][0]["clean"]["majority_rate"] == pytest.approx(114 / 156)


@pytest.mark.slow
def test_a_recipe_may_begin_later_and_what_was_before_is_the_audits_control(tmp_path):
    settings = {
        "federation__clients": 1,
        "audit__enabled": True,
        "audit__images": 40,
        "audit__effort": "quick",
    }
    plain = fedrobust.run(small(tmp_path, **settings, federation__rounds=1), out=tmp_path / "plain")
    run = fedrobust.run(
        small(
            tmp_path,
            **settings,
            federation__rounds=2,
            training__recipe="fgsm(epsilon='2/255')",
            training__recipe_from=2,
            evaluation__every=2,
        ),
        out=tmp_path / "later",
    )
    before = keras.models.load_model(run.path / "undefended.keras").get_weights()
    alone = keras.models.load_model(plain.path / "model.keras").get_weights()
    assert all((one == other).all() for one, other in zip(before, alone, strict=True))
    after = keras.models.load_model(run.path / "model.keras").get_weights()
    assert any((one != other).any() for one, other in zip(before, after, strict=True))
    outcomes = {check["check"]: check["outcome"] for check in run.result["audit"]["checks"]}
    assert outcomes["control: no better than the undefended model"] in ("passed", "failed")
    assert {check["check"]: check["outcome"] for check in plain.result["audit"]["checks"]}[
        "control: no better than the undefended model"
    ] == "not applicable"


@pytest.mark.slow
def test_a_student_is_audited_beside_its_twin_that_learnt_from_labels(tmp_path):
    run = fedrobust.run(
        small(
            tmp_path,
            audit__enabled=True,
            audit__images=40,
            audit__student=True,
            distillation__enabled=True,
            distillation__epochs=3,
        ),
        out=tmp_path / "here",
    )
    card = run.result["student"]["audit"]
    assert card == json.loads((run.path / "card-student.json").read_text())
    assert card["model"]["name"].endswith("student")
    assert "Is the student robust?" in run.report.read_text()
    assert card["model"]["digest"] != run.result["audit"]["model"]["digest"]
    outcomes = {check["check"]: check["outcome"] for check in card["checks"]}
    assert outcomes["control: no better than the undefended model"] in ("passed", "failed")
    assert outcomes["gradient masking: transfer beats white-box"] in ("passed", "failed")


def test_images_are_resampled_on_the_client_and_no_copy_counts_as_a_patient(tmp_path):
    settings = {
        "federation__rounds": 1,
        "federation__clients": 2,
        "data__undersample": True,
        "data__augment": 2,
    }
    experiment = small(tmp_path, **settings)
    study = Study.of(experiment)
    shard = study.shard(0)
    _, start = study.initial()
    client = Client(0, shard, study.local_training, study.classifier.layout)
    sent, metrics = client.train(start, 1, {})
    assert metrics["examples"] == 3 * 2 * min(shard.counts(2))
    assert metrics["num-examples"] == len(shard)
    assert sent.weights.digest() == client.train(start, 1, {})[0].weights.digest()
    run = fedrobust.run(experiment, out=tmp_path / "here")
    assert run.result["rounds"][0]["clients"]["trained"] == 2
    assert run.result["forecast"]["steps"] >= 2 * metrics["steps"]


def test_a_control_that_cannot_be_used_is_refused_before_anything_is_trained(tmp_path):
    experiment = small(tmp_path, audit__enabled=True, audit__control="nowhere.keras")
    with pytest.raises(FedrobustError, match=r"nowhere\.keras"):
        fedrobust.run(experiment, out=tmp_path / "here")
    assert not (tmp_path / "here").exists()
