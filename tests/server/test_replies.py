"""Every reply is hostile until checked."""

import json
import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MessageType, MetricRecord, RecordDict
from small_federation import federation_of

from fedrobust.code_digest import code_digest
from fedrobust.data.problem import Problem
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import weights_record
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.runs.record import to_json
from fedrobust.shares import round_half_up
from server.client_registry import registry_of
from server.errors import RoundError
from server.replies import Failure, NodeInfo, Reply, read_node_info, read_reply
from server.round_outcome import Aggregated

LAYOUT = Layout((Entry("kernel", (3,), "trainable"), Entry("mean", (2,), "statistic")))


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def message(records=None, node=1):
    asked = Message(RecordDict(), node, MessageType.TRAIN)
    return Message(RecordDict(records or {}), reply_to=asked)


def honest(value=1.0, examples=10, **metrics):
    weights = Weights(np.full(3, value, np.float32), np.full(2, value, np.float32))
    return {
        "weights": weights_record(weights),
        "metrics": MetricRecord(
            {"num-examples": examples, "loss": 0.5, "seconds": 1.0, "round": 1, **metrics}
        ),
    }


def with_arrays(**arrays):
    return {**honest(), "weights": ArrayRecord({name: Array(array) for name, array in arrays.items()})}


def test_an_honest_reply_is_read():
    reply = read_reply(message(honest(2.0)), 4, LAYOUT, 1)
    assert isinstance(reply, Reply)
    assert (reply.client_id, reply.examples, reply.loss) == (4, 10, 0.5)
    assert reply.weights.trainable.tolist() == [2.0] * 3


ONES, TWO = np.ones(3, np.float32), np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({}, r"records \[\]: a reply has weights and metrics"),
        (
            {"weights": MetricRecord({"x": 1}), "metrics": MetricRecord({"x": 1})},
            "a reply has weights and metrics",
        ),
        (with_arrays(trainable=ONES), "weights have no statistics"),
        (with_arrays(trainable=np.ones(4, np.float32), statistics=TWO), r"trainable is float32 \(4,\)"),
        (with_arrays(trainable=np.ones(3), statistics=TWO), "trainable is float64"),
        (with_arrays(trainable=ONES[:, None], statistics=TWO), r"\(3, 1\)"),
        (with_arrays(trainable=ONES * np.nan, statistics=TWO), "trainable has 3 numbers that are not finite"),
        (
            with_arrays(trainable=ONES, statistics=TWO * np.inf),
            "statistics has 2 numbers that are not finite",
        ),
        (honest(examples=0), "num-examples = 0"),
        (honest(examples=-5), "num-examples = -5"),
        (honest(examples=10**30), "num-examples = 1000"),
        (honest(examples=0.5), "num-examples = 0.5"),
        ({**honest(), "metrics": MetricRecord({"loss": 1.0, "round": 1})}, "num-examples = None"),
        ({**honest(), "more": MetricRecord({"x": 1})}, "and nothing else"),
        (with_arrays(trainable=ONES, statistics=TWO, more=TWO), "weights hold .*more"),
        (honest(gift=1), r"metrics \['gift'\] were not asked for"),
        (honest(round=2), "a reply to round 2: this is round 1"),
        (
            honest(**dict.fromkeys("gfedcba", 1)),
            r"^metrics \['a', 'b', 'c', 'd', 'e'\] were not asked for$",
        ),
        (honest(**{"x" * 10**6: 1}), r"^metrics \['x{40}'\] were not asked for$"),
    ],
)
def test_what_is_not_an_honest_reply_is_refused_with_a_reason(records, reason):
    answer = read_reply(message(records), 4, LAYOUT, 1)
    assert isinstance(answer, Failure)
    assert re.search(reason, answer.reason)


SENDS = {"control": 3, "factor": 1}


def beside(**arrays):
    return {**honest(2.0), "algorithm": ArrayRecord({name: Array(array) for name, array in arrays.items()})}


