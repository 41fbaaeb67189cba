"""SCAFFOLD and FedDyn with a mean that counts images are told."""

import pytest

from fedrobust.checks.server_state import told_of_weights
from fedrobust.config import Experiment


@pytest.mark.parametrize(
    ("algorithm", "participation", "aggregator", "is_told"),
    [
        ("scaffold", 0.5, "mean", True),
        ("feddyn(alpha=0.2)", 0.5, "mean(weighting='capped', cap=9)", True),
        ("scaffold", 1.0, "mean", False),
        ("scaffold", 0.5, "mean(weighting='uniform')", False),
        ("scaffold", 0.5, "median", False),
        ("fedavg", 0.5, "mean", False),
    ],
)
def test_only_partial_rounds_weighted_by_images_are_told(algorithm, participation, aggregator, is_told):
    study = Experiment.of(
        training__algorithm=algorithm,
        federation__participation=participation,
        federation__aggregator=aggregator,
    )
    said = list(told_of_weights(study))
    assert len(said) == is_told
    assert all("mean(weighting='uniform')" in each for each in said)
