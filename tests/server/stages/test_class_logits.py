"""What clients exchange in federated distillation, with models that are single numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedrobust.checks import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.study import Study
from server.stages.class_logits import ClassLogits

SMALL = {"data__samples": 200, "model__name": "edge-cnn", "model__image_size": 28}
LABELS = [np.array([0, 0]), np.array([0, 1]), np.array([1, 1])]


@dataclass(frozen=True)
class Training:
    """A training that adds 1 to the model, and remembers the tables that it was given."""

    tables: list
    update: Callable[[Any], Any] | None = None
    problem: Any = field(default_factory=lambda: SimpleNamespace(classes=2))

    def __call__(self, shard, weights, round, client, changed):
        self.tables.append((round, client, self.update("settings")))
        return weights + 1, {}


def share(model):
    """Probability of the label, of a model that trained so many times."""
    return 1 - 0.5 ** (model + 1)


def exchange(tables, rounds):
    def logits(model, labels):
        right = np.eye(2)[labels]
        return np.log(right * share(model) + (1 - right) * (1 - share(model)))

    return ClassLogits(
        Training(tables),
        lambda table: table,
        lambda client: SimpleNamespace(images=LABELS[client], labels=LABELS[client]),
        0,
        3,
        rounds,
        lambda client, model: model,
        logits,
        lambda client: {},
    )


def test_after_a_round_every_client_learns_the_mean_of_the_others():
    tables = []
    table, models = exchange(tables, [2, 5])()
    assert models == [2, 2, 2]
    assert [(round, client) for round, client, _ in tables] == [
        (2, 0),
        (2, 1),
        (2, 2),
        (5, 0),
        (5, 1),
        (5, 2),
    ]
    assert all(np.isnan(given).all() for _, _, given in tables[:3])
    once, twice = share(1), share(2)
    for _, _, given in tables[3:]:
        np.testing.assert_allclose(given, [[once, 1 - once], [1 - once, once]])
    np.testing.assert_allclose(table, [[twice, 1 - twice], [1 - twice, twice]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training__loss": "focal"}, "which is what cross-entropy can do"),
        ({"distillation__method": "iad"}, "mean answers are no model"),
        ({"federation__clients": 1}, "choose from 2 to 100 clients"),
        ({"distillation__mixup": 0.2}, 'distillation.teacher = "class-logits" with distillation.mixup'),
        ({"poisoning__attack": "sign-flip", "poisoning__malicious": 2}, "are those of honest clients"),
        ({"data__multilabel": True, "audit__enabled": False}, 'distillation.teacher = "class-logits"'),
    ],
)
def test_what_answers_to_each_class_cannot_teach_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_data(Study(Experiment.of(**{**SMALL, "distillation__teacher": "class-logits", **settings})))