def test_what_an_algorithm_sends_is_read_in_the_order_of_its_names():
    reply = read_reply(message(beside(factor=ONES[:1] * 7, control=ONES)), 4, LAYOUT, 1, beside=SENDS)
    assert reply.beside.tolist() == [1, 1, 1, 7]
    assert reply.averaged.statistics.tolist() == [2, 2, 1, 1, 1, 7]
    plain = read_reply(message(honest()), 4, LAYOUT, 1)
    assert plain.averaged is plain.weights


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (honest(), r"records \['metrics', 'weights'\]: the algorithm sends \['control', 'factor'\]"),
        ({**honest(), "algorithm": MetricRecord({"x": 1})}, "the algorithm sends"),
        (beside(control=ONES), "no factor"),
        (beside(control=TWO, factor=ONES[:1]), r"control is float32 \(2,\): float32 \(3,\) is expected"),
        (beside(control=ONES * np.nan, factor=ONES[:1]), "control has 3 numbers that are not finite"),
        (beside(control=ONES, factor=ONES[:1], more=ONES), "the algorithm sends"),
        ({**beside(control=ONES, factor=ONES[:1]), "more": MetricRecord({"x": 1})}, "and nothing else"),
    ],
)
def test_what_an_algorithm_does_not_send_is_refused(records, reason):
    answer = read_reply(message(records), 4, LAYOUT, 1, beside=SENDS)
    assert isinstance(answer, Failure)
    assert re.search(reason, answer.reason)


def test_nobody_sends_what_the_algorithm_does_not_ask_for():
    assert "and nothing else" in read_reply(message(beside(control=ONES)), 4, LAYOUT, 1).reason


def test_bytes_that_are_not_an_array_are_refused():
    records = honest()
    records["weights"]["trainable"] = Array("float32", (3,), "numpy.ndarray", b"not an array")
    answer = read_reply(message(records), 4, LAYOUT, 1)
    assert isinstance(answer, Failure)
    assert "cannot be decoded" in answer.reason
    lying = honest()
    big = Array(np.ones(1000, np.float32))
    lying["weights"]["trainable"] = Array("float32", (3,), big.stype, big.data)
    assert "trainable holds float32 (1000,)" in read_reply(message(lying), 4, LAYOUT, 1).reason


def test_errors_are_reported_by_their_last_line():
    asked = Message(RecordDict(), 1, MessageType.TRAIN)
    error = Message(Error(2, "Traceback ...\n  file\nOSError: disk full"), reply_to=asked)
    assert read_reply(error, 4, LAYOUT, 1) == Failure(4, "OSError: disk full")
    assert read_reply(Message(Error(7), reply_to=asked), 4, LAYOUT, 1) == Failure(4, "error 7")
    assert read_node_info(error, LAYOUT, 5) == Failure(1, "OSError: disk full")


INTRODUCTION = {
    "partition": 2,
    "parameters": 3,
    "num-examples": 7,
    "step-seconds": 0.5,
    "memory-bytes": 10**9,
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"partition": 5}, "partition = 5: the study has 0 to 4"),
        ({"parameters": 4}, "a model of 4 parameters"),
        ({"partition": None}, "partition = None"),
        ({"num-examples": 0}, "num-examples = 0"),
        ({"num-examples": None}, "num-examples = None"),
    ],
)
def test_introductions(changes, reason):
    def read(record):
        given = {key: value for key, value in record.items() if value is not None}
        records = {"hospital": MetricRecord(given), "software": ConfigRecord({"code": code})}
        return read_node_info(message(records), LAYOUT, 5)

    code = code_digest()
    assert read(INTRODUCTION) == NodeInfo(2, 1, 7, 0.5, 10**9)
    assert read({**INTRODUCTION, **changes}).reason.startswith(reason)
    code = "0" * 64
    assert read(INTRODUCTION).reason.startswith("fedrobust's code there has digest 000000000000")


def made(clients=4, sizes=None, **settings):
    return federation_of(LAYOUT, sizes or [10**6] * clients, **settings)


def weights(value=0.0):
    return Weights(np.full(3, value, np.float32), np.full(2, value, np.float32))


def sent(federation):
    return [
        each.metadata.dst_node_id for each in federation.messages(1, weights(), federation.sampling.sample(1))
    ]


def aggregated(federation, replies, value=0.0) -> Aggregated:
    return federation.aggregate(1, weights(value), federation.sampling.sample(1), replies, {})


def test_clients_with_many_images_are_sent_theirs_first():
    assert sent(made(sizes=[10, 30, 20, 30])) == [101, 103, 102, 100]


def test_mean_weights_clients_by_their_images_whatever_the_order():
    federation = made()
    assert sent(federation) == [100, 101, 102, 103]
    replies = [message(honest(float(node), examples=node - 99), node) for node in (103, 100, 102, 101)]
    found = aggregated(federation, replies)
    expected = (100 * 1 + 101 * 2 + 102 * 3 + 103 * 4) / 10
    np.testing.assert_allclose(found.weights.trainable, expected, rtol=1e-6)
    np.testing.assert_allclose(found.weights.statistics, expected, rtol=1e-6)
    assert found.outcome.trained == 4


