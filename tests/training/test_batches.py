import numpy as np
import pytest

from fedrobust.training.batches import draw_batches


@pytest.mark.parametrize(("images", "batch_size"), [(65, 32), (64, 32), (7, 32), (1, 4), (33, 1)])
def test_every_epoch_sees_every_image_once(images, batch_size):
    shard = 100 + 3 * np.arange(images)
    epochs, steps = 3, -(-images // batch_size)
    batches = draw_batches(shard, epochs, batch_size, np.random.default_rng(0))
    assert batches.rows.shape == (epochs * steps, batch_size)
    assert (batches.rows.dtype, batches.sizes.dtype) == (np.int32, np.int32)
    assert batches.sizes.max() - batches.sizes.min() <= 1
    for epoch in range(epochs):
        part = slice(epoch * steps, (epoch + 1) * steps)
        seen = [row[:size] for row, size in zip(batches.rows[part], batches.sizes[part], strict=True)]
        assert sorted(np.concatenate(seen)) == shard.tolist()
    for row, size in zip(batches.rows, batches.sizes, strict=True):
        assert not row[size:].any()


def test_the_order_is_the_generators_and_new_in_every_epoch():
    first, again, other = (
        draw_batches(np.arange(40), 2, 40, np.random.default_rng(seed)).rows for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()
    assert (first[0] != np.arange(40)).any()
