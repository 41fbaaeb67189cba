import numpy as np
import pytest

from clients.client import Client
from fedrobust.config import Experiment
from fedrobust.study import Study

SMALL = {
    "model__name": "edge-cnn",
    "model__image_size": 16,
    "data__samples": 200,
    "data__partition": "dirichlet(alpha=0.5)",
    "federation__clients": 7,
    "training__layers": "head",
}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "training__epochs": 3,
            "training__batch_size": 7,
            "training__schedule": "cosine",
            "training__warmup": 0.2,
            "training__class_weights": "balanced",
            "training__loss": "balanced-softmax",
            "training__algorithm": "fedprox(mu=0.5)",
        },
        {"training__batch_size": 4, "federation__availability": ["0-3: straggler", "5: dropout"]},
    ],
)
def test_clients_of_a_group_learn_what_they_learn_alone_to_the_bit(settings):
    study = Study(Experiment.of(**SMALL, **settings))
    start = study.initial()[1]
    clients = [5, 0, 3, 6, 1]
    together = study.group_training(clients, start, round=2)
    for client, (weights, metrics) in zip(clients, together, strict=True):
        one = Client(
            client, study.shard(client), study.local_training, study.classifier.layout, work=study.work
        )
        alone, told = one.train(start, 2, {})
        assert weights.digest() == alone.weights.digest()
        assert {**metrics, "seconds": 0} == {**told, "seconds": 0}
    assert len({weights.digest() for weights, _ in together}) == 5
    assert not np.array_equal(together[0][0].trainable, start.trainable)


@pytest.mark.parametrize(
    "settings",
    [
        {"training__layers": "all"},
        {"training__layers": "last-2"},
        {"training__cache_features": False},
        {"training__recipe": "fgsm"},
        {"training__augmentations": ["flip"]},
        {"data__augment": 1},
        {"data__undersample": True},
        {"engine__client_timeout": 1.0},
        {"training__algorithm": "scaffold"},
    ],
)
def test_clients_are_trained_one_by_one_where_their_images_or_states_differ(settings):
    assert Study(Experiment.of(**SMALL)).trains_groups(1)
    assert not Study(Experiment.of(**{**SMALL, **settings})).trains_groups(1)


def test_before_an_adversarial_recipe_begins_clients_are_trained_together():
    study = Study(Experiment.of(**SMALL, training__recipe="fgsm", training__recipe_from=3))
    assert [study.trains_groups(round) for round in (1, 2, 3)] == [True, True, False]
    assert len(study.group_training([0, 1], study.initial()[1], 1)) == 2
