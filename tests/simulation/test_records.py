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