def test_a_silent_client_is_a_failure_and_too_many_end_the_round():
    federation = made(federation__min_replies=0.5)
    found = aggregated(federation, [message(honest(), node) for node in (100, 101)])
    assert [failure.reason for failure in found.outcome.failures] == ["no reply in time"] * 2
    assert found.fault == ""
    found = aggregated(federation, [message(honest(), 100)])
    assert found.weights is None
    assert "1 of 4 sampled clients are left" in found.fault


def test_replies_are_read_when_they_come_and_not_kept():
    alive = []

    def arriving():
        for node in (102, 100, 103, 101):
            reply = message(honest(float(node)), node)
            alive.append(weakref.ref(reply))
            yield reply
            del reply
            assert sum(item() is not None for item in alive) <= 1

    aggregated(made(), arriving())
    assert len(alive) == 4


def test_strangers_and_second_replies_are_not_heard():
    replies = [message(honest(1.0), 100), message(honest(9.0), 100), message(honest(9.0), 555)]
    found = aggregated(made(federation__min_replies=0), replies)
    assert found.weights.trainable.tolist() == [1.0] * 3
    unasked = [(failure.client_id, failure.reason) for failure in found.outcome.failures[:2]]
    assert unasked == [(-1, "it answered unasked"), (0, "it answered unasked")]


def test_a_client_may_not_claim_more_images_than_it_introduced_itself_with():
    replies = [message(honest(1.0, examples=20), node) for node in (100, 101, 102)]
    liar = message(honest(1e9, examples=21), 103)
    found = aggregated(made(sizes=[20, 20, 20, 20]), [*replies, liar])
    assert found.weights.trainable.tolist() == [1.0] * 3
    reason = found.outcome.failures[0].reason
    assert reason == "num-examples = 21: it introduced itself with 20 images"
    trusting = made(sizes=[20, 20, 20, 20], federation__claims="trusted")
    assert aggregated(trusting, [*replies, liar]).weights.trainable[0] > 1e8


@pytest.mark.parametrize(
    "attackers",
    [{}, {"poisoning__attack": "not-finite", "poisoning__malicious": 3}],
    ids=["unknown", "known"],
)
def test_what_a_round_needs_does_not_depend_on_whether_attackers_are_known(attackers):
    replies = [message(honest(np.nan), node) for node in (100, 101, 102)]
    found = aggregated(made(**attackers), [*replies, message(honest(9.0), 103)], value=7.0)
    assert found.weights is None
    assert "1 of 4 sampled clients are left, federation.min-replies = 0.5 asks for 2" in found.fault
    assert found.outcome.trained == 1


@pytest.mark.parametrize(("share", "clients", "good", "enough"), [
    (0.0, 4, 0, False),  # of nobody there is no model
    (0.0, 4, 1, True),
    (0.5, 5, 2, False),  # half of five is three
    (0.5, 5, 3, True),
    (1.0, 3, 2, False),
    (1.0, 3, 3, True),
])  # fmt: skip
def test_how_many_good_replies_a_round_needs(share, clients, good, enough):
    federation = made(clients=clients, federation__min_replies=share)
    found = aggregated(federation, [message(honest(), 100 + client) for client in range(good)])
    assert found.outcome.trained == good
    assert (found.weights is not None) == enough
    if enough:
        assert found.fault == ""
    else:
        assert f"asks for {max(1, -(-int(share * 10) * clients // 10))}; " in found.fault


def test_what_a_defended_round_tells():
    federation = made(
        clients=6,
        federation__aggregator="multi-krum",
        poisoning__attack="sign-flip",
        poisoning__malicious=[1],
    )
    values = (1.0, -50.0, 1.1, 0.9, 1.2, 1.0)
    found = aggregated(federation, [message(honest(value), 100 + i) for i, value in enumerate(values)])
    told = found.outcome.defence
    assert (told.malicious, told.accepted, told.tolerated) == ((1,), (0, 2, 3, 4, 5), 1)
    assert (told.true_positive_rate, told.false_positive_rate) == (1.0, 0.0)
    assert told.malicious_influence == 0.0
    assert told.distance < 1e-6
    assert np.isclose(told.honest_norm, 1.04 * np.sqrt(3))
    assert told.bytes == 6 * 3 * 4


def test_a_rule_that_compares_clients_gets_one_row_for_each_that_answered():
    federation = made(federation__aggregator="median", clients=5)
    # Client 2 fails, client 4 is an attacker: of 2, 3, 4 and 1e9 the median is 3.5.
    replies = [
        message(honest(value), node) for node, value in ((104, 1e9), (100, 2.0), (103, 4.0), (101, 3.0))
    ]
    found = aggregated(federation, replies, value=1.0)
    assert found.weights.trainable.tolist() == [3.5] * 3
    assert found.weights.statistics.tolist() == [3.5] * 2


