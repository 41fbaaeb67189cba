"""What the models of a run are worth to clients, on a linear model whose answers are known."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from flwr.app import RecordDict
from flwr.common.serde import recorddict_to_proto

import fedrobust
from fedrobust.algorithms import Ditto, FedAvg
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Split
from fedrobust.evasion import Threat
from fedrobust.flower.records import arrays_record
from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.study import Study
from server.parts import ServerParts
from server.stages.clients import CONFIDENCE, ClientComparison, LocalBaseline, kept_by, spread
from server.stages.evaluation import Evaluator

BRIGHT, DARK = (np.full((4, 4, 1), level, np.uint8) for level in (200, 20))
COUNTS = np.array([[8.0, 2.0], [0.0, 10.0], [5.0, 5.0], [10.0, 0.0]])


def weights(slope=1.0, bias=-0.4) -> Weights:
    """Class 1 where slope times the mean pixel plus bias is positive."""
    kernel = np.zeros((16, 2))
    kernel[:, 1] = slope / 16
    return Weights(np.concatenate([kernel.ravel(), [0.0, bias]]).astype(np.float32), np.zeros(0, np.float32))


RIGHT, ALWAYS, NEVER = weights(), weights(0, 1), weights(0, -1)
"""Right for all test images; class 1 for all; class 0 for all."""


@pytest.fixture
def evaluator(linear_classifier):
    images = np.stack([BRIGHT] * 60 + [DARK] * 60)
    test = Split(images, np.repeat([1, 0], 60).astype(np.int32))
    few = Split(test.images[59:61], test.labels[59:61])
    whole = fedrobust.load_dataset("phantom", samples=60)
    dataset = replace(whole, train=few, validation=few, test=test)
    return Evaluator.of(
        Experiment.of().evaluation, Threat(), 5, dataset, linear_classifier, ThreadPoolExecutor(1)
    )


def state_of(selected, **kept):
    clients = {
        int(node.removeprefix("node")): recorddict_to_proto(
            RecordDict(
                {"algorithm": arrays_record({"trainable": one.trainable, "statistics": one.statistics})}
            )
        ).SerializeToString()
        for node, one in kept.items()
    }
    return Checkpoint(3, selected, selected, 0.0, "", {}, {}, clients)


def compared(evaluator, algorithm, state, baseline=None, clients=(0, 1, 2)):
    return ClientComparison(evaluator, algorithm, COUNTS, clients, 4, baseline)(state)


def test_each_client_is_told_what_each_model_is_worth_to_it(evaluator):
    """The federation ends with class 1 for all; alone each client learns to answer right."""
    record = compared(evaluator, FedAvg(), state_of(ALWAYS), lambda client: RIGHT)
    found = [
        (one.client, one.images, one.global_model.accuracy, one.local.accuracy) for one in record.clients
    ]
    assert found == [(0, 10, pytest.approx(0.2), 1.0), (1, 10, 1.0, 1.0), (2, 10, 0.5, 1.0)]
    assert [one.gain for one in record.clients] == pytest.approx([-0.8, 0, -0.5])
    assert [one.global_model.balanced_accuracy for one in record.clients] == [0.5, 1.0, 0.5]
    assert (record.worse, record.better, record.population) == ((0, 2), (), 4)
    assert record.confidence == pytest.approx(1 - (1 - CONFIDENCE) / 3)


def test_the_auc_is_that_on_all_test_images(evaluator):
    """One half has class 1; the model that is right ranks all of them right, others tell no image from another."""
    record = compared(evaluator, FedAvg(), state_of(ALWAYS), lambda client: RIGHT)
    assert [(one.global_model.auc, one.local.auc) for one in record.clients] == [(0.5, 1.0)] * 3
    lost = replace(RIGHT, trainable=np.full_like(RIGHT.trainable, np.nan))
    assert compared(evaluator, FedAvg(), state_of(RIGHT), lambda client: lost).clients[0].local.auc is None


def test_who_has_a_personal_model_is_compared_by_it(evaluator):
    record = compared(evaluator, Ditto(), state_of(ALWAYS, node1=RIGHT, node3=NEVER), lambda client: NEVER)
    one, two, three = record.clients
    assert (one.global_model.accuracy, one.personal.accuracy) == (pytest.approx(0.2), 1.0)
    assert two.personal.accuracy == two.global_model.accuracy == 1, "it never took part"
    assert (three.personal.accuracy, three.gain) == (0.5, 0)
    assert (record.better, record.worse) == ((0, 1), ())


def test_without_a_baseline_nobody_is_better_or_worse(evaluator):
    record = compared(evaluator, Ditto(), state_of(RIGHT))
    assert [(one.local, one.gain, one.interval) for one in record.clients] == [(None, None, None)] * 3
    assert (record.better, record.worse) == ((), ())


def test_the_baseline_goes_on_from_its_own_weights_and_nobody_elses():
    asked = []

    def training(shard, start, round, client, changed):
        asked.append((shard, round, client, changed))
        return replace(start, trainable=start.trainable + round), {}

    start = Weights(np.zeros(1, np.float32), np.zeros(0, np.float32))
    alone = LocalBaseline(
        training, lambda client: f"images of {client}", start, (1, 3), lambda client: {"epochs": client}
    )
    assert alone(2).trainable.tolist() == [4]
    assert asked == [("images of 2", 1, 2, {"epochs": 2}), ("images of 2", 3, 2, {"epochs": 2})]


def test_statistics_of_the_clients_own_models_are_measured_on_its_images(evaluator):
    measured = []

    def recalibrated(client, found):
        measured.append((client, found.digest()))
        return RIGHT

    whole = ClientComparison(evaluator, Ditto(), COUNTS, (0, 2), 4, lambda client: NEVER, recalibrated)
    record = whole(state_of(ALWAYS, node1=NEVER))
    assert measured == [
        (client, own.digest()) for client, own in ((0, NEVER), (0, NEVER), (2, NEVER), (2, ALWAYS))
    ]
    assert [one.personal.accuracy for one in record.clients] == [1, 1]
    assert [one.global_model.accuracy for one in record.clients] == pytest.approx([0.2, 0.5])


def test_a_client_that_kept_nothing_has_no_state():
    assert kept_by({}, 0) == {}
    assert kept_by(state_of(RIGHT, node2=RIGHT).clients, 1)["trainable"].shape == RIGHT.trainable.shape


def test_many_clients_are_thinned_out_evenly():
    assert spread([2, 3, 5, 7, 11, 13, 17], 3) == [2, 7, 17]
    assert spread(range(4), 9) == [0, 1, 2, 3]
    assert spread([6], 1) == [6]
    assert spread(range(1, 11), 1) == [5]


SMALL = {
    "data__samples": 60,
    "data__partition": "pathological(classes_per_client=1)",
    "federation__clients": 3,
    "federation__rounds": 2,
    "training__algorithm": "fedper",
    "evaluation__attacks": (),
    "evaluation__examples": 0,
    "evaluation__baselines": ["local"],
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
    "poisoning__attack": "label-flip",
    "poisoning__malicious": [1],
}


def test_a_run_compares_its_honest_clients_with_any_number_of_workers(tmp_path):
    one = fedrobust.run(out=tmp_path / "one", **SMALL).record.clients
    other = fedrobust.run(out=tmp_path / "other", engine__workers=3, **SMALL).record.clients
    assert one == other
    assert ([each.client for each in one.clients], one.population) == ([0, 2], 2)
    assert all(each.local and each.personal and each.global_model for each in one.clients)
    assert all(low <= each.gain <= high for each in one.clients for low, high in [each.interval])


@dataclass
class FlowersOwnGrid:
    """No simulation: the clients' images are not here."""


def test_local_models_are_refused_where_the_images_are_elsewhere():
    for settings, message in (
        ({"evaluation__baselines": ["local"]}, r"evaluation.baselines = \['local'\].*simulation"),
        ({"training__algorithm": "ditto"}, ""),
    ):
        study = Study(Experiment.of(data__samples=60, **settings))
        parts = ServerParts(study, FlowersOwnGrid(), None)
        if message:
            with pytest.raises(ConfigError, match=message):
                parts.client_comparison  # noqa: B018
        else:
            assert parts.client_comparison is None
