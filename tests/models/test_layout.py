import numpy as np
import pytest

from fedrobust.models.layout import Entry, Layout, LayoutError, Weights

LAYOUT = Layout(
    (
        Entry("a/kernel", (2, 3), "trainable"),
        Entry("bn/mean", (3,), "statistic"),
        Entry("b/bias", (), "trainable"),
        Entry("bn/variance", (3,), "statistic"),
    )
)


def test_flatten_then_unflatten_gives_the_same_arrays(draw):
    arrays = [draw.normal(size=entry.shape).astype(np.float32) for entry in LAYOUT.entries]
    back = LAYOUT.unflatten(LAYOUT.flatten(arrays))
    for before, after in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(before, after)


def test_kinds_go_to_their_own_vectors():
    arrays = [np.full(entry.shape, i, np.float32) for i, entry in enumerate(LAYOUT.entries)]
    weights = LAYOUT.flatten(arrays)
    assert weights.trainable.tolist() == [0] * 6 + [2]
    assert weights.statistics.tolist() == [1] * 3 + [3] * 3


def test_split_in_a_graph_agrees_with_unflatten(draw):
    import tensorflow as tf

    weights = Weights(draw.normal(size=7).astype(np.float32), draw.normal(size=6).astype(np.float32))
    pieces = LAYOUT.split(tf.constant(weights.trainable), "trainable")
    np.testing.assert_array_equal(pieces[0].numpy(), LAYOUT.unflatten(weights)[0])
    assert pieces[1].numpy() == weights.trainable[6]


def test_wrong_shapes_and_lengths_are_refused():
    with pytest.raises(LayoutError, match="a/kernel: shape"):
        LAYOUT.flatten([np.zeros((3, 2)), np.zeros(3), np.zeros(()), np.zeros(3)])
    with pytest.raises(LayoutError, match="3 arrays for a layout of 4"):
        LAYOUT.flatten([np.zeros((2, 3)), np.zeros(3), np.zeros(())])
    with pytest.raises(LayoutError, match="vectors of"):
        LAYOUT.unflatten(Weights(np.zeros(8, np.float32), np.zeros(6, np.float32)))


def test_digests_tell_weights_and_layouts_apart():
    zeros = Weights(np.zeros(7, np.float32), np.zeros(6, np.float32))
    minus = Weights(-np.zeros(7, np.float32), np.zeros(6, np.float32))
    assert zeros.digest() != minus.digest(), "a digest is of bits, not of values"
    assert LAYOUT.digest != Layout(LAYOUT.entries[::-1]).digest
