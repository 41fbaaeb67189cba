import numpy as np

from fedrobust.training.transfer import CHUNK, labelled_copies, moved_copies


def test_copies_are_moved_each_in_its_own_way_and_the_same_for_a_seed(draw):
    images = draw.integers(0, 256, (5, 12, 12, 3), np.uint8)
    copies = moved_copies(images, 3, seed=4)
    assert (copies.shape, copies.dtype) == ((15, 12, 12, 3), np.uint8)
    np.testing.assert_array_equal(copies, moved_copies(images, 3, seed=4))
    assert not np.array_equal(copies, moved_copies(images, 3, seed=5))
    assert not np.array_equal(copies[:5], copies[5:10])
    # They are copies: smooth images stay near themselves.
    flat = np.full((2, 12, 12, 1), 77, np.uint8)
    np.testing.assert_array_equal(moved_copies(flat, 2, seed=0), np.full((4, 12, 12, 1), 77))


def test_no_copies_are_none_and_chunks_do_not_repeat_each_other(draw):
    image = draw.integers(0, 256, (1, 6, 6, 1), np.uint8)
    assert moved_copies(image, 0, seed=0).shape == (0, 6, 6, 1)
    many = moved_copies(np.repeat(image, CHUNK + 8, 0), 1, seed=0)
    assert len(many) == CHUNK + 8
    assert not np.array_equal(many[:8], many[CHUNK:])


def test_mixup_blends_copies_with_each_other():
    black_and_white = np.zeros((40, 6, 6, 1), np.uint8)
    black_and_white[::2] = 255
    levels = set(np.unique(moved_copies(black_and_white, 1, seed=0, mixup=1.0)))
    assert set(np.unique(moved_copies(black_and_white, 1, seed=0))) == {0, 255}
    assert len(levels - {0, 255}) > 10


def test_the_labels_of_mixed_copies_are_mixed_by_the_same_share():
    """Flat images: black is class 0, white class 1, so that an image's grey level is the share of class 1."""
    images = np.repeat(np.array([0, 255], np.uint8), 6)[np.random.default_rng(0).permutation(12)]
    images = np.tile(images[:, None, None, None], (1, 8, 8, 1))
    labels = images[:, 0, 0, 0] == 255
    copies, right = labelled_copies(images, np.eye(2)[labels.astype(int)], 3, seed=1, mixup=1.0)
    np.testing.assert_array_equal(copies, moved_copies(images, 3, seed=1, mixup=1.0))
    np.testing.assert_allclose(right.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(copies[:, 4, 4, 0] / 255, right[:, 1], atol=0.01)
    assert ((right[:, 1] > 0.05) & (right[:, 1] < 0.95)).any()