def test_sampling_is_seeded_by_round_and_goes_by_partition():
    federation = made(clients=20, federation__participation=0.3)
    assert federation.sampling.sample(1) == made(clients=20, federation__participation=0.3).sampling.sample(1)
    assert len(federation.sampling.sample(1)) == 6
    assert len({tuple(federation.sampling.sample(round)) for round in range(1, 20)}) > 15
    counts = np.bincount([p for round in range(400) for p in federation.sampling.sample(round)], minlength=20)
    assert counts.min() > 80, "every client's turn comes"
    assert made(clients=20, federation__participation=0.01).sampling.sample(1) != []


def test_halves_go_up():
    assert [round_half_up(value) for value in (0.5, 1.5, 2.5, 2.4)] == [1, 2, 3, 2]


def unchecked(**metrics):
    """Return an honest reply whose metrics are what Flower's records would not let in."""
    records = honest()
    records["metrics"].__dict__["_data"].update(metrics)
    return records


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"round": 1.0}, "a reply to round 1.0: this is round 1"),
        ({"round": True}, "a reply to round True: this is round 1"),
        ({"round": [1]}, r"a reply to round \[1\]: this is round 1"),
        ({"num-examples": True}, "num-examples = True"),
        ({"num-examples": 10.0}, "num-examples = 10.0"),
        ({"num-examples": -(10**400)}, "num-examples = -1000"),
        ({"num-examples": 10**20_000}, r"num-examples = a whole number of 66439 bits"),
        ({"num-examples": "\x1b[2J9"}, "num-examples = 9: a whole number"),
        ({"num-examples": [10] * 10**6}, r"num-examples = \[10, 10"),
    ],
)
def test_claims_are_whole_numbers_of_sense_or_refused(metrics, reason):
    answer = read_reply(message(unchecked(**metrics)), 4, LAYOUT, 1)
    assert isinstance(answer, Failure)
    assert re.search(reason, answer.reason)
    assert len(answer.reason) <= 300


@pytest.mark.parametrize("name", ["loss", "seconds"])
@pytest.mark.parametrize(
    "value", [1.7e308, -1.7e308, np.inf, -np.inf, np.nan, 10**400, -(10**400), True, "1", [1.0]]
)
def test_what_only_tells_something_is_left_out_where_it_cannot_be(name, value):
    reply = read_reply(message(unchecked(**{name: value})), 4, LAYOUT, 1)
    assert isinstance(reply, Reply)
    assert np.isnan(getattr(reply, name))


def test_absurd_seconds_and_losses_reach_no_record():
    claims = ({"seconds": 1.7e308}, {"seconds": -5.0, "loss": 1e308}, {"loss": -np.inf}, {})
    replies = [message(unchecked(**claim), 100 + node) for node, claim in enumerate(claims)]
    told = aggregated(made(), replies).outcome.record()
    json.dumps(to_json(told), allow_nan=False)
    assert (told.trained, told.seconds, told.loss) == (4, 2.0, 0.5)


class SlyError(Exception):
    pass


@pytest.mark.parametrize(
    "error", [SlyError("x"), RecursionError(), MemoryError(), OverflowError(), KeyError("y")]
)
def test_whatever_reading_a_reply_raises_is_its_clients_failure(error):
    class Trap(dict):
        def __contains__(self, name):
            raise error

    records = honest()
    records["weights"].__dict__["_data"] = Trap()
    for answer in (
        read_reply(message(records), 4, LAYOUT, 1),
        read_node_info(message({"hospital": MetricRecord(), "software": ConfigRecord()}), LAYOUT, 5),
    ):
        assert isinstance(answer, Failure)
    assert type(error).__name__ in read_reply(message(records), 4, LAYOUT, 1).reason


