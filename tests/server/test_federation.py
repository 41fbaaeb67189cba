"""Which replies count, in studies that know of attackers and in studies that do not."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from flwr.app import Error, Message, MessageType, MetricRecord, RecordDict
from small_federation import FIRST_NODE, federation_of

from fedrobust.aggregation import RULES, Aggregation, AggregationPipeline
from fedrobust.config import ConfigError
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import arrays_of, arrays_record, weights_record
from fedrobust.models.layout import Entry, Layout, Part, Weights
from fedrobust.poisoning import Attack
from server.errors import AttackFailedError
from server.federation import Federation
from server.replies import Failure
from server.round_outcome import Aggregated

LAYOUT = Layout(
    (
        Entry("kernel", (3,), "trainable"),
        Entry("norm/moving_mean", (2,), "statistic"),
        Entry("norm/moving_variance", (2,), "statistic"),
        Entry("dropout/seed_state", (1,), "statistic"),
    )
)
GOOD = (0.5, -0.5, 1.0, 0.0, 4e9)
"""Means of either sign, a variance of 0 (a channel that is always 0), a counter of an own network."""

CURRENT = Weights(np.full(3, 7.0, np.float32), np.array(GOOD, np.float32))

KNOWN = {"poisoning__attack": "sign-flip", "poisoning__malicious": [3]}


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def made(clients=4, **settings) -> Federation:
    return federation_of(LAYOUT, [50] * clients, **settings)


def aggregated(federation, replies, memory=None, round=1) -> Aggregated:
    return federation.aggregate(round, CURRENT, federation.sampling.sample(round), replies, memory or {})


def asked(client):
    return Message(RecordDict(), FIRST_NODE + client, MessageType.TRAIN)


def reply(client, value=1.0, statistics=GOOD, round=1, loss=0.5):
    weights = Weights(np.broadcast_to(value, 3).astype(np.float32), np.array(statistics, np.float32))
    metrics = {"num-examples": 10, "loss": loss, "seconds": 1.0, "round": round}
    records = {"weights": weights_record(weights), "metrics": MetricRecord(metrics)}
    return Message(RecordDict(records), reply_to=asked(client))


def crash(client, reason="Traceback\nValueError: no class 7"):
    return Message(Error(2, reason), reply_to=asked(client))


def reasons(found):
    return {failure.client_id: failure.reason for failure in found.outcome.failures}


@pytest.mark.parametrize(
    "settings", [{}, {"federation__aggregator": "median"}, KNOWN], ids=["mean", "median", "known"]
)
@pytest.mark.parametrize(
    ("statistics", "reason"),
    [
        ((0.5, -0.5, 1.0, -0.5, 0), "statistics: 1 of 2 moving variances are negative"),
        ((0.5, -0.5, -1e-30, -3e38, 0), "statistics: 2 of 2 moving variances are negative"),
        ((1e30, 0, 1, 1, 0), "statistics: a moving mean of 1e+30, no more than 1e+06 either way is believed"),
        (
            (0, -1.1e6, 1, 1, 0),
            "statistics: a moving mean of -1.1e+06, no more than 1e+06 either way is believed",
        ),
        ((0, 0, 1, 3e38, 0), "statistics: a moving variance of 3e+38, no more than 1e+12 is believed"),
        ((0, 0, 1, np.nan, 0), "statistics has 1 numbers that are not finite"),
    ],
)
def test_statistics_that_no_network_measures_cost_their_client_its_place(settings, statistics, reason):
    found = aggregated(made(**settings), [reply(0), reply(1), reply(2, 99.0, statistics), reply(3)])
    assert {client: told.partition(", the first in ")[0] for client, told in reasons(found).items()} == {
        2: reason
    }
    assert found.outcome.trained == 3
    assert found.fault == ""
    assert found.weights.trainable.tolist() == [1.0] * 3
    assert found.weights.statistics.tolist() == list(np.array(GOOD, np.float32))


@pytest.mark.parametrize("statistics", [GOOD, (1e6, -1e6, 1e12, 0, -3e38), (-0.0, 0, -0.0, 1e-38, 1)])
def test_statistics_at_the_border_count(statistics):
    assert reasons(aggregated(made(), [reply(client, statistics=statistics) for client in range(4)])) == {}


def test_a_round_that_cannot_be_used_says_so_and_touches_no_memory():
    federation, nothing = made(federation__server_optimizer="fedadam"), {}
    first = aggregated(federation, [reply(client, 8.0) for client in range(4)], nothing)
    assert set(first.memory) == {"optimizer/mean", "optimizer/square"}
    assert nothing == {}, "it is for the caller to accept it"
    before = {name: array.tobytes() for name, array in first.memory.items()}
    memory = {name: np.frombuffer(array, np.float32) for name, array in before.items()}
    again = aggregated(federation, [reply(0, 3e38), *[reply(client) for client in (1, 2, 3)]], memory)
    assert "the server optimiser would remember them" in again.fault
    assert {name: array.tobytes() for name, array in memory.items()} == before
    assert {name: array.tobytes() for name, array in again.memory.items()} == before
    assert again.weights.trainable.tolist() == [7.0] * 3


@dataclass(frozen=True)
class Picky:
    """A rule that cannot work with large numbers."""

    def __call__(self, updates, context):
        if np.abs(np.asarray(updates)).max() > 1e9:
            raise np.linalg.LinAlgError("SVD did not converge")
        return Aggregation(np.asarray(updates).mean(0))


def test_a_rule_that_can_make_nothing_of_the_replies_has_failed_in_a_sentence():
    federation, memory = made(), {}
    picky = replace(federation, step=replace(federation.step, defence=AggregationPipeline(Picky())))
    found = aggregated(picky, [reply(0, 1e30), *[reply(client) for client in (1, 2, 3)]], memory)
    assert found.weights is None
    assert found.fault.startswith(
        "round 1: the rule can make nothing of the replies: mean: LinAlgError: SVD did not converge ("
    )
    assert (memory, found.memory) == ({}, {})


ABSURD = {
    "large": np.full(3, 1e13),
    "squares overflow": np.array([1e20, -1e20, 0]),
    "sums overflow": np.array([3e38, -3e38, 3e38]),
    "the smallest": np.full(3, 1e-45),
    "one number": np.array([0, 3.4e38, 0]),
}


@pytest.mark.parametrize(
    "before", [[], ["nnm"], ["bucketing"], ["clipping"], ["arc"]], ids=lambda names: "".join(names)
)
@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_finite_update_ends_a_study_whatever_the_rule(rule, before):
    """Three of fifteen clients send the same absurd weights, or each its own, in two rounds that the rule remembers."""
    settings = {
        "federation__aggregator": rule,
        "federation__pre_aggregators": before,
        "federation__tolerate": 3,
    }
    for name, own in itertools.product(["sums overflow"] if before else ABSURD, (1, -0.5)):
        try:
            federation = made(clients=15, **settings, federation__server_optimizer="fedadam")
        except ConfigError:
            pytest.skip("they do not go together")
        memory = {}
        for round in (1, 2):
            replies = [reply(client, 7 + 0.1 * client, round=round) for client in range(12)]
            replies += [reply(12 + k, ABSURD[name] * own**k, round=round) for k in range(3)]
            # A round may fail, the study goes on; nothing is raised.
            found = aggregated(federation, replies, memory, round)
            if not found.fault:
                memory = found.memory
            assert found.outcome.trained == 15


# -- Rules that weight clients by their losses ---------------------------------------------------------------------


@pytest.mark.parametrize("impossible", [float("nan"), float("inf"), -1e31, None])
def test_claimed_losses_reach_the_rule_and_impossible_ones_are_favoured_by_none(impossible):
    """Of five clients one is favoured, with weight 7 to 5; weights and statistics have the same mean."""
    federation = made(clients=5, federation__aggregator="sfat")
    statistics = [(float(client), 0.0, 1.0, 1.0, 0.0) for client in range(5)]
    claims = [0.9, 0.3, impossible, 0.5, 0.4]
    replies = [
        reply(k, float(k), statistics[k], loss=0.5 if claims[k] is None else claims[k]) for k in range(5)
    ]
    if impossible is None:
        del replies[2].content.metric_records["metrics"]["loss"]
    found = aggregated(federation, replies)
    mean = (0 * 5 + 1 * 7 + 2 * 5 + 3 * 5 + 4 * 5) / 27
    np.testing.assert_allclose(found.weights.trainable, mean, rtol=1e-6)
    np.testing.assert_allclose(found.weights.statistics[0], mean, rtol=1e-6)


# -- Attackers that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["crash", "silence"])
def test_an_attacker_that_fails_stops_the_study_in_words(way):
    federation = made(**KNOWN, federation__aggregator="median")
    told = [crash(3)] if way == "crash" else []
    with pytest.raises(AttackFailedError) as caught:
        aggregated(federation, [reply(0), reply(1), reply(2), *told])
    reason = "ValueError: no class 7" if way == "crash" else "no reply in time"
    assert str(caught.value).startswith(
        f"round 1: malicious client 3 failed: {reason}. Its attack did not run"
    )
    assert 'mend poisoning.attack = "sign-flip", or set poisoning.on-failure = "mark"' in str(caught.value)
    assert caught.value.outcome.defence.valid is False
    assert caught.value.outcome.defence.attack_failures == (Failure(3, reason).record(),)


def test_of_several_all_are_noted():
    settings = {
        "poisoning__attack": "sign-flip",
        "poisoning__malicious": [1, 3],
        "poisoning__on_failure": "mark",
    }
    replies = [crash(3, "TypeError: b"), reply(0), reply(2), crash(1, "TypeError: a")]
    defence = aggregated(made(**settings), replies).outcome.defence
    assert defence.attack_failures == (
        Failure(1, "TypeError: a").record(),
        Failure(3, "TypeError: b").record(),
    )
    assert (defence.attacked, defence.valid) == (True, False)
    assert defence.true_positive_rate is None
    stopping = made(**{**settings, "poisoning__on_failure": "stop"})
    with pytest.raises(AttackFailedError, match=r"malicious client 1 \(and 1 more\) failed: TypeError: a"):
        aggregated(stopping, replies)


def test_what_is_no_failure_of_an_attack():
    honest = aggregated(made(**KNOWN), [reply(0), reply(1), crash(2), reply(3)])
    assert honest.outcome.defence.valid, "an honest client failed"
    early = made(**KNOWN, poisoning__first_round=2)
    told = aggregated(early, [reply(0), reply(1), reply(2), crash(3)]).outcome.defence
    assert (told.valid, told.attacked) == (True, False), "it does not attack yet"
    told = aggregated(made(**KNOWN), [reply(0), reply(1), reply(2), reply(3, np.nan)]).outcome.defence
    assert (told.valid, told.attacked, told.refused) == (True, True, (3,)), "its reply was refused"
    assert told.true_positive_rate == 1.0


def test_a_coalition_that_fails_stops_the_study_too():
    class Crashes:
        def collude(self, honest, context):
            raise KeyError("target")

    for on_failure in ("stop", "mark"):
        federation = made(**{**KNOWN, "poisoning__attack": "ipm", "poisoning__on_failure": on_failure})
        crashing = replace(federation, step=replace(federation.step, attack=Attack((Crashes(),))))
        replies = [reply(client) for client in range(4)]
        if on_failure == "stop":
            with pytest.raises(
                AttackFailedError, match="malicious client 3 failed: KeyError: 'target'"
            ) as caught:
                aggregated(crashing, replies)
            outcome = caught.value.outcome
        else:
            outcome = aggregated(crashing, replies).outcome
        assert outcome.defence.valid is False


def test_a_round_that_comes_to_nothing_was_attacked_all_the_same():
    federation = made(**{**KNOWN, "poisoning__malicious": [1, 2, 3]})
    found = aggregated(federation, [reply(0), *[reply(client, np.inf) for client in (1, 2, 3)]])
    assert found.weights is None
    assert found.fault.startswith("round 1: 1 of 4 sampled clients are left")
    told = found.outcome.defence
    assert (told.attacked, told.valid, told.refused) == (True, True, (1, 2, 3))
    assert [getattr(told, name) for name in ("true_positive_rate", "accepted", "distance")] == [None] * 3


PART = Part(np.array([2]), np.array([1, 3]))


@pytest.mark.parametrize(
    "settings", [{}, {"federation__aggregator": "median"}, {"federation__server_optimizer": "fedadam"}]
)
def test_what_is_frozen_in_a_round_stays_whatever_clients_send(settings):
    federation = replace(made(**settings), part=lambda round: PART if round == 1 else None)
    sent = (-9.0, -9.0, 1.0, 0.5, 4e9)
    first = aggregated(federation, [reply(client, statistics=sent) for client in range(4)])
    assert first.weights.trainable[:2].tolist() == [7.0, 7.0]
    assert first.weights.trainable[2] < 7
    assert first.weights.statistics.tolist() == pytest.approx([0.5, -9.0, 1.0, 0.5, 4e9])
    second = aggregated(federation, [reply(client, round=2) for client in range(4)], first.memory, round=2)
    assert (second.weights.trainable < 7).all(), "unfrozen"


def test_a_client_that_moves_frozen_weights_far_looks_to_a_rule_as_if_it_did_not():
    federation = replace(
        made(5, federation__aggregator="krum", federation__tolerate=1), part=lambda round: PART
    )
    values = {0: (1e6, 0, 6.9), 1: (0, 0, 6.9), 2: (0, 0, 6.8), 3: (0, 0, 6.9), 4: (0, 0, 7.5)}
    found = aggregated(federation, [reply(client, value) for client, value in values.items()])
    assert found.weights.trainable.tolist() == pytest.approx([7.0, 7.0, 6.9])


@dataclass(frozen=True)
class Tells:
    """An algorithm whose server tells clients what it remembers, and whose clients send one number."""

    def client(self, start, state, train):
        raise AssertionError("nobody trains here")

    def sends(self, layout):
        return {"factor": 1}

    def broadcasts(self, memory):
        return {"mean": memory["mean"]} if memory else {}

    def server(self, update, memory, received):
        return update, {"mean": received.arrays["factor"]}


def sent_beside(client, number):
    found = reply(client)
    found.content["algorithm"] = arrays_record({"factor": np.array([number], np.float32)})
    return found


def test_what_the_server_remembers_goes_to_the_clients_and_what_they_send_comes_back():
    federation = made()
    told = replace(federation, step=replace(federation.step, algorithm=Tells(), beside={"factor": 1}))
    first = told.messages(1, CURRENT, [0, 1])
    assert all("algorithm" not in message.content for message in first)
    numbers = {0: 1.0, 1: 2.0, 2: 6.0, 3: 2e6}
    found = aggregated(told, [sent_beside(client, number) for client, number in numbers.items()])
    assert found.memory["algorithm/mean"].tolist() == [3]
    assert reasons(found) == {
        3: "beside its weights it sends a number of 2e+06, no more than 1e+06 is believed"
    }
    assert found.weights.statistics.shape == CURRENT.statistics.shape
    for message in told.messages(2, CURRENT, [0, 1], found.memory):
        assert arrays_of(message.content["algorithm"])["mean"].tolist() == [3]
    bare = aggregated(told, [reply(0), sent_beside(1, 1.0), sent_beside(2, 1.0), sent_beside(3, 1.0)])
    assert "the algorithm sends ['factor'] beside weights" in reasons(bare)[0]


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_moments_of_clients_are_averaged_and_become_statistics_again(rule):
    """Means -1, 1, 1, -1 with variance 2 each: E[x^2] = 3, so 3 - 0 together; the second channel is alike for all."""
    federation = replace(made(federation__aggregator=rule), batchnorm="moments")
    replies = [reply(client, statistics=(sign, 2, 2, 0.5, 1)) for client, sign in enumerate((-1, 1, 1, -1))]
    found = aggregated(federation, replies)
    assert (found.fault, reasons(found)) == ("", {})
    np.testing.assert_allclose(found.weights.statistics, [0, 2, 3, 0.5, 1], rtol=1e-6)
    averaged = aggregated(made(federation__aggregator=rule), replies)
    np.testing.assert_allclose(averaged.weights.statistics, [0, 2, 2, 0.5, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("rule", "expected"), [("mean", [0.75, 2.0]), ("sfat", [0.75, 2.0]), ("median", [0.75, 2.0])]
)
@pytest.mark.parametrize("attack", [{}, KNOWN | {"poisoning__malicious": [0]}], ids=["streamed", "collected"])
def test_shared_statistics_are_those_of_clients_that_changed_them(rule, expected, attack):
    """Clients 1 and 3 measured (1, 3) and (0.5, 1); the others return what they were sent, and weigh nothing."""
    federation = replace(made(federation__aggregator=rule, **attack), batchnorm="shared")
    measured = {1: (1.0, 0, 3.0, 0, 4e9), 3: (0.5, 0, 1.0, 0, 4e9)}
    replies = [reply(client, client, measured.get(client, GOOD)) for client in range(4)]
    found = aggregated(federation, replies)
    assert (found.fault, reasons(found)) == ("", {})
    assert found.weights.statistics[[0, 2]].tolist() == expected
    assert found.weights.trainable[0] == 1.5, "all clients count in the weights"
    averaged = aggregated(replace(federation, batchnorm="average"), replies)
    assert averaged.weights.statistics[[0, 2]].tolist() != expected


@pytest.mark.parametrize("rule", ["mean", "sfat", "median"])
def test_shared_statistics_stay_where_no_client_measured_any(rule):
    federation = replace(made(federation__aggregator=rule), batchnorm="shared")
    found = aggregated(federation, [reply(client) for client in range(4)])
    assert found.weights.statistics.tobytes() == CURRENT.statistics.tobytes()


def test_clients_are_told_to_measure_moments():
    told = [
        message.content.config_records["config"].get("batchnorm")
        for federation in (made(clients=1), replace(made(clients=1), batchnorm="moments"))
        for message in federation.messages(1, CURRENT, [0])
    ]
    assert told == [None, "moments"]


# -- Sites that come and go ----------------------------------------------------------------------------------------


def test_clients_whose_replies_are_lost_are_not_asked_and_count_as_failed():
    federation = made(
        federation__availability=["1: dropout(probability=1.0)"], federation__aggregator="median"
    )
    messages = federation.messages(1, CURRENT, federation.sampling.sample(1))
    assert [message.metadata.dst_node_id - FIRST_NODE for message in messages] == [0, 2, 3]
    found = aggregated(federation, [reply(client, client + 1.0) for client in (0, 2, 3)])
    assert reasons(found) == {1: "dropout: its reply is lost (federation.availability)"}
    assert (found.outcome.sampled, found.outcome.trained) == (4, 3)
    assert found.weights.trainable.tolist() == [3.0] * 3  # the median of 1, 3 and 4


@pytest.mark.parametrize("rule", ["mean", "median"])
def test_lost_replies_count_against_the_replies_that_a_round_needs(rule):
    settings = {"federation__availability": ["all: dropout(probability=1.0)"], "federation__aggregator": rule}
    found = aggregated(made(**settings), [])
    assert found.weights is None
    assert found.fault.startswith(
        "round 1: 0 of 4 sampled clients are left, federation.min-replies = 0.5 asks for 2"
    )
    assert "client 0: dropout: its reply is lost" in found.fault


def test_a_malicious_client_whose_reply_is_lost_does_not_attack():
    federation = made(**KNOWN, federation__availability=["3: dropout(probability=1.0)"])
    found = aggregated(federation, [reply(client) for client in range(3)])
    assert found.outcome.defence.attacked is False
    assert found.outcome.defence.malicious == ()
    assert found.outcome.defence.valid


def test_rounds_are_sampled_from_the_members():
    half = {"federation__participation": 0.5, "federation__availability": ["0-3: joins(round=3)"]}
    federation = made(clients=8, **half)
    early = [federation.sampling.sample(round) for round in (1, 2)]
    assert all(len(each) == 2 and min(each) >= 4 for each in early)
    assert len(federation.sampling.sample(3)) == 4
    assert federation.sampling.fullest_round(5) == 3


def test_a_round_without_members_fails_in_a_sentence():
    federation = made(federation__availability=["all: absent(first=1, last=1)"])
    found = aggregated(federation, [])
    assert found.weights is None
    assert "no client is a member of the federation in this round" in found.fault
