import pickle

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord

from fedrobust.flower.records import LiveArray, vector_of, weights_of, weights_record
from fedrobust.models.layout import Weights


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


def written(header: bytes, body: bytes = b"", version: bytes = b"\x01\x00") -> Array:
    """An array of Flower's whose bytes are a header of NumPy's format, as written here, and a body."""
    length = len(header).to_bytes(2, "little")
    return Array("float32", (3,), "numpy.ndarray", b"\x93NUMPY" + version + length + header + body)


FLOATS = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n"


def test_a_header_is_read_at_its_own_length():
    values = np.array([1.0, 2.0, 3.0], "<f4")
    np.testing.assert_array_equal(vector_of(written(FLOATS, values.tobytes())), values)
    nothing = written(FLOATS.replace(b"(3,)", b"(0,)"))
    assert vector_of(nothing).shape == (0,), "its header is all there is"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (written(FLOATS, bytes(8)), "2 numbers, the header says (3,)"),
        (
            written(FLOATS.replace(b"(3,)", b"(1, 2, 3, 4, 5)")),
            "0 numbers, the header says (1, 2, 3, 4, ...)",
        ),
        (written(FLOATS.replace(b"(3,)", b"(1, 2, 3, 4)")), "0 numbers, the header says (1, 2, 3, 4)"),
        (written(FLOATS, bytes(12), b"\x02\x00"), "NumPy format (2, 0): (1, 0) is read here"),
        (written(FLOATS, bytes(12), b"\x01\x03"), "NumPy format (1, 3): (1, 0) is read here"),
        (written(FLOATS, bytes(12), b"\x00\x00"), "NumPy format (0, 0): (1, 0) is read here"),
        (
            written(b"{'shape': 3}\n"),
            "the header b\"{'shape': 3}\\n\" is not that of an array of numbers",
        ),
        (
            written(FLOATS.replace(b"False", b"True")),
            "an array of float32 in Fortran order: plain numbers in C order are read here",
        ),
        (
            written(FLOATS.replace(b"3", b"281474976710657")),
            "the header says (281474976710657,): no array is as long",
        ),
        (written(FLOATS.replace(b"<f4", b"<f3")), "the header has no dtype of NumPy's: '<f3'"),
        (
            Array("float32", (3,), "numpy.ndarray", b"\x93NUMPY\x01\x00\xff\xff" + bytes(50)),
            "a header of 65545 bytes: it is cut, or longer than 4096",
        ),
        (
            Array("float32", (3,), "numpy.ndarray", b"\x93NUMPY\x01\x00\x01"),
            "the magic string of NumPy's format",
        ),
    ],
)
def test_a_refusal_says_what_was_found(array, message):
    with pytest.raises(ValueError, match=r"\w") as refusal:
        vector_of(array)
    assert str(refusal.value).startswith(message)
