"""From clients to the next weights: nothing is kept between rounds, and every figure says what it says it says."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from small_federation import step_of

from fedrobust.aggregation import Aggregation, AggregationPipeline, FedAdam, FedAvgM, FedYogi
from fedrobust.algorithms import FedAvg
from fedrobust.algorithms.contract import Received
from fedrobust.config import Experiment
from fedrobust.flower.identity import server_identity
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.poisoning import Attack
from fedrobust.randomness import Purpose, generator
from server.accumulators import Collected, UpdateMatrix, collector_for
from server.aggregation_step import AggregationStep
from server.errors import BrokenRuleError, RuleError
from server.forecast import sums_only
from server.replies import Failure

D = 6


def no_root(current, images, round, typical=None):
    raise AssertionError("nobody asked the server")


def step(clients=8, **settings) -> AggregationStep:
    return step_of(Experiment.of(federation__clients=clients, **settings), no_root)


def collected(draw, clients=8, examples=None, attackers=(), factor=-20.0) -> Collected:
    updates = (1 + 0.1 * draw.standard_normal((clients, D))).astype(np.float32)
    updates[list(attackers)] *= factor
    statistics = (1 + 0.1 * draw.random((clients, 3))).astype(np.float32)
    sizes = np.arange(10, 10 + clients) if examples is None else np.asarray(examples)
    return Collected(np.arange(clients), updates, statistics, sizes)


CURRENT = Weights(np.full(D, 0.5, np.float32), np.ones(3, np.float32))


def frozen(memory):
    return {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in memory.items()}


# -- Nothing is kept -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["none", "fedavgm", "fedadam", "fedyogi"])
@pytest.mark.parametrize("rule", ["centred-clipping", "fldetector", "foolsgold", "mean"])
def test_what_is_remembered_is_returned_and_what_was_is_left_alone(rule, optimizer, draw):
    server = step(federation__aggregator=rule, federation__server_optimizer=optimizer)
    first = server.next_weights(1, CURRENT, collected(draw), {})
    before = frozen(first.memory)
    assert bool(before) == (rule != "mean" or optimizer != "none")
    replies = collected(draw, attackers=[2])
    one = server.next_weights(2, first.weights, replies, first.memory)
    again = server.next_weights(2, first.weights, replies, first.memory)
    assert frozen(first.memory) == before, "a round that is rejected leaves no trace"
    assert one.weights.digest() == again.weights.digest(), "nothing is remembered beside it"
    assert frozen(one.memory) == frozen(again.memory)
    if before:
        assert frozen(one.memory) != before


@dataclass(frozen=True)
class Careless:
    """A rule that writes into what it is given to remember."""

    def __call__(self, updates, context):
        seen = dict(context.memory) or {"seen": np.zeros(1)}
        seen["seen"] += 1
        return Aggregation(np.asarray(updates).mean(0), None, seen)


def test_a_rule_that_writes_into_its_memory_does_not_reach_the_last_rounds(draw):
    server = replace(step(), defence=AggregationPipeline(Careless()))
    first = server.next_weights(1, CURRENT, collected(draw), {})
    second = server.next_weights(2, CURRENT, collected(draw), first.memory)
    assert (first.memory["rule/seen"].tolist(), second.memory["rule/seen"].tolist()) == ([1.0], [2.0])


def test_a_rule_and_an_optimiser_may_remember_the_same_name(draw):
    @dataclass(frozen=True)
    class Remembers:
        def __call__(self, updates, context):
            assert set(context.memory) <= {"velocity"}
            return Aggregation(np.asarray(updates).mean(0), None, {"velocity": np.full(2, 9.0)})

    server = replace(step(federation__server_optimizer="fedavgm"), defence=AggregationPipeline(Remembers()))
    first = server.next_weights(1, CURRENT, collected(draw), {})
    second = server.next_weights(2, CURRENT, collected(draw), first.memory)
    assert first.memory["rule/velocity"].tolist() == second.memory["rule/velocity"].tolist() == [9.0, 9.0]
    assert (second.memory["optimizer/velocity"] > 1.5).all(), "the second step adds to the first"


# -- Server optimisers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("summed", [True, False], ids=["summed", "side by side"])
@pytest.mark.parametrize("size", [1e7, 1e19, 1e23, 1e30, 3e38, np.inf, np.nan])
@pytest.mark.parametrize("optimizer", ["fedavgm", "fedadam", "fedyogi"])
def test_an_optimiser_never_sees_an_absurd_update(optimizer, size, summed, draw):
    server = step(clients=3, federation__server_optimizer=optimizer)
    start = server.next_weights(1, CURRENT, collected(draw, 3), {})
    assert not start.fault
    replies = collected(draw, 3)
    replies.updates[1] = size
    given = Weights(CURRENT.trainable + replies.updates.mean(0), CURRENT.statistics) if summed else replies
    with np.errstate(invalid="ignore"):
        told = server.next_weights(2, start.weights, given, start.memory)
    assert "the server optimiser would remember them" in told.fault
    assert frozen(told.memory) == frozen(start.memory)
    later = server.next_weights(3, start.weights, collected(draw, 3), start.memory)
    assert not later.fault
    assert np.abs(later.weights.trainable - start.weights.trainable).max() > 1e-3, "later rounds get out"


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        # By hand, for updates 1 and 2. Momentum: v = 1, then 0.5 * 1 + 2; the step is half of v.
        (FedAvgM(learning_rate=0.5, momentum=0.5), [0.5, 1.25]),
        # Adam: m = .5, s = .25, corrected with one round more; then m = 1.25, s = .1875 + 1.
        (
            FedAdam(eta=1.0, beta_1=0.5, beta_2=0.75, tau=0.0),
            [np.sqrt(1 - 0.75**2) / (1 - 0.5**2), 1.25 / np.sqrt(1.1875) * np.sqrt(1 - 0.75**3) / (1 - 0.5**3)],
        ),
        # Yogi: s = 0 + .25 * 1, then .25 + .25 * 4.
        (FedYogi(eta=1.0, beta_1=0.5, beta_2=0.75, tau=0.0), [0.5 / 0.5, 1.25 / np.sqrt(1.25)]),
    ],
)  # fmt: skip
def test_the_steps_of_optimisers_by_hand(optimizer, steps):
    memory = {}
    for round, (update, wanted) in enumerate(zip((1.0, 2.0), steps, strict=True), start=1):
        step, memory = optimizer(np.full(2, update, np.float32), memory, round)
        np.testing.assert_allclose(step, wanted, rtol=1e-6)


def test_infinite_memory_is_a_fault_and_marks_of_the_unknown_are_none(draw):
    @dataclass(frozen=True)
    class Remembers:
        what: float

        def __call__(self, updates, context):
            return Aggregation(np.asarray(updates).mean(0), None, {"table": np.array([1.0, self.what])})

    server = step()
    for what, wanted in (
        (np.inf, "what is remembered of it as rule/table is not finite"),
        (np.nan, ""),
        (2.0, ""),
    ):
        rule = replace(server, defence=AggregationPipeline(Remembers(what)))
        assert rule.next_weights(1, CURRENT, collected(draw), {}).fault == wanted


@pytest.mark.parametrize(
    "error", [ValueError("NaN"), OverflowError("1e400"), np.linalg.LinAlgError("singular")]
)
def test_a_rule_that_fails_on_numbers_is_no_end_of_the_study_and_a_bug_is(error, draw):
    @dataclass(frozen=True)
    class Fails:
        error: Exception

        def __call__(self, updates, context):
            raise self.error

    server = replace(step(federation__aggregator="median"), defence=AggregationPipeline(Fails(error)))
    with pytest.raises(RuleError, match=f"median: {type(error).__name__}: {error}"):
        server.next_weights(1, CURRENT, collected(draw), {})
    server = replace(server, defence=AggregationPipeline(Fails(AttributeError("typo"))))
    with pytest.raises(
        BrokenRuleError, match=r"median: the rule's own code fails: AttributeError: typo .*, line "
    ):
        server.next_weights(1, CURRENT, collected(draw), {})


# -- Statistics ----------------------------------------------------------------------------------------------------


def test_statistics_are_the_median_of_the_accepted_clients(draw):
    server, replies = step(), collected(draw)
    replies.statistics[:] = np.arange(8, dtype=np.float32)[:, None] ** 2
    for accepted, median in (
        ((0, 1, 7), 1.0),  # of 0, 1 and 49
        ((0, 1, 2, 3, 4, 7), 6.5),
        ((), CURRENT.statistics[0]),  # nobody is accepted: they stay
    ):
        chosen = replace(server, defence=AggregationPipeline(Chooses(accepted)))
        assert chosen.next_weights(1, CURRENT, replies, {}).weights.statistics.tolist() == [median] * 3


@dataclass(frozen=True)
class Chooses:
    """A rule that takes given rows alike."""

    rows: tuple[int, ...]

    def __call__(self, updates, context):
        shares = np.zeros(len(updates))
        shares[list(self.rows)] = 1 / max(1, len(self.rows))
        return Aggregation(updates.combined(shares), shares)


def test_statistics_of_a_mean_are_the_mean_weighted_as_the_weights_are(draw):
    replies = collected(draw, 4, examples=[1, 2, 3, 4])
    replies.statistics[:] = np.array([1, 2, 3, 4], np.float32)[:, None]
    server = step(clients=4, poisoning__attack="sign-flip", poisoning__malicious=1)
    assert server.next_weights(1, CURRENT, replies, {}).weights.statistics.tolist() == [3.0] * 3


def test_a_mean_with_a_cap_waits_for_all_and_caps_statistics_and_the_honest_mean_alike(draw):
    replies = collected(draw, 4, examples=[1, 1, 1, 97])
    replies.statistics[:] = np.array([1, 1, 1, 6], np.float32)[:, None]
    server = step(clients=4, federation__aggregator="mean(max_share=0.4)")
    assert not sums_only(server)
    assert isinstance(collector_for(server.defence, CURRENT, 0, [0, 1, 2, 3], 1.0, False), UpdateMatrix)
    stepped = server.next_weights(1, CURRENT, replies, {})
    np.testing.assert_allclose(stepped.weights.statistics, [3.0] * 3, rtol=1e-6)
    shares = np.array([0.2, 0.2, 0.2, 0.4])
    np.testing.assert_allclose(
        stepped.weights.trainable - CURRENT.trainable, shares @ replies.updates, rtol=1e-4, atol=1e-5
    )
    assert stepped.record.distance < 1e-5, "all are honest: the honest mean has the same cap"


def test_rules_see_the_clients_statistics_with_variances_whatever_is_averaged(draw):
    """Mean 2 and second moment 5 are a variance of 1; an array of the algorithm follows."""
    names = ("norm/moving_mean", "norm/moving_variance", "norm/count")
    layout = Layout(tuple(Entry(name, (1,), "statistic") for name in names))
    replies = collected(draw, 4)
    replies = replace(replies, statistics=np.repeat([[2, 5, 7, 99]], 4, axis=0).astype(np.float32))
    seen = []

    class Looks:
        def __call__(self, updates, context):
            seen.append(context)
            return Aggregation(updates.combined(np.full(4, 0.25)))

    server = replace(
        step(clients=4), defence=AggregationPipeline(Looks()), layout=layout, beside={"more": 1}, moments=True
    )
    server.next_weights(1, CURRENT, replies, {})
    replace(server, moments=False).next_weights(1, CURRENT, replies, {})
    assert seen[0].statistics.tolist() == [[2, 1, 7]] * 4
    assert seen[1].statistics.tolist() == [[2, 5, 7]] * 4
    np.testing.assert_array_equal(seen[0].current_statistics, CURRENT.statistics)
    assert replies.statistics.tolist() == [[2, 5, 7, 99]] * 4, "what is averaged afterwards is as it was sent"


@dataclass(frozen=True)
class Told:
    """An algorithm that remembers what it receives, and halves the update."""

    def server(self, update, memory, received):
        return update / 2, {"share": np.array(received.share), **received.arrays}


def with_beside(draw, values, **settings):
    """Return what a round of clients that send ``control`` (2,) and ``factor`` (1,) comes to, in a study of 16."""
    replies, clients = collected(draw, len(values)), len(values)
    more = np.array(values, np.float32)[:, None] * np.array([1, 10, 100], np.float32)
    replies = replace(replies, statistics=np.hstack([replies.statistics, more]))
    beside = {"control": 2, "factor": 1}
    server = replace(step(clients=clients, **settings), algorithm=Told(), beside=beside)
    return replies, server, server.next_weights(1, CURRENT, replies, {}, received=Received({}, clients, 16))


def test_what_is_sent_beside_weights_is_aggregated_as_statistics_are_and_handed_to_the_algorithm(draw):
    replies, server, told = with_beside(draw, [1, 2, 3, 100], federation__aggregator="median")
    assert told.memory["algorithm/control"].tolist() == [2.5, 25], "one client cannot move a median at will"
    assert told.memory["algorithm/factor"].tolist() == [250]
    assert told.memory["algorithm/share"] == 0.25
    assert told.weights.statistics.shape == CURRENT.statistics.shape
    plain = replace(server, algorithm=FedAvg(), beside={})
    bare = replace(replies, statistics=replies.statistics[:, :3])
    expected = plain.next_weights(1, CURRENT, bare, {}).weights
    np.testing.assert_array_equal(told.weights.statistics, expected.statistics)
    np.testing.assert_allclose(
        told.weights.trainable - CURRENT.trainable, (expected.trainable - CURRENT.trainable) / 2, rtol=1e-5
    )


def test_of_a_mean_it_is_the_mean_also_where_only_sums_are_kept(draw):
    _, server, told = with_beside(draw, [1, 2, 3, 6])
    # Claims of 10, 11, 12 and 13 images.
    assert told.memory["algorithm/control"][0] == pytest.approx((10 + 22 + 36 + 78) / 46)
    mean = Weights(CURRENT.trainable + 2, np.array([1, 1, 1, 5, 6, 7], np.float32))
    summed = server.next_weights(1, CURRENT, mean, {}, received=Received({}, 8, 16))
    assert summed.weights.trainable.tolist() == [1.5] * D
    assert summed.weights.statistics.tolist() == [1, 1, 1]
    assert summed.memory["algorithm/control"].tolist() == [5, 6]
    assert summed.memory["algorithm/share"] == 0.5


# -- The coalition -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draws:
    """A rule that adds what it draws, and notes what it was given."""

    seen: list = field(default_factory=list, hash=False)

    def __call__(self, updates, context):
        drawn = context.generator.random()
        self.seen.append((np.array(updates), drawn))
        return Aggregation(np.asarray(updates).mean(0) + np.float32(drawn))


@dataclass(frozen=True)
class Plots:
    """A coalition that tries the defence out once, and then sends sevens."""

    tried: list = field(default_factory=list, hash=False)

    def collude(self, honest, context):
        self.tried.append(context.outcome(np.zeros(D, np.float32)))
        return np.full((context.malicious, D), [[7.0 + row] for row in range(context.malicious)], np.float32)


def conspiring(attack, **settings):
    server = step(poisoning__attack="ipm", poisoning__malicious=[3, 6], **settings)
    rule = Draws()
    return replace(server, attack=Attack((attack,)), defence=AggregationPipeline(rule)), rule


def test_what_a_coalition_sends_is_what_the_rule_sees(draw):
    plot = Plots()
    server, rule = conspiring(plot)
    replies = collected(draw)
    honest = replies.updates[[0, 1, 2, 4, 5, 7]].copy()
    server.next_weights(1, CURRENT, replies, {})
    (tried, _), (decided, _) = rule.seen
    assert tried[[3, 6]].tolist() == [[0.0] * D] * 2, "first they try zeros"
    assert decided[[3, 6]].tolist() == [[7.0] * D, [8.0] * D], "then they send theirs"
    np.testing.assert_array_equal(decided[[0, 1, 2, 4, 5, 7]], honest)


def test_a_coalition_knows_the_defence_and_not_what_it_draws(draw):
    server, rule = conspiring(Plots())
    server.next_weights(4, CURRENT, collected(draw), {})
    (_, guessed), (_, drawn) = rule.seen
    assert guessed == generator(0, Purpose.POISONING, 4).random(), "the attackers draw for themselves"
    assert drawn == generator(0, Purpose.AGGREGATION, 4).random(), (
        "and their trials do not use up the server's draws"
    )
    assert guessed != drawn


@dataclass(frozen=True)
class Looks:
    """A coalition that notes what it knows of honest updates."""

    seen: list = field(default_factory=list, hash=False)

    def collude(self, honest, context):
        self.seen.append(np.array(honest))
        context.outcome(np.zeros(D, np.float32))
        return np.full((context.malicious, D), 7.0, np.float32)


def test_a_coalition_that_knows_only_its_own_updates_sees_no_others_and_leaves_them_alone(draw):
    looks = Looks()
    server, rule = conspiring(looks, poisoning__knowledge="own")
    replies = collected(draw)
    given = replies.updates.copy()
    replace(server, surrogate=True).next_weights(1, CURRENT, replies, {})
    np.testing.assert_array_equal(looks.seen[0], given[[3, 6]])
    (tried, _), (decided, _) = rule.seen
    np.testing.assert_array_equal(
        tried[[0, 1, 2, 4, 5, 7]], given[[3, 6, 3, 6, 3, 6]], "copies stand for the others"
    )
    np.testing.assert_array_equal(decided[[0, 1, 2, 4, 5, 7]], given[[0, 1, 2, 4, 5, 7]])


@dataclass(frozen=True)
class Remembers:
    """A rule that remembers rounds, and notes what it remembered and whether the server has images."""

    seen: list = field(default_factory=list, hash=False)

    def __call__(self, updates, context):
        rounds = context.memory.get("rounds", np.zeros(1))
        try:
            context.root(1)
        except ValueError:
            found = "no images"
        else:
            found = "images"
        self.seen.append((rounds.item(), found))
        return Aggregation(np.asarray(updates).mean(0), memory={"rounds": rounds + 1})


@pytest.mark.parametrize(("surrogate", "tried"), [(False, (4, "images")), (True, (0, "no images"))])
def test_a_coalition_that_knows_only_its_own_updates_tries_without_the_servers_images_and_memory(
    draw, surrogate, tried
):
    rule = Remembers()
    server, _ = conspiring(Looks())
    server = replace(
        server,
        defence=AggregationPipeline(rule),
        surrogate=surrogate,
        root=lambda current, images, round, typical: np.ones(D, np.float32),
    )
    server.next_weights(5, CURRENT, collected(draw), {"rule/rounds": np.full(1, 4.0)})
    assert rule.seen == [tried, (4, "images")]


@dataclass(frozen=True)
class LooksAndCrashes:
    def collude(self, honest, context):
        raise KeyError("target")


def test_honest_updates_are_back_after_a_coalition_of_such_knowledge_crashes(draw):
    server, rule = conspiring(LooksAndCrashes())
    replies = collected(draw)
    given = replies.updates.copy()
    replace(server, surrogate=True).next_weights(1, CURRENT, replies, {})
    np.testing.assert_array_equal(rule.seen[-1][0], given)


@dataclass(frozen=True)
class Agrees:
    """A coalition that keeps its rounds, and notes what it finds and whose updates it sees."""

    seen: list = field(default_factory=list, hash=False)

    def agree(self, honest, context):
        return {"rounds": context.memory.get("rounds", np.zeros(1)) + 1}

    def collude(self, honest, context):
        self.seen.append((context.memory["rounds"].item(), context.client_ids.tolist()))
        return np.zeros(D, np.float32)


def test_what_a_coalition_agrees_on_is_kept_from_round_to_round(draw):
    plot = Agrees()
    server, _ = conspiring(plot, poisoning__last_round=2)
    memory = {}
    for round in (1, 2, 3):
        before = frozen(memory)
        told = server.next_weights(round, CURRENT, collected(draw), memory)
        assert frozen(memory) == before
        memory = told.memory
    assert plot.seen == [(1, [0, 1, 2, 4, 5, 7]), (2, [0, 1, 2, 4, 5, 7])]
    assert memory["attack/rounds"].tolist() == [2], "also in rounds in which it does not act"
    plot.seen.clear()
    replace(server, surrogate=True).next_weights(1, CURRENT, collected(draw), {})
    assert plot.seen == [(1, [3, 6])], "who sees its own updates only"


@pytest.mark.parametrize("attack", ["alie", "ipm", "min-max", "mimic", "fang-krum", "optimised-alie"])
def test_a_round_of_malicious_clients_alone_is_attacked_too(draw, attack):
    server = step(clients=4, poisoning__attack=attack, poisoning__malicious=4)
    replies = collected(draw, 4)
    own = replies.updates.copy()
    told = server.next_weights(1, CURRENT, replies, {})
    assert (told.record.attacked, told.record.valid) == (True, True)
    assert (replies.updates != own).any(), (
        "what they would have sent stands for the honest updates, and is not sent"
    )
    assert told.record.distance is None, "there is no honest mean"


@dataclass(frozen=True)
class Crashes:
    def collude(self, honest, context):
        context.outcome(np.zeros(D, np.float32))
        raise KeyError("target")


def test_a_coalition_that_crashes_is_a_failure_of_each_of_its_members(draw):
    server, rule = conspiring(Crashes())
    replies = collected(draw)
    own = replies.updates.copy()
    told = server.next_weights(1, CURRENT, replies, {})
    assert told.attack_failures == (Failure(3, "KeyError: 'target'"), Failure(6, "KeyError: 'target'"))
    assert (told.record.valid, told.record.attacked) == (False, True)
    assert told.record.attack_failures[1] == Failure(6, "KeyError: 'target'").record()
    np.testing.assert_array_equal(rule.seen[-1][0], own)


@dataclass(frozen=True)
class Foresees:
    """A coalition that notes the step of the server that it expects from tens."""

    foreseen: list = field(default_factory=list, hash=False)

    def collude(self, honest, context):
        tens = np.full((context.malicious, D), 10.0, np.float32)
        self.foreseen.append((context.step(tens), context.step(tens * np.float32(1e30))))
        return tens


@pytest.mark.parametrize(
    ("rule", "optimizer"), [("mean", "none"), ("centred-clipping", "fedadam"), ("fldetector", "fedavgm")]
)
def test_a_coalition_foresees_the_servers_step_with_all_that_is_remembered(rule, optimizer, draw):
    server = step(
        poisoning__attack="ipm",
        poisoning__malicious=[3, 6],
        federation__aggregator=rule,
        federation__server_optimizer=optimizer,
    )
    plan = Foresees()
    server = replace(server, attack=Attack((plan,)))
    first = server.next_weights(1, CURRENT, collected(draw), {})
    before = frozen(first.memory)
    with np.errstate(invalid="ignore", over="ignore"):
        second = server.next_weights(2, first.weights, collected(draw), first.memory)
    (foreseen, _) = plan.foreseen[-1]
    np.testing.assert_array_equal(first.weights.trainable + foreseen, second.weights.trainable)
    assert frozen(first.memory) == before, "trials leave no trace"


def test_a_coalition_foresees_that_a_round_is_rejected(draw):
    server = step(
        poisoning__attack="ipm", poisoning__malicious=[3, 6], federation__server_optimizer="fedavgm"
    )
    plan = Foresees()
    replace(server, attack=Attack((plan,))).next_weights(1, CURRENT, collected(draw), {})
    ((foreseen, absurd),) = plan.foreseen
    assert np.isfinite(foreseen).all()
    assert np.isnan(absurd).all(), "the optimiser would remember it"


# -- Figures -------------------------------------------------------------------------------------------------------

RATES = ("true_positive_rate", "false_positive_rate", "rare_false_positive_rate", "accepted")


@pytest.mark.parametrize(
    "rule", ["mean", "mean(weighting='capped', cap=1.1)", "mean(weighting='uniform')", "flower:FedAvg"]
)
def test_the_mean_is_at_no_distance_from_the_honest_mean_where_nobody_attacks(rule, draw):
    settings = {"federation__aggregator": rule, "poisoning__attack": "sign-flip", "poisoning__malicious": 2}
    calm = step(**settings, poisoning__first_round=2)
    examples = [1, 400, 3, 50, 8, 8, 90, 7]
    with server_identity():
        record = calm.next_weights(1, CURRENT, collected(draw, examples=examples), {}).record
    assert record.distance <= 1e-6
    assert record.attacked is False
    assert len(record.malicious) == 2
    assert record.true_positive_rate is None
    attacked = step(**settings)
    replies = collected(draw, examples=examples, attackers=sorted(attacked.malicious))
    with server_identity():
        assert attacked.next_weights(1, CURRENT, replies, {}).record.distance > 0.1


def test_the_honest_mean_is_that_of_the_honest_clients_weighted_as_the_rule_weights(draw):
    server = step(clients=3, poisoning__attack="sign-flip", poisoning__malicious=[0])
    replies = collected(draw, 3, examples=[100, 1, 3])
    replies.updates[:] = np.array([[-9.0], [1.0], [5.0]], np.float32)
    record = server.next_weights(1, CURRENT, replies, {}).record
    honest, reached = (1 * 1 + 3 * 5) / 4, (-9 * 100 + 1 * 1 + 3 * 5) / 104
    assert record.honest_norm == pytest.approx(honest * np.sqrt(D))
    assert record.distance == pytest.approx((honest - reached) * np.sqrt(D), rel=1e-6)


@pytest.mark.parametrize("rule", ["mean", "geometric-median", "norm-clipping", "centred-clipping"])
def test_rules_that_only_weight_have_no_rate_of_those_left_out(rule, draw):
    server = step(federation__aggregator=rule, poisoning__attack="sign-flip", poisoning__malicious=[1, 2])
    record = server.next_weights(1, CURRENT, collected(draw, attackers=[1, 2]), {}).record
    assert [getattr(record, name) for name in RATES] == [None] * 4
    assert 0 < record.malicious_influence < 1
    assert record.attacked
    assert record.valid


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "rlr"])
def test_rules_by_coordinate_have_none_either(rule, draw):
    server = step(federation__aggregator=rule, poisoning__attack="sign-flip", poisoning__malicious=[1, 2])
    record = server.next_weights(1, CURRENT, collected(draw, attackers=[1, 2]), {}).record
    assert [getattr(record, name) for name in (*RATES, "influence", "malicious_influence")] == [None] * 6


@pytest.mark.parametrize("rule", ["krum", "multi-krum", "mda"])
def test_rules_that_choose_have_rates(rule, draw):
    server = step(federation__aggregator=rule, poisoning__attack="sign-flip", poisoning__malicious=[1, 2])
    told = server.next_weights(1, CURRENT, collected(draw, attackers=[1, 2]), {}, refused=[])
    assert told.record.true_positive_rate == 1.0
    left = 6 - len(told.record.accepted)
    assert told.record.false_positive_rate == pytest.approx(left / 6)


def test_a_choosing_rule_that_lets_everybody_in_left_nobody_out(draw):
    settings = {"poisoning__attack": "ipm", "poisoning__malicious": 1, "federation__tolerate": 0}
    server = step(federation__aggregator="multi-krum(m=8)", **settings)
    replies = collected(draw)
    server = replace(server, attack=Attack(()))
    record = server.next_weights(1, CURRENT, replies, {}).record
    assert (record.true_positive_rate, record.false_positive_rate) == (0.0, 0.0)


def test_a_rule_of_ones_own_need_not_say_that_it_chooses(draw):
    server = replace(
        step(poisoning__attack="sign-flip", poisoning__malicious=[1, 2]),
        defence=AggregationPipeline(Chooses((0, 3, 4))),
    )
    record = server.next_weights(1, CURRENT, collected(draw, attackers=[1, 2]), {}).record
    assert (record.true_positive_rate, record.false_positive_rate) == (1.0, 0.5)


@pytest.mark.parametrize("rule", ["mean", "median", "multi-krum"])
def test_attackers_whose_replies_were_refused_attacked_and_were_left_out(rule, draw):
    server = step(
        clients=10, federation__aggregator=rule, poisoning__attack="not-finite", poisoning__malicious=[8, 9]
    )
    record = server.next_weights(1, CURRENT, collected(draw), {}, refused=[8, 9]).record
    assert (record.attacked, record.malicious, record.refused) == (True, (8, 9), (8, 9))
    assert (record.true_positive_rate, record.malicious_influence) == (1.0, 0.0)
    honest = server.next_weights(1, CURRENT, collected(draw), {}, refused=[5, 9]).record
    assert honest.refused == (9,), "an honest client that is refused is no attacker caught"


def test_of_some_refused_and_some_left_out_both_count(draw):
    server = replace(
        step(clients=10, poisoning__attack="sign-flip", poisoning__malicious=[1, 2, 9]),
        defence=AggregationPipeline(Chooses((0, 2, 3))),
    )
    record = server.next_weights(1, CURRENT, collected(draw, 9), {}, refused=[9]).record
    assert record.true_positive_rate == pytest.approx(2 / 3), "9 was refused, 1 left out, 2 let in"
    assert record.false_positive_rate == pytest.approx(5 / 7)
    assert (record.malicious, record.malicious_influence) == ((1, 2, 9), pytest.approx(1 / 3))


def test_a_round_in_which_an_attacker_failed_has_no_figures_of_the_defence(draw):
    server = step(
        clients=9,
        federation__aggregator="multi-krum",
        poisoning__attack="sign-flip",
        poisoning__malicious=[1, 8],
    )
    failure = Failure(8, "TypeError: part")
    record = server.next_weights(1, CURRENT, collected(draw, attackers=[1]), {}, failures=[failure]).record
    assert (record.valid, record.attacked, record.malicious) == (False, True, (1, 8))
    assert record.attack_failures == (Failure(8, "TypeError: part").record(),)
    nothing = (*RATES, "influence", "malicious_influence", "distance", "honest_norm")
    assert [getattr(record, name) for name in nothing] == [None] * len(nothing)
    assert record.seconds > 0


@pytest.mark.parametrize(("attack", "acts"), [("min-max", False), ("alie", False), ("ipm", True)])
def test_a_lone_attacker_with_nothing_to_compare_has_not_attacked(draw, attack, acts):
    server = replace(
        step(clients=6, poisoning__attack=attack, poisoning__malicious=[1, 4], poisoning__knowledge="own"),
        surrogate=True,
    )
    replies = collected(draw, 6)
    without = [0, 1, 2, 3, 5]
    alone = Collected(
        replies.client_ids[without],
        replies.updates[without],
        replies.statistics[without],
        replies.examples[without],
    )
    own = alone.updates[1].copy()
    found = server.next_weights(1, CURRENT, alone, {})
    assert found.record.attacked is acts
    assert np.array_equal(alone.updates[1], own) is not acts


def test_the_servers_own_update_is_asked_for_with_the_registered_median_of_images(draw):
    asked = []

    def root(current, images, round, typical=None):
        asked.append((images, round, typical))
        return np.ones(D, np.float32)

    server = step_of(Experiment.of(federation__clients=8, federation__aggregator="fltrust(images=30)"), root)
    server.next_weights(3, CURRENT, replace(collected(draw), typical=17.5), {})
    assert asked == [(30, 3, 17.5)]
