"""Net benefit, by counting."""

import numpy as np
import pytest

from fedrobust.evaluation.net_benefit import THRESHOLDS, decision_curve, net_benefit

ILL = np.array([True] * 2 + [False] * 8)


def test_net_benefit_is_true_positives_less_weighted_false_ones():
    probability = np.array([0.9, 0.3, 0.5, 0.2] + [0.0] * 6)
    # From 0.25 on: both ill are treated, and one healthy: 2/10 - 1/10 * (1/4) / (3/4).
    assert net_benefit(probability, ILL, 0.25) == pytest.approx(0.2 - 0.1 / 3)
    # From 0.5 on, itself included: one ill and one healthy.
    assert net_benefit(probability, ILL, 0.5) == pytest.approx(0.1 - 0.1)


def test_treating_all_is_worth_nothing_at_the_prevalence():
    assert net_benefit(np.ones(10), ILL, 0.2) == pytest.approx(0.0)
    assert net_benefit(np.zeros(10), ILL, 0.2) == 0.0


def test_a_perfect_model_is_worth_the_prevalence_at_every_threshold():
    curve = decision_curve(ILL.astype(float), ILL)
    assert list(curve) == [f"{each:g}" for each in THRESHOLDS]
    assert {model for model, _ in curve.values()} == {0.2}
    assert all(model >= everybody for model, everybody in curve.values())
