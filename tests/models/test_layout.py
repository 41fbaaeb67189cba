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


def test_sizes_are_products_and_kinds_keep_their_order():
    assert [entry.size for entry in LAYOUT.entries] == [6, 3, 1, 3]
    assert (LAYOUT.parameters, LAYOUT.statistics) == (7, 6)
    assert [entry.path for entry in LAYOUT.of("statistic")] == ["bn/mean", "bn/variance"]
    nothing = Layout(()).flatten([])
    for vector in (nothing.trainable, nothing.statistics):
        assert (vector.shape, vector.dtype) == ((0,), np.float32)


def test_places_go_by_the_end_of_the_name():
    names = ("a/moving_mean", "moving_mean/moving_variance", "b/moving_mean", "c/count")
    layout = Layout(
        (Entry("a/kernel", (5,), "trainable"), *(Entry(name, (2, 1), "statistic") for name in names))
    )
    assert layout.places("moving_mean").tolist() == [0, 1, 4, 5]
    assert layout.places("variance").tolist() == [2, 3]
    for name in ("moving_mean", "variance"):
        nothing = Layout((Entry("a/kernel", (5,), "trainable"),)).places(name)
        assert (nothing.shape, nothing.dtype) == ((0,), np.int64)


def test_digests_are_of_the_bits_and_of_paths_shapes_and_kinds():
    """Two parties compare them, so they may not change from one version to the next."""
    import hashlib

    weights = Weights(np.array([1.0, 2.0], np.float32), np.array([3.0], np.float32))
    assert weights.digest() == hashlib.sha256(np.array([1, 2, 3], "<f4").tobytes()).hexdigest()
    strided = Weights(np.array([1.0, 9.0, 2.0], np.float64)[::2], np.array([3.0]))
    assert strided.digest() == weights.digest()
    listing = '[["a/kernel", [2, 3], "trainable"], ["b/bias", [], "trainable"]]'
    layout = Layout((LAYOUT.entries[0], LAYOUT.entries[2]))
    assert layout.digest == hashlib.sha256(listing.encode()).hexdigest()


def test_refusals_tell_what_was_found_and_what_fits():
    with pytest.raises(LayoutError) as refusal:
        LAYOUT.flatten([np.zeros((3, 2)), np.zeros(3), np.zeros(()), np.zeros(3)])
    assert str(refusal.value) == "a/kernel: shape (3, 2), the layout has (2, 3)"
    for trainable, statistics in ((8, 6), (7, 5)):
        with pytest.raises(LayoutError) as refusal:
            LAYOUT.unflatten(Weights(np.zeros(trainable, np.float32), np.zeros(statistics, np.float32)))
        assert str(refusal.value) == (
            f"vectors of {(trainable, statistics)} numbers for a layout of (7, 6) (trainable, statistics)"
        )
