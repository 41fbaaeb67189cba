"""The adaptive attacker: it reaches what a fine scan reaches, never less than fixed attacks, with few evaluations."""

from dataclasses import replace

import numpy as np
import pytest
from linear_answers import LinearAnswers

from fedrobust.aggregation import RULES, AggregationContext, Updates, defence
from fedrobust.models.layout import Entry, Layout
from fedrobust.poisoning import Attack, CollusionContext, DeltaSearch

BAD, GOOD, D = 2, 9, 300

SHAPES = {"conv/kernel": (10, 20), "conv/bias": (20,), "logits/kernel": (39, 2), "logits/bias": (2,)}
LAYOUT = Layout(
    tuple(Entry(path, shape, "trainable") for path, shape in SHAPES.items())
    + tuple(Entry(name, (5,), "statistic") for name in ("norm/moving_mean", "norm/moving_variance"))
)

SLOW = ("signguard", "deepsight")
EACH_RULE = [pytest.param(rule, marks=pytest.mark.slow) if rule in SLOW else rule for rule in RULES]
"""Their clustering, and what DeepSight asks of models, takes long."""

MEANS = ("mean", "sfat")
"""Rules that every client moves as far as it likes."""


@pytest.fixture
def honest(draw):
    return (0.2 + draw.standard_normal((GOOD, D))).astype(np.float32)


@pytest.fixture
def learnt(draw):
    """What members learnt: a step of another direction, with differences as between honest clients."""
    return (3 * draw.standard_normal(D) + draw.standard_normal((BAD, D))).astype(np.float32)


class Server:
    """A pipeline that counts how often it is run."""

    def __init__(self, honest, rule, f=BAD, step=None):
        self.honest, self.pipeline, self.calls, self.step = honest, defence(rule, f=f), 0, step

    def aggregate(self, sent):
        self.calls += 1
        rows = np.concatenate([np.broadcast_to(sent, (BAD, D)), self.honest])
        context = AggregationContext(
            np.arange(len(rows)),
            np.ones(len(rows), np.int64),
            current=np.ones(D, np.float32),
            root=lambda images: self.honest[:4].mean(0),
            losses=np.zeros(len(rows)),
            layout=LAYOUT,
            statistics=np.ones((len(rows), 10), np.float32),
            current_statistics=np.ones(10, np.float32),
            model=LinearAnswers(2, self.honest[0]),
        )
        return self.pipeline(rows, context).update

    def context(self, own, poisoned=False):
        step = self.step and (lambda sent: self.step(self.aggregate(sent)))
        return CollusionContext(
            Updates.of(own),
            BAD + GOOD,
            BAD,
            np.random.default_rng(0),
            self.aggregate,
            step,
            poisoned,
        )


def moved(server, sent, mean, direction):
    """Return how far the aggregate goes along `direction`, counted from where the honest mean brings it."""
    return float((server.aggregate(sent).astype(np.float64) - server.aggregate(mean)) @ direction)


def test_a_mean_becomes_the_models_that_members_learnt(honest, learnt):
    server = Server(honest, "mean(weighting='uniform')")
    sent = DeltaSearch().collude(Updates.of(honest), server.context(learnt, poisoned=True))
    # As model replacement does: the deviation is multiplied by n / m.
    np.testing.assert_allclose(server.aggregate(sent), learnt.mean(0), atol=1e-4)


@pytest.mark.parametrize("rule", EACH_RULE)
def test_it_reaches_at_least_what_a_member_reaches_with_what_it_learnt(rule, honest, learnt):
    server = Server(honest, rule)
    mean = honest.mean(0)
    vector = learnt.mean(0, dtype=np.float64) - mean
    direction = vector / np.linalg.norm(vector)
    sent = DeltaSearch().collude(Updates.of(honest), server.context(learnt, poisoned=True))
    reached = moved(server, sent, mean, direction)
    for fixed in (learnt, learnt.mean(0), 5 * learnt):
        far = moved(server, fixed, mean, direction)
        assert reached >= min(far, 2 * np.linalg.norm(vector) - far) - 1e-3
    assert reached >= -1e-3


@pytest.mark.parametrize("rule", EACH_RULE)
def test_it_turns_the_aggregate_round_at_least_as_far_as_fixed_attacks(rule, honest):
    server = Server(honest, rule)
    mean = honest.mean(0)
    direction = -mean / np.linalg.norm(mean)
    sent = DeltaSearch().collude(Updates.of(honest), server.context(honest[:BAD]))
    reached = moved(server, sent, mean, direction)
    context = server.context(honest[:BAD])
    for name in ("ipm", "alie(z=1)", "min-max", "min-sum", "min-max(direction='mean')", "mimic"):
        fixed = Attack.parse(name).collude(Updates.of(honest), context)
        assert reached >= moved(server, fixed, mean, direction) * (0.9 if reached > 0 else 1) - 1e-3, name
    assert rule not in MEANS or reached > 10 * np.linalg.norm(mean)


