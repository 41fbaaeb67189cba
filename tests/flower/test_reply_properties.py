"""Properties of what is read of others, on generated replies: derandomised, so that a failure is one for everybody."""

import math

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrobust.flower.guard import MOST_NAME, UnreadableError, plain_records, plain_reply
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import LiveArray, vector_of, weights_record
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.plain import plain, plain_text
from fedrobust.reasons import first_reason
from server.replies import Failure, Reply, read_reply

LAYOUT = Layout((Entry("kernel", (6,), "trainable"), Entry("mean", (2,), "statistic")))
derandomised = settings(derandomize=True, deadline=None, max_examples=40, database=None)

texts = st.text(max_size=3000)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    texts,
    st.lists(st.floats(), max_size=5),
)


@derandomised
@given(st.text(max_size=600), st.integers(1, 400))
def test_a_shown_text_is_one_printable_line_of_the_wanted_length(text, most):
    shown = plain_text(text, most)
    assert len(shown) <= most
    assert shown.isprintable() or not shown
    assert "\n" not in shown
    assert plain_text(shown, most) == shown, "what is plain stays as it is"


@derandomised
@given(st.text(alphabet=st.sampled_from("a \x1b[]m\n\t\x07\u202e\ud800:("), max_size=9000))
def test_a_reason_is_one_printable_line(text):
    reason = first_reason(text)
    assert reason.isprintable()
    assert 0 < len(reason) <= 300


@derandomised
@given(
    st.recursive(numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
)
def test_a_record_can_be_written_whatever_is_in_it(value):
    import json

    json.dumps(plain(value), allow_nan=False).encode("utf-8")


@derandomised
@given(st.binary(max_size=300), st.integers(0, 130), st.integers(0, 255))
def test_bytes_are_an_array_of_numbers_or_no_array(tail, place, value):
    whole = bytearray(Array(np.arange(4, dtype=np.float32)).data)
    for data in (
        bytes(tail),
        bytes(whole[:place]) + tail,
        bytes([*whole[:place], value, *whole[place + 1 :]]),
    ):
        try:
            found = vector_of(Array("float32", (4,), "numpy.ndarray", data))
        except ValueError:
            continue
        assert found.nbytes <= len(data), "no more memory than bytes that were sent"
        assert not found.flags.writeable


metrics = st.dictionaries(
    st.sampled_from(["num-examples", "round", "loss", "seconds", "steps", "more", "x" * (MOST_NAME + 1)]),
    numbers,
    max_size=6,
)


def message_of(content):
    with server_identity():
        asked = Message(RecordDict(), 1, MessageType.TRAIN, group_id="1")
        return asked, Message(content, reply_to=asked)


@derandomised
@given(
    metrics, st.lists(st.floats(width=32), min_size=0, max_size=8), st.lists(st.floats(width=32), max_size=3)
)
def test_a_reply_is_read_to_the_bit_or_is_a_failure_in_a_line(claimed, trainable, statistics):
    content = RecordDict()
    record = MetricRecord()
    record.__dict__["_data"].update({"round": 1, "num-examples": 5, **claimed})
    sent = Weights(np.array(trainable, np.float32), np.array(statistics, np.float32))
    content.__dict__["_data"].update(weights=weights_record(sent), metrics=record)
    asked, reply = message_of(content)
    try:
        found = read_reply(plain_reply(reply, asked, asked.metadata.message_id), 3, LAYOUT, 1)
    except UnreadableError:
        return
    if isinstance(found, Failure):
        assert found.client_id == 3
        assert found.reason.isprintable()
        assert len(found.reason) <= 300
        return
    assert isinstance(found, Reply)
    assert found.weights.trainable.tobytes() == sent.trainable.tobytes()
    assert found.weights.statistics.tobytes() == sent.statistics.tobytes()
    assert np.isfinite(sent.trainable).all()
    assert type(found.examples) is int
    assert found.examples >= 1
    assert math.isnan(found.loss) or abs(found.loss) <= 1e30
    assert math.isnan(found.seconds) or 0 <= found.seconds <= 1e8


@derandomised
@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.floats(allow_nan=False), max_size=8),
    st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50) | st.booleans(), max_size=8),
)
def test_records_within_the_limits_come_through_unchanged(numbers, settings):
    content = RecordDict(
        {
            "numbers": MetricRecord(dict(numbers)),
            "settings": ConfigRecord(dict(settings)),
            "arrays": ArrayRecord(
                {name: LiveArray(np.float32([value % 7])) for name, value in numbers.items()}
            ),
        }
    )
    found = plain_records(content)
    assert found == content
    assert found is not content


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_names_and_counts_beyond_the_limits_are_refused(count):
    record = MetricRecord({str(place): 1.0 for place in range(count)})
    assert plain_records(RecordDict({"m": record}))["m"] == record
    record.__dict__["_data"]["y" * (MOST_NAME + 1)] = 1.0
    with pytest.raises(UnreadableError, match=f"{MOST_NAME} are read at most"):
        plain_records(RecordDict({"m": record}))
