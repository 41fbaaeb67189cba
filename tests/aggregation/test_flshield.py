"""FLShield literally, with a model whose losses are known, and the bound on its result."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, InfeasibleError, Updates, defence
from fedrobust.aggregation.rules.flshield import representatives, written


class Quadratic:
    """The loss of class c is the squared distance of the update to the class' goal, plus the statistics' sum."""

    def __init__(self, goals):
        self.goals = goals

    def class_losses(self, update, statistics, images):
        found = ((update[None].astype(np.float64) - self.goals) ** 2).sum(1) + np.abs(statistics).sum()
        found[len(found) - 1] = np.nan if images == 1 else found[-1]
        return found


def context(n, model, statistics=None):
    statistics = np.zeros((n, 3), np.float32) if statistics is None else statistics
    return AggregationContext(
        np.arange(n),
        np.ones(n, int),
        statistics=statistics,
        current_statistics=np.zeros(3, np.float32),
        model=model,
    )


def literal(x, model, statistics, kept, others):
    """The official code, bijective, without its division by 0; the mean of clipped updates at the end."""
    norms = np.linalg.norm(x, axis=1)
    before, scores = model.class_losses(np.zeros(x.shape[1]), np.zeros(3), 100), []
    for i in range(len(x)):
        weights = np.array(
            [max(0.0, x[i] @ u / norms[i] / n) * min(1, norms[i] / n) for u, n in zip(x, norms, strict=True)]
        )
        weights[i] = 0
        shares = others * weights / weights.sum() if weights.sum() else weights
        shares[i] = 1 - others if weights.sum() else 1
        after = model.class_losses(shares @ x, shares @ statistics, 100)
        scores.append(min(before - after))
    chosen = np.argsort(scores)[::-1][: len(x) - int((1 - kept) * len(x))]
    clipped = [x[i] * min(1, np.median(norms) / norms[i]) for i in chosen]
    return np.mean(clipped, axis=0), sorted(chosen)


@pytest.mark.parametrize(("kept", "others"), [(0.5, 0.25), (0.75, 0.0), (1.0, 0.5)])
def test_it_is_the_papers(kept, others, draw):
    goals = 1 + 0.3 * draw.standard_normal((4, 50))
    x = goals.mean(0) + draw.standard_normal((12, 50)) * draw.uniform(0.1, 1.5, (12, 1))
    x[0], x[1] = -x[0], 30 * x[1]
    x = x.astype(np.float32)
    statistics = draw.random((12, 3)).astype(np.float32)
    model = Quadratic(goals)
    result = defence(f"flshield(kept={kept}, others={others})")(x, context(12, model, statistics))
    expected, chosen = literal(x.astype(np.float64), model, statistics.astype(np.float64), kept, others)
    assert np.flatnonzero(result.influence).tolist() == chosen
    np.testing.assert_allclose(result.update, expected, rtol=1e-5, atol=1e-6)
    assert np.linalg.norm(result.update) <= np.median(np.linalg.norm(x, axis=1)) * (1 + 1e-6)


def test_who_makes_one_class_worse_is_left_out_by_hand():
    """The second client is best on average, and worst for the second class."""
    model = Quadratic(np.array([[4.0, 0], [0, 4.0]]))
    x = np.array([[1, 1], [3, -1], [1, 1.2], [1.2, 1]], np.float32)
    result = defence("flshield(kept=0.75, others=0.0)")(x, context(4, model))
    assert np.flatnonzero(result.influence == 0).tolist() == [1]


def test_classes_without_images_do_not_count():
    model = Quadratic(np.array([[4.0, 0], [0, 4.0]]))
    x = np.array([[1, 1], [3, -1], [1, 1.2], [1.2, 1]], np.float32)
    result = defence("flshield(images=1, kept=0.25, others=0.0)")(x, context(4, model))
    assert np.flatnonzero(result.influence).tolist() == [1], "without the second class nobody is better"


def test_representatives_keep_their_own_update_where_nobody_is_alike(draw):
    x = np.concatenate([np.eye(3), np.zeros((1, 3)), -np.eye(3)[:1]]).astype(np.float32)
    assert representatives(Updates(x), 0.25).tolist() == np.eye(5).tolist()
    shares = representatives(Updates(draw.standard_normal((7, 20)).astype(np.float32) + 1), 0.25)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(np.diag(shares), 0.75)


def test_representatives_are_written_as_their_sums(draw):
    x = draw.standard_normal((7, 300)).astype(np.float32)
    shares = draw.random((3, 7))
    np.testing.assert_allclose(written(Updates(x), shares), shares @ x, rtol=1e-4, atol=1e-5)
    scaled = Updates(x).mixed(np.diag(np.arange(7.0)))
    np.testing.assert_allclose(
        written(scaled, shares), shares @ (np.arange(7.0)[:, None] * x), rtol=1e-4, atol=1e-4
    )


def test_it_asks_for_a_model(draw):
    with pytest.raises(InfeasibleError, match="FLShield needs answers of models"):
        defence("flshield")(draw.standard_normal((4, 5)).astype(np.float32))
