"""The share of the weight that takes part in a round, by rule, pre-aggregators and algorithm."""

from dataclasses import dataclass, replace

import pytest
from small_federation import federation_of, step_of

from fedrobust.algorithms import FedAvg, FedDyn, Scaffold
from fedrobust.config import Experiment
from fedrobust.models.layout import Entry, Layout
from server.participation import received_of

SIZES = [10, 20, 70, 100]
LAYOUT = Layout((Entry("kernel", (2,), "trainable"),))


def share(algorithm, replied, **federation):
    settings = {f"federation__{key}": value for key, value in federation.items()}
    step = step_of(Experiment.of(federation__clients=4, **settings))
    registry = federation_of(LAYOUT, SIZES).registry
    received = received_of(replace(step, algorithm=algorithm), registry, 4, replied)
    assert (received.clients, received.population) == (len(replied), 4)
    return received.share


@pytest.mark.parametrize("algorithm", [Scaffold(), FedDyn()])
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", 90 / 200),
        ("mean(weighting='uniform')", 0.5),
        # The median is 45, so that no weight is above 45.
        ("mean(weighting='capped', cap=1.0)", (20 + 45) / (10 + 20 + 45 + 45)),
        ("mean(sizes=[1, 2, 3, 4])", 0.5),
        ("mean(sizes=[4, 3, 2, 1])", 0.5),
        ("mean(sizes=[1, 1, 1, 7])", 0.2),
        ("median", 0.5),
        ("trimmed-mean(weighted=True)", 90 / 200),
    ],
)
def test_a_round_has_the_share_of_the_weight_that_its_rule_gives(algorithm, rule, expected):
    assert share(algorithm, [1, 2], aggregator=rule) == pytest.approx(expected)


def test_all_clients_have_all_of_it_and_mixed_ones_count_alike():
    assert share(Scaffold(), [0, 1, 2, 3], aggregator="mean") == 1
    assert share(Scaffold(), [1, 2], aggregator="mean", pre_aggregators=("bucketing",)) == 0.5


def test_an_own_rules_attribute_is_no_method_of_weights():
    @dataclass(frozen=True)
    class Own:
        weights: tuple[float, ...] = (1.0, 2.0)

    step = step_of(Experiment.of(federation__clients=4))
    own = replace(step, algorithm=Scaffold(), defence=replace(step.defence, rule=Own()))
    assert received_of(own, federation_of(LAYOUT, SIZES).registry, 4, [1, 2]).share == 0.5


def test_an_algorithm_without_a_side_at_the_server_is_not_weighed():
    assert share(FedAvg(), [1, 2], aggregator="mean") == 0.5
