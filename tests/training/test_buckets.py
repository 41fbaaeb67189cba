import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.layout import Entry
from fedrobust.training.buckets import LARGE, Buckets, joined

SMALL = Entry("bias", (3,), "trainable")
ALMOST = Entry("almost", (LARGE - 1,), "trainable")
EXACTLY = Entry("exactly", (LARGE // 4, 4), "trainable")
SCALAR = Entry("scale", (), "trainable")
HUGE = Entry("huge", (2, LARGE), "trainable")


@pytest.mark.parametrize(
    ("entries", "shapes"),
    [
        ((SMALL, EXACTLY, ALMOST, HUGE, SCALAR), [(3 + LARGE - 1 + 1,), EXACTLY.shape, HUGE.shape]),
        ((HUGE,), [(0,), HUGE.shape]),
        ((SMALL, SCALAR), [(4,)]),
        ((), [(0,)]),
    ],
)
def test_small_arrays_share_a_vector_and_large_ones_stand_alone(entries, shapes):
    vector = np.arange(sum(entry.size for entry in entries), dtype=np.float32)
    buckets = Buckets(entries)
    parts = buckets.split(tf.constant(vector))
    assert [tuple(part.shape) for part in parts] == shapes
    np.testing.assert_array_equal(buckets.join(parts), vector)
    place = 0
    for entry, array in zip(entries, buckets.arrays(parts), strict=True):
        expected = vector[place : place + entry.size].reshape(entry.shape)
        np.testing.assert_array_equal(array, expected, err_msg=entry.path)
        place += entry.size


def test_joining_nothing_is_an_empty_vector():
    assert joined([]).shape == (0,)
    assert joined([tf.ones((2, 2)), tf.zeros(3)]).numpy().tolist() == [1, 1, 1, 1, 0, 0, 0]
