"""MPAF: the difference to a random model, and where it drags the global one."""

import numpy as np
import pytest

from fedrobust.aggregation import defence
from fedrobust.models.layout import Entry, Layout
from fedrobust.poisoning import Attack, AttackContext
from fedrobust.poisoning.update.mpaf import random_model

LAYOUT = Layout(
    (
        Entry("conv/kernel", (3, 3, 2, 8), "trainable"),
        Entry("norm/gamma", (8,), "trainable"),
        Entry("norm/beta", (8,), "trainable"),
        Entry("dense/kernel", (8, 4), "trainable"),
        Entry("norm/moving_mean", (8,), "statistic"),
    )
)


def sent(text, current, seed=0):
    context = AttackContext(current=current, layout=LAYOUT, seed=seed)
    return Attack.parse(text).update(np.zeros_like(current), context)


def test_it_is_lambda_times_the_difference(draw):
    current = draw.standard_normal(LAYOUT.parameters).astype(np.float32)
    base = random_model(LAYOUT, 3).astype(np.float64)
    np.testing.assert_allclose(sent("mpaf(factor=2.5)", current, 3), 2.5 * (base - current), rtol=1e-5)
    assert not sent("mpaf", random_model(LAYOUT, 3), 3).any(), "who has arrived stays"


def test_the_base_model_is_drawn_as_keras_does():
    drawn = random_model(LAYOUT, 0)
    kernel, gamma, beta, dense = np.split(drawn, np.cumsum([144, 8, 8]))
    assert (gamma == 1).all()
    assert not beta.any()
    for values, limit in ((kernel, (6 / (9 * 10)) ** 0.5), (dense, (6 / 12) ** 0.5)):
        assert np.abs(values).max() <= limit
        assert values.std() == pytest.approx(limit / 3**0.5, rel=0.15)
    assert drawn.tolist() == random_model(LAYOUT, 0).tolist()
    assert drawn.tolist() != random_model(LAYOUT, 1).tolist()


def test_attackers_agree_and_a_mean_arrives_at_the_base_model(draw):
    current = draw.standard_normal(LAYOUT.parameters).astype(np.float32)
    updates = np.concatenate([np.zeros((9, LAYOUT.parameters)), [sent("mpaf(factor=10)", current)]])
    moved = current + defence("mean")(updates.astype(np.float32)).update
    np.testing.assert_allclose(moved, random_model(LAYOUT, 0), atol=1e-4)
    held = defence("median")(updates.astype(np.float32)).update
    assert not held.any()


def test_the_papers_factor_stays_finite():
    assert np.isfinite(sent("mpaf(factor=3e38)", np.full(LAYOUT.parameters, 1e5, np.float32))).all()