@pytest.mark.parametrize(
    "data",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x04\x00((((", b"\x93NUMPY\x01\x00\xff\xff{", b"PK\x03\x04" * 9],
)
def test_bytes_of_every_kind_that_are_no_array_are_refused(data):
    records = honest()
    records["weights"]["trainable"] = Array("float32", (3,), "numpy.ndarray", data)
    assert "trainable cannot be decoded" in read_reply(message(records), 4, LAYOUT, 1).reason


def test_a_reason_is_one_short_line_whoever_wrote_it():
    asked = Message(RecordDict(), 1, MessageType.TRAIN)
    text = (
        "Traceback (most recent call last):\n  File x\nOSError: \x1b]0;t\x07\x1b[31mno\u202e\x00 disk"
        + "!" * 10**6
    )
    for answer in (
        read_reply(Message(Error(2, text), reply_to=asked), 4, LAYOUT, 1),
        read_node_info(Message(Error(2, text), reply_to=asked), LAYOUT, 5),
        Failure(4, text),
    ):
        assert answer.reason.isprintable()
        assert len(answer.reason) == 300
    assert read_reply(Message(Error(2, text), reply_to=asked), 4, LAYOUT, 1).reason.startswith(
        "OSError: no disk!!"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step-seconds": np.nan}, "step-seconds = nan: a number above 0"),
        ({"step-seconds": 1e308}, "step-seconds = 1e+308: a number above 0"),
        ({"step-seconds": 0.0}, "step-seconds = 0.0: a number above 0"),
        ({"step-seconds": -np.inf}, "step-seconds = -inf: a number above 0"),
        ({"step-seconds": [1.0]}, "step-seconds = [1.0]: a number above 0"),
        ({"step-seconds": 10**400}, "step-seconds = 1000"),
        ({"memory-bytes": 2**62}, "memory-bytes = 4611686018427387904: a whole number"),
        ({"memory-bytes": -1}, "memory-bytes = -1: a whole number"),
        ({"memory-bytes": 1e9}, "memory-bytes = 1000000000.0: a whole number"),
        ({"partition": True}, "partition = True: the study has 0 to 4"),
        ({"partition": 2.0}, "partition = 2.0: the study has 0 to 4"),
        ({"parameters": 3.0}, "a model of 3.0 parameters"),
        ({"num-examples": 2**40}, "num-examples = 1099511627776"),
    ],
)
def test_an_introduction_of_nonsense_costs_the_node_its_place(changes, reason):
    hospital = MetricRecord(INTRODUCTION)
    hospital.__dict__["_data"].update(changes)
    records = {"hospital": hospital, "software": ConfigRecord({"code": code_digest()})}
    assert read_node_info(message(records), LAYOUT, 5).reason.startswith(reason)


class Introduced(SimulatedGrid):
    """A simulation whose clients introduce themselves as they are told."""

    def __init__(self, hospitals, workers):
        def answer(asked):
            hospital = hospitals[asked.metadata.dst_node_id - 1]
            software = ConfigRecord({"code": code_digest()})
            return Message(
                RecordDict({"hospital": MetricRecord(hospital), "software": software}), reply_to=asked
            )

        super().__init__(
            lambda _: SimpleNamespace(answer=lambda asked, context: answer(asked), close=lambda: None),
            {},
            len(hospitals),
            workers,
        )


def introduced(*changes, workers=2):
    hospitals = [{**INTRODUCTION, "partition": place, **change} for place, change in enumerate(changes)]
    with Introduced(hospitals, workers) as grid:
        return registry_of(grid, Problem((28, 28, 1), 2), LAYOUT, len(changes), lambda: [10] * len(changes))


def test_a_liar_among_the_introductions_moves_no_figure_beyond_the_others():
    found = introduced({"step-seconds": 9e4, "memory-bytes": 2**46}, {}, {"step-seconds": 0.4}, workers=3)
    assert (found.step_seconds, found.memory_bytes) == (0.5, 10**9)
    assert introduced({"step-seconds": 9e4}, {}).step_seconds == 0.5


def test_workers_get_ready_in_the_name_of_the_next_clients_where_the_first_ones_cannot():
    lies = ({"step-seconds": np.inf}, {"partition": 0}, {"parameters": 4}, {})
    found = introduced(*lies, workers=1)
    assert len(found.refused) == 3
    assert found.refused[1] == "client 1 introduced itself as client 0"
    assert len(found.client_ids) == 4
    with pytest.raises(RoundError, match="none of 3 nodes is ready; first reason: step-seconds = inf"):
        introduced(*lies[:3], workers=1)


@pytest.mark.parametrize("reason", [3, None, b"bytes", [], "\ud800", object()])
def test_an_error_whose_reason_is_no_text_is_a_failure(reason):
    asked = Message(RecordDict(), 1, MessageType.TRAIN)
    hostile = Message(Error(2, "x"), reply_to=asked)
    hostile.error.__dict__["_reason"] = reason
    for answer in (read_reply(hostile, 4, LAYOUT, 1), read_node_info(hostile, LAYOUT, 5)):
        assert isinstance(answer, Failure)
        assert answer.reason.isprintable()


def test_numbers_that_hide_behind_a_class_of_their_own_are_seen():
    records = honest()
    masked = np.ma.array([1, np.nan, 1], np.float32, mask=[0, 1, 0])
    records["weights"]["trainable"].__dict__["values"] = masked
    assert "1 numbers that are not finite" in read_reply(message(records), 4, LAYOUT, 1).reason
