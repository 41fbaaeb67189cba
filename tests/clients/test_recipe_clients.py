"""A share of the clients trains with the recipe, the others plainly."""

from dataclasses import replace

import numpy as np
import pytest

from clients.client import Client
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.study import Study

LAYOUT = Layout((Entry("dense/kernel", (2,), "trainable"),))
START = Weights(np.zeros(2, np.float32), np.zeros(0, np.float32))
SHARD = Split(np.zeros((6, 8, 8, 1), np.uint8), np.array([0, 0, 0, 1, 1, 1], np.int32))


def study(share, clients=10, **settings):
    given = {"training__recipe": "pgd", "training__recipe_clients": share, "federation__clients": clients}
    return Study(Experiment.of(**given, **settings), Problem((8, 8, 1), 2))


@pytest.mark.parametrize(("share", "plain"), [(1.0, 0), (0.5, 5), (0.25, 7), (0.01, 9)])
def test_the_share_is_rounded_and_at_least_one_client_uses_the_recipe(share, plain):
    assert len(study(share).plain_clients) == plain


def test_a_larger_share_holds_a_smaller_one_and_the_seed_draws():
    few, many = study(0.3).plain_clients, study(0.6).plain_clients
    assert many < few
    assert len({study(0.5, seed=seed).plain_clients for seed in range(5)}) > 1


def test_plain_clients_train_plainly_and_the_others_with_the_recipe():
    made, recipes = study(0.5), []

    def update_of(training):
        recipes.append(training.recipe)
        return lambda *arguments, **settings: (START, {"loss": 0.0, "examples": 6, "steps": 1})

    training = replace(made.local_training, update=update_of)
    for client in range(10):
        one = Client(client, SHARD, training, LAYOUT, made.algorithm, changed=made.changed(client))
        one.train(START, 1, {})
    assert recipes == ["plain" if client in made.plain_clients else "pgd" for client in range(10)]


def test_a_share_without_a_recipe_is_refused():
    with pytest.raises(
        ConfigError, match=r"recipe-clients = 0.5 does nothing with training.recipe = \"plain\""
    ):
        Experiment.of(training__recipe_clients=0.5)
