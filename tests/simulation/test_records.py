import pickle

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

from fedrobust.models.layout import Weights
from fedrobust.simulation.records import LiveArray, vector_of, weights_of, weights_record


@pytest.fixture
def values(draw):
    return draw.normal(size=1000).astype(np.float32)


def test_encodes_as_flowers_own_arrays_do(values):
    live, plain = LiveArray(values), Array(values)
    assert (live.dtype, live.shape, live.stype, live.data) == (
        plain.dtype,
        plain.shape,
        plain.stype,
        plain.data,
    )
    assert live.deflate() == plain.deflate()
    assert live.object_id == plain.object_id
    assert type(pickle.loads(pickle.dumps(live))) is Array
    assert ArrayRecord({"x": live}).object_id == ArrayRecord({"x": plain}).object_id


def test_travels_as_a_reference_that_nobody_can_write_to(values):
    record = weights_record(Weights(values, values[:3].copy()))
    weights = weights_of(record)
    assert np.shares_memory(weights.trainable, values)
    with pytest.raises(ValueError, match="read-only"):
        weights.trainable[0] = 1.0
    own = record["trainable"].numpy()
    own[0] = 1.0
    assert weights.trainable[0] != 1.0


def test_reads_flowers_encoding_without_a_copy(values):
    array = Array(values)
    found = vector_of(array)
    np.testing.assert_array_equal(found, values)
    assert np.shares_memory(found, np.frombuffer(array.data, np.uint8))
    assert vector_of(Array(np.float64(3.5).reshape(1, 1))).tolist() == [[3.5]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Array("float32", (3,), "torch", b""), "serialised as 'torch'"),
        (Array("float32", (3,), "numpy.ndarray", b"nonsense"), "magic string"),
        (Array("float32", (3,), "numpy.ndarray", Array(np.ones(9, np.float32)).data[:-4]), "8 numbers"),
        (Array(np.asfortranarray(np.ones((2, 3)))), "Fortran"),
    ],
)
def test_refuses_what_it_does_not_read(array, message):
    with pytest.raises(ValueError, match=message):
        vector_of(array)


def encoded(header: str, numbers: int = 300, version: bytes = b"\x01\x00") -> Array:
    raw = header.encode("utf-8", "surrogatepass")
    data = b"\x93NUMPY" + version + len(raw).to_bytes(2, "little") + raw + bytes(4 * numbers)
    return Array("float32", (300,), "numpy.ndarray", data)


def described(descr="'<f4'", order="False", shape="(300,)", end="\n"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}{end}"


def test_reads_the_header_that_numpy_writes():
    assert vector_of(encoded(described())).shape == (300,)


@pytest.mark.parametrize(
    "header",
    [
        "((((\n",
        "{" * 4000,
        "-" * 3000 + "1\n",
        "\x00" * 64,
        "'" * 3,
        "__import__('os').abort()",
        described(shape=f"({2**63},)"),
        described(shape=f"(0, {2**62}, {2**62})"),
        described(shape="(9" * 300),
        described(shape="(-300,)"),
        described(shape="(3_0_0,)"),
        described(shape="(300.0,)"),
        described(shape="(True,)"),
        described(shape="[300]"),
        described(shape="(" + "1, " * 33 + ")"),
        described(descr="'|O'"),
        described(descr="[('a', '<f4')]"),
        described(descr="'<f3'"),
        described(descr="'<f99'"),
        described(descr="'|V0'"),
        described(descr="'<M8[s]'"),
        described(descr="'(2,)f4'"),
        described(order="0"),
        described(end=""),
        described(end="\n\n"),
    ],
)
def test_a_header_is_numpys_to_the_letter_or_refused(header):
    with pytest.raises(ValueError, match=r"header|dtype"):
        vector_of(encoded(header))


@pytest.mark.parametrize("kind", ["f2", "f8", "i1", "u8", "c8", "b1"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3), (1, 1, 1, 5)])
def test_reads_every_array_of_numbers_that_flower_writes(draw, kind, shape):
    values = draw.integers(0, 2, shape).astype(kind)
    found = vector_of(Array(values))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
