"""What a client's records become on their way: Flower's own types within limits, or a reason."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from fedrobust.flower.guard import (
    MOST_CONFIG,
    MOST_DIMENSIONS,
    MOST_ENTRIES,
    MOST_NAME,
    MOST_REASON,
    MOST_RECORDS,
    UnreadableError,
    failed_reply,
    plain_records,
    plain_reply,
)
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import LiveArray
from fedrobust.reasons import first_reason


def forced(record, **values):
    """Return a record with values that Flower's own checks may not let in."""
    record.__dict__["_data"].update(values)
    return record


def numbered(count):
    return {f"n{place}": 1 for place in range(count)}


ARRAY = Array(np.ones(1, np.float32))
HALF = MOST_ENTRIES // 2 + 1


def test_everything_at_its_limit_is_let_through():
    content = RecordDict(
        {
            "metrics": MetricRecord(
                {**numbered(MOST_ENTRIES - 5), "n" * MOST_NAME: 2**64 - 1, "low": -(2**63)}
            ),
            "settings": ConfigRecord({"text": "x" * MOST_CONFIG, "bytes": b"x" * MOST_CONFIG}),
            "arrays": ArrayRecord({"a": Array(np.ones((1,) * MOST_DIMENSIONS, np.float32))}),
            **{f"r{place}": MetricRecord() for place in range(MOST_RECORDS - 3)},
        }
    )
    assert plain_records(content) == content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({f"r{place}": MetricRecord() for place in range(MOST_RECORDS + 1)}, "more than 64 records"),
        ({"x": MetricRecord(numbered(MOST_ENTRIES + 1))}, "more than 10000 metrics"),
        ({"x": ConfigRecord(numbered(MOST_ENTRIES + 1))}, "more than 10000 settings"),
        (
            {"x": forced(ArrayRecord(), **dict.fromkeys(numbered(MOST_ENTRIES + 1), ARRAY))},
            "more than 10000 arrays",
        ),
        ({"x": MetricRecord(numbered(HALF)), "y": MetricRecord(numbered(HALF))}, "more than 10000"),
        ({"x": ConfigRecord(numbered(HALF)), "y": ConfigRecord(numbered(HALF))}, "more than 10000"),
        (
            {f"r{x}": forced(ArrayRecord(), **dict.fromkeys(numbered(HALF), ARRAY)) for x in (1, 2)},
            "more than 10000",
        ),
        ({"x": MetricRecord({"n": [1] * (MOST_ENTRIES + 1)})}, "more than 10000"),
        ({"x": ConfigRecord({"n": [1] * (MOST_ENTRIES + 1)})}, "more than 10000"),
        ({"x": MetricRecord({"n": [1] * HALF, "m": [1] * HALF})}, "more than 10000"),
        ({"x": MetricRecord({"n": 2**64})}, "beyond 64 bits"),
        ({"x": MetricRecord({"n": -(2**63) - 1})}, "beyond 64 bits"),
        ({"x": MetricRecord({"n": [1, 10**400]})}, "beyond 64 bits"),
        ({"x": forced(MetricRecord(), n=True)}, "a truth value"),
        ({"x": forced(MetricRecord(), n=[1.0, True])}, "a truth value"),
        ({"x": forced(MetricRecord(), n="1")}, "a whole number is a str"),
        ({"x": forced(MetricRecord(), n=None)}, "a whole number is nothing"),
        ({"x": MetricRecord({"n" * (MOST_NAME + 1): 1})}, "1001 characters"),
        ({"n" * (MOST_NAME + 1): MetricRecord()}, "1001 characters"),
        ({"x": ConfigRecord({"n": "x" * (MOST_CONFIG + 1)})}, "1000001 characters"),
        ({"x": ConfigRecord({"n": b"x" * (MOST_CONFIG + 1)})}, "more than 1000000 bytes"),
        ({"x": forced(ArrayRecord(), a=3)}, "an array is a int"),
        ({"x": forced(ArrayRecord(), a=LiveArray(np.empty(1, object)))}, "holds object"),
        ({"x": forced(ArrayRecord(), a=LiveArray(np.array(["x"])))}, "holds <U1"),
        ({"x": forced(ArrayRecord(), a=LiveArray(np.ones((1,) * 33)))}, "33 dimensions"),
        ({"x": ArrayRecord({"a": Array("f4", (1,) * 33, "numpy.ndarray", b"")})}, "a shape that is a tuple"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_with_a_reason(content, reason):
    with pytest.raises(UnreadableError, match=reason):
        plain_records(RecordDict(content))


@pytest.mark.parametrize(
    ("name", "value"),
    [("data", bytearray(b"x")), ("data", None), ("shape", [1]), ("dtype", 3), ("stype", b"x")],
)
def test_the_parts_of_an_array_are_of_pythons_own_types(name, value):
    array = Array(np.ones(1, np.float32))
    array.__dict__[name] = value
    with pytest.raises(UnreadableError):
        plain_records(RecordDict({"x": forced(ArrayRecord(), a=array)}))


def test_of_values_of_a_clients_own_classes_their_value_is_left():
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    class Raw(bytes):
        pass

    content = RecordDict(
        {
            "m": forced(MetricRecord(), x=Number(3), y=np.float64(0.5), z=[Number(1)]),
            "c": forced(ConfigRecord(), a=Text("b"), b=Raw(b"c"), c=True),
        }
    )
    content.__dict__["_data"][Text("last")] = MetricRecord({"n": 1})
    found = plain_records(content)
    kinds = [type(value) for name in ("m", "c") for value in found[name].values()]
    assert kinds == [int, float, list, str, bytes, bool]
    assert type(found["m"]["z"][0]) is int
    assert all(type(name) is str for name in found)
    assert found == content


def test_arrays_are_shared_and_not_copied():
    values = np.ones(5, np.float32)
    plain, live = Array(values), LiveArray(values)
    found = plain_records(RecordDict({"x": forced(ArrayRecord(), plain=plain, live=live)}))["x"]
    assert found["plain"].data is plain.data
    assert np.shares_memory(found["live"].__dict__["values"], values)
    assert not found["live"].__dict__["values"].flags.writeable


def test_of_a_long_error_beginning_and_end_are_kept():
    with server_identity():
        asked = Message(RecordDict(), 1, "train")
        for reply in (
            failed_reply(asked, "begin" + "x" * 10**6 + "end"),
            plain_reply(Message(Error(1, "begin" + "x" * 10**6 + "end"), reply_to=asked), asked),
        ):
            assert reply.error.reason.startswith("beginx")
            assert reply.error.reason.endswith("xend")
            assert len(reply.error.reason) == MOST_REASON + 6


@pytest.mark.parametrize("depth", [3, 400])
def test_the_reason_of_a_traceback_whose_middle_is_left_out_is_its_error(depth):
    """The cut falls into a line of a frame, whose rest stands first behind it."""
    frame = '  File "/home/x/library/module.py", line 12, in function\n    result = function(one, other)\n'
    text = "Traceback (most recent call last):\n" + frame * depth + "ValueError: no class 7"
    with server_identity():
        reply = failed_reply(Message(RecordDict(), 1, "train"), text)
    assert first_reason(reply.error.reason) == "ValueError: no class 7"


def named(**parts):
    """An array of which `parts` are as no array of Flower's has them."""
    array = Array(np.ones(1, np.float32))
    array.__dict__.update(parts)
    return array


@pytest.mark.parametrize("part", ["dtype", "stype"])
def test_the_names_in_an_array_have_a_limit_of_their_own(part):
    def content(name):
        return RecordDict({"x": forced(ArrayRecord(), a=named(**{part: name}))})

    assert plain_records(content("n" * MOST_NAME))["x"]["a"].__dict__[part] == "n" * MOST_NAME
    with pytest.raises(UnreadableError, match="a text has 1001 characters: 1000 are read at most"):
        plain_records(content("n" * (MOST_NAME + 1)))


def test_live_arrays_have_as_many_dimensions_as_others():
    def content(values):
        return RecordDict({"x": forced(ArrayRecord(), a=LiveArray(values))})

    most = content(np.ones((1,) * MOST_DIMENSIONS, np.float32))
    found = plain_records(most)["x"]["a"]
    assert (type(found), found.shape) == (LiveArray, (1,) * MOST_DIMENSIONS)
    beyond = content(np.ones((1,) * (MOST_DIMENSIONS + 1), np.float32))
    with pytest.raises(
        UnreadableError, match="an array of 33 dimensions holds float32: numbers are expected"
    ):
        plain_records(beyond)
    with pytest.raises(UnreadableError, match="an array of 1 dimensions holds <U1"):
        plain_records(content(np.array(["x"])))
