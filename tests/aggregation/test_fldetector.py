"""FLDetector: which clients it finds when some of them are drawn each round, and what it remembers."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, Updates, defence
from fedrobust.aggregation.rules.fldetector import _within, averaged, clusters, hessian_product, trusted

CLIENTS, MALICIOUS, SIZE = 20, 4, 40


class Federation:
    """Twenty clients with quadratic losses around goals of their own; the first four may send something else."""

    def __init__(self, participation, seed=0, rule="fldetector", rate=1.0, told=True):
        self.draw = np.random.default_rng(seed)
        self.hessian = self.draw.uniform(0.2, 1.0, SIZE)
        self.goals = 3 + 0.5 * self.draw.standard_normal((CLIENTS, SIZE))
        self.weights = np.zeros(SIZE)
        self.drawn = max(2, round(participation * CLIENTS))
        self.rule, self.rate, self.told = defence(rule), rate, told
        self.memory, self.round, self.found, self.wronged = {}, 0, [], []

    def step(self, attack):
        self.round += 1
        who = np.sort(self.draw.choice(CLIENTS, self.drawn, replace=False))
        sent = -0.3 * (self.weights - self.goals[who]) * self.hessian
        sent += 0.01 * self.draw.standard_normal(sent.shape)
        bad = who < MALICIOUS
        sent[bad] = attack(self, sent[bad])
        result = self.rule(
            Updates(sent.astype(np.float32)),
            AggregationContext(
                who,
                np.ones(len(who), int),
                self.round,
                memory=self.memory,
                current=self.weights.astype(np.float32) if self.told else None,
            ),
        )
        self.memory = result.memory
        self.weights = self.weights + self.rate * result.update
        self.found += [result.influence[bad] == 0]
        self.wronged += [result.influence[~bad] == 0]
        return result

    def rates(self, rounds, attack):
        for _ in range(rounds):
            self.step(attack)
        return np.concatenate(self.found[rounds // 3 :]).mean(), np.concatenate(
            self.wronged[rounds // 3 :]
        ).mean()


def noise(federation, own):
    return federation.draw.standard_normal(own.shape)


def flipped(federation, own):
    return -4 * own * federation.draw.uniform(0.3, 1.7, (len(own), 1))


def honest(federation, own):
    return own


@pytest.mark.parametrize(
    ("attack", "participation"),
    [
        (noise, 1.0),
        (flipped, 0.5),
        *(
            pytest.param(attack, participation, marks=pytest.mark.slow)
            for attack, participation in ((noise, 0.5), (noise, 0.25), (flipped, 1.0), (flipped, 0.25))
        ),
    ],
)
def test_finds_them_at_every_participation(attack, participation):
    """It takes as many rounds more as clients take part in fewer."""
    rounds = int(30 / participation)
    found, wronged = np.mean(
        [Federation(participation, seed).rates(rounds, attack) for seed in range(2)], axis=0
    )
    assert found > 0.9
    assert wronged < 0.05


def test_the_path_is_that_of_the_model_not_the_sum_of_aggregates():
    """Where a server optimiser makes steps of another length, predictions follow the model that clients were sent."""
    told, untold = (Federation(1.0, 1, rate=0.5, told=told) for told in (True, False))
    for federation in (told, untold):
        start = federation.weights.astype(np.float32)
        for _ in range(6):
            last = federation.weights.astype(np.float32)
            federation.step(honest)
        path = federation.memory["positions"]
        np.testing.assert_allclose(
            path[-1] - path[0], (last - start) * (1 if federation.told else 2), rtol=1e-5
        )


def test_a_client_is_foretold_from_the_model_it_saw_last():
    """With a quadratic loss and no noise the prediction is exact, however many rounds a client was away."""
    goals, weights, memory = Federation(0.3, 3).goals, np.zeros(SIZE), {}
    draw = np.random.default_rng(6)
    for round in range(1, 12):
        who = np.sort(draw.choice(CLIENTS, 8, replace=False))
        sent = -0.1 * (weights - goals[who])
        rule = defence("fldetector")
        context = AggregationContext(
            who, np.ones(8, int), round, memory=memory, current=weights.astype(np.float32)
        )
        memory = rule(Updates(sent.astype(np.float32)), context).memory
        weights = (weights + 0.9 * sent.mean(0)).astype(np.float32)
    # H is -0.1 times the identity: what L-BFGS made of pairs of moves and changes.
    np.testing.assert_allclose(memory["changes"], -0.1 * memory["moves"], atol=1e-6)
    steps = np.concatenate([memory["moves"], np.ones((1, SIZE))])
    np.testing.assert_allclose(hessian_product(steps, memory["changes"], np.ones(SIZE)), -0.1, atol=1e-5)


@pytest.mark.parametrize("window", [3, 6])
def test_the_window_is_how_long_it_remembers(window):
    federation = Federation(1.0, 2, f"fldetector(window={window})")
    for _ in range(8):
        federation.step(noise)
    assert federation.found[-1].all()
    after = [bool(federation.step(honest).influence[:MALICIOUS].all()) for _ in range(window + 4)]
    assert not after[window - 2], "what was sent within the window still counts"
    assert all(after[window + 1 :]), "what was sent before does not"
    memory = federation.memory
    assert memory["errors"].shape == (CLIENTS, window)
    assert len(memory["moves"]) == len(memory["changes"]) == window
    assert len(memory["positions"]) == window + 1


def test_whoever_was_away_for_longer_than_the_window_is_not_scored_anew():
    rule, memory = defence("fldetector(window=2)"), {}
    draw = np.random.default_rng(0)
    present = [[0, 1, 2], [1, 2], [1, 2], [1, 2], [0, 1, 2]]
    for round, who in enumerate(present, start=1):
        sent = draw.standard_normal((len(who), 10)).astype(np.float32)
        memory = rule(
            sent, AggregationContext(np.array(who), np.ones(len(who), int), round, memory=memory)
        ).memory
    assert np.isnan(memory["errors"][0]).all()
    assert np.isfinite(memory["errors"][1:]).all()
    assert memory["seen"].tolist() == [5, 5, 5]
    # Errors are multiples of their round's mean: among two known clients they add up to two.
    np.testing.assert_allclose(memory["errors"][1:].sum(0), 2)


def test_memory_of_another_kind_is_begun_again():
    old = {
        "partitions": np.arange(3),
        "last": np.zeros((3, 10)),
        "errors": np.zeros((3, 10)),
        "steps": np.ones((1, 10)),
    }
    sent = np.random.default_rng(0).standard_normal((3, 10)).astype(np.float32)
    result = defence("fldetector")(sent, AggregationContext(np.arange(3), np.ones(3, int), memory=old))
    assert (result.influence > 0).all()
    assert np.isnan(result.memory["errors"]).all()


@pytest.mark.parametrize("size", [3e38, 1e-38, "both"])
@pytest.mark.parametrize("before", [(), ("clipping",)])
def test_nothing_becomes_infinite(size, before, draw):
    rule, memory = defence("fldetector(window=3)", *before), {}
    for round in range(1, 9):
        sent = draw.standard_normal((5, 30)).astype(np.float32)
        now = {"both": 3e38 if round % 2 else 1e-38}.get(size, size)
        sent[0] = np.float32(now) * draw.uniform(-1, 1, 30).astype(np.float32)
        result = rule(sent, AggregationContext(np.arange(5), np.ones(5, int), round, memory=memory))
        memory = result.memory
        assert np.isfinite(result.update).all()
        for name in ("last", "positions", "moves", "changes", "step"):
            assert np.isfinite(memory[name]).all(), name
        if before:
            assert np.abs(result.update).max() < 10


def test_the_hessian_does_not_depend_on_units(draw):
    root = draw.standard_normal((6, 6))
    steps = draw.standard_normal((5, 6))
    changes = steps[:4] @ (root @ root.T + np.eye(6))
    plain = hessian_product(steps, changes, steps[-1])
    for unit, scale in ((1e-40, 1e38), (1e38, 1e-40), (1e70, 1e70)):
        found = hessian_product(steps * unit, changes * scale, steps[-1] * unit)
        np.testing.assert_allclose(found / scale, plain, rtol=1e-6)
    still = np.concatenate([np.zeros((1, 6)), steps])
    told = hessian_product(still, np.concatenate([np.ones((1, 6)), changes]), steps[-1])
    np.testing.assert_allclose(told, plain, rtol=1e-9, err_msg="a step of nothing tells nothing")
    assert not hessian_product(np.zeros((3, 6)), np.ones((2, 6)), np.ones(6)).any()


def test_averages_are_over_the_rounds_a_client_took_part_in():
    table = np.array([[np.nan, 1, 3], [np.nan, np.nan, np.nan], [2, 2, 2]])
    np.testing.assert_array_equal(averaged(table), [2, np.nan, 2])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1.0, 5.0], [True, True]),
        ([1.0, 1.01, 2.0], [True, True, False]),
        ([2.0, np.nan, 1.0, np.nan, 1.01], [False, True, True, True, True]),
        ([np.nan, 1.0, 5.0], [True, True, True]),
        ([1.0, 1.0, 1.0, 1.0], [True, True, True, True]),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [True] * 6),
    ],
)
def test_of_three_known_scores_on_the_worse_of_two_clusters_is_left_out(scores, expected):
    found = trusted(np.array(scores))
    assert found.dtype == np.bool_
    assert found.tolist() == expected


def test_clusters_are_counted_up_to_one_fewer_than_there_are_numbers():
    assert clusters(np.array([0, 0.01, 1])) == 2
    assert clusters(np.linspace(0, 1, 12)) == 1


def test_within_is_the_best_of_all_splits(draw):
    ordered = np.sort(draw.random(9))

    def cost(part):
        return float(((part - part.mean()) ** 2).sum())

    two = min(cost(ordered[:a]) + cost(ordered[a:]) for a in range(1, 9))
    three = min(
        cost(ordered[:a]) + cost(ordered[a:b]) + cost(ordered[b:])
        for a in range(1, 8)
        for b in range(a + 1, 9)
    )
    np.testing.assert_allclose(
        [_within(ordered, k) for k in (1, 2, 3)], [cost(ordered), two, three], rtol=1e-9
    )


def test_a_round_of_rejected_clients_alone_changes_nothing_and_is_remembered(draw):
    rule, memory, direction = defence("fldetector"), {}, draw.standard_normal(40).astype(np.float32)

    def sent(who):
        honest = direction + 0.01 * draw.standard_normal((len(who), 40)).astype(np.float32)
        bad = 30 * draw.standard_normal((len(who), 40)).astype(np.float32)
        return np.where(np.isin(who, [0, 1])[:, None], bad, honest)

    for round in range(1, 9):
        who = np.arange(10) if round < 8 else np.array([0, 1])
        result = rule(sent(who), AggregationContext(who, np.ones(len(who), int), round, memory=memory))
        memory = result.memory
    assert not result.update.any()
    assert not result.influence.any()
    assert memory["seen"][:2].tolist() == [8, 8]