def test_krum_chooses_the_farthest_step_that_a_fine_scan_finds(honest, learnt):
    server = Server(honest, "krum")
    mean = honest.mean(0)
    vector = learnt.mean(0) - mean
    direction = vector / np.linalg.norm(vector)
    sent = DeltaSearch().collude(Updates.of(honest), server.context(learnt, poisoned=True))
    scan = [moved(server, mean + s * direction, mean, direction) for s in np.linspace(0, 60, 120)]
    reached = moved(server, sent, mean, direction)
    assert reached > 5, "a real step is let through"
    assert reached > 0.95 * max(scan)
    assert np.abs(server.aggregate(sent) - np.atleast_2d(sent)).max(1).min() < 1e-5, "it is chosen itself"


@pytest.mark.parametrize("evaluations", [1, 2, 7, 20])
def test_the_pipeline_is_run_no_more_often_than_allowed(evaluations, honest, learnt):
    server = Server(honest, "median")
    attack = DeltaSearch(evaluations=evaluations)
    attack.collude(Updates.of(honest), server.context(learnt, poisoned=True))
    assert server.calls == evaluations


def test_the_step_of_the_server_counts_and_not_the_aggregate(honest):
    def backwards(aggregate):
        return -aggregate

    forwards = Server(honest, "mean")
    turned = Server(honest, "mean", step=backwards)
    mean = honest.mean(0)
    sent = DeltaSearch().collude(Updates.of(honest), turned.context(honest[:BAD]))
    assert sent @ mean > 0, "a server that goes backwards is turned round by what is honest"
    assert DeltaSearch().collude(Updates.of(honest), forwards.context(honest[:BAD])).mean(0) @ mean < 0


def test_where_nothing_is_let_through_it_hides_in_the_honest_mean(honest, learnt):
    def deaf(sent):
        return np.zeros(D, np.float32)

    context = CollusionContext(
        Updates.of(learnt), BAD + GOOD, BAD, np.random.default_rng(0), deaf, poisoned=True
    )
    np.testing.assert_allclose(DeltaSearch().collude(Updates.of(honest), context), honest.mean(0), atol=1e-6)


def test_rejected_rounds_are_no_success(honest, learnt):
    def careful(sent):
        far = np.abs(np.asarray(sent)).max() > 6
        return np.full(D, np.nan, np.float32) if far else Server(honest, "mean").aggregate(sent)

    context = CollusionContext(
        Updates.of(learnt), BAD + GOOD, BAD, np.random.default_rng(0), careful, poisoned=True
    )
    sent = DeltaSearch().collude(Updates.of(honest), context)
    assert 3 < np.abs(sent).max() <= 6


def test_a_sum_tells_it_whether_members_learnt_something(honest, learnt):
    server = Server(honest, "mean(weighting='uniform')")
    context = server.context(learnt)
    together = Attack.parse("pixel-backdoor + delta-search").collude(Updates.of(honest), context)
    np.testing.assert_allclose(server.aggregate(together), learnt.mean(0), atol=1e-4)
    alone = Attack.parse("delta-search").collude(Updates.of(honest), context)
    assert server.aggregate(alone) @ honest.mean(0) < 0
    with pytest.raises(ValueError, match="pixel-backdoor has no effect"):
        Attack.parse("pixel-backdoor + delta-search(goal='against-mean')")


def test_only_the_order_of_clients_changes_nothing(honest, learnt):
    one, other = (
        Server(rows, "trimmed-mean").aggregate(
            DeltaSearch().collude(
                Updates.of(rows), Server(rows, "trimmed-mean").context(learnt, poisoned=True)
            )
        )
        for rows in (honest, honest[::-1].copy())
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def judged(server, own, value, poisoned=False):
    return replace(server.context(own, poisoned), value=value)


@pytest.mark.parametrize("rule", ["mean", "median", "krum", "trimmed-mean", "fltrust"])
def test_trials_are_judged_by_the_model_and_none_of_the_fixed_attacks_is_worth_more(rule, honest):
    """The model's harm is the distance from a point, which is on none of the lines."""
    away = np.random.default_rng(4).standard_normal(D)
    server, own = Server(honest, rule), honest[:BAD]

    def value(change):
        return float(np.sum(np.square(change - away)))

    context = judged(server, own, value)
    sent = DeltaSearch().collude(Updates.of(honest), context)
    found = value(server.aggregate(sent).astype(np.float64))
    alie = Attack.parse("alie(z=1.5)").collude(Updates.of(honest), context)
    for other in (-own, -4 * own, honest.mean(0), alie):
        assert found >= value(server.aggregate(other).astype(np.float64)) - 1e-3


def test_a_judge_that_likes_nothing_better_than_the_honest_mean_gets_it(honest, learnt):
    server = Server(honest, "median")
    usual = server.aggregate(honest.mean(0)).astype(np.float64)

    def value(change):
        return -float(np.abs(change - usual).sum())

    sent = DeltaSearch().collude(Updates.of(honest), judged(server, learnt, value, poisoned=True))
    np.testing.assert_allclose(sent, honest.mean(0), atol=1e-6)


def test_distance_judges_where_it_is_asked_for(honest, learnt):
    server = Server(honest, "median")
    with_images = judged(server, learnt, lambda change: 0.0, poisoned=True)
    without = server.context(learnt, poisoned=True)
    np.testing.assert_array_equal(
        DeltaSearch(judge="distance").collude(Updates.of(honest), with_images),
        DeltaSearch().collude(Updates.of(honest), without),
    )
