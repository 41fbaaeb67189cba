"""The batches of a local update, drawn outside of the graph from the client's random generator."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batches:
    """The batches of one local update.

    Attributes:
        rows: (steps, batch) int32: positions of images in the training split; short rows are padded with zeros.
        sizes: (steps,) int32: entries of each row without padding.
    """

    rows: np.ndarray
    sizes: np.ndarray

    def of(self, places: np.ndarray) -> "Batches":
        """Return the batches with positions 0 to n - 1 replaced by `places`, (n,)."""
        return Batches(places[self.rows].astype(np.int32), self.sizes)

    def first(self, steps: int) -> "Batches":
        """Return the first `steps` batches.

        Example:
            >>> Batches(np.zeros((3, 2), np.int32), np.array([2, 2, 1], np.int32)).first(2).sizes.tolist()
            [2, 2]
        """
        return Batches(self.rows[:steps], self.sizes[:steps])


def draw_batches(shard: np.ndarray, epochs: int, batch_size: int, generator: np.random.Generator) -> Batches:
    """Shuffle `shard` anew for each epoch and cut it into ceil(n / batch_size) batches of nearly equal size.

    Keras puts the remainder into the last batch; a last batch of one or two images would ruin BatchNorm's statistics
    at clients with few images. Each image occurs exactly once an epoch, and the number of steps equals Keras'.

    Args:
        shard: (n,) positions of the client's images in the training split.
        epochs: passes over the shard.
        batch_size: largest number of images in a batch.
        generator: draws the order.

    Example:
        >>> batches = draw_batches(np.arange(65), epochs=1, batch_size=32, generator=np.random.default_rng(0))
        >>> batches.sizes.tolist()
        [22, 22, 21]
    """
    steps = -(-len(shard) // batch_size)
    cut = [
        part
        for _ in range(epochs)
        for part in np.array_split(generator.permutation(np.asarray(shard)), steps)
    ]
    sizes = np.array([len(part) for part in cut], np.int32)
    rows = np.zeros((len(cut), batch_size), np.int32)
    for row, part in zip(rows, cut, strict=True):
        row[: len(part)] = part
    return Batches(rows, sizes)


def draw_steps(shard: np.ndarray, steps: int, batch_size: int, generator: np.random.Generator) -> Batches:
    """Return the first `steps` batches of as many passes over `shard` as they take; see `draw_batches`.

    Example:
        >>> draw_steps(np.arange(65), steps=4, batch_size=32, generator=np.random.default_rng(0)).sizes.tolist()
        [22, 22, 21, 22]
    """
    passes = -(-steps // -(-len(shard) // batch_size))
    return draw_batches(shard, passes, batch_size, generator).first(steps)


def poisson_batches(images: int, steps: int, rate: float, generator: np.random.Generator) -> Batches:
    """Draw each of `images` into each of `steps` batches with probability `rate`, independently.

    Batches vary in size, and may be empty: only so is the amplification of privacy by sampling that of the accounting
    (Mironov, Talwar and Zhang, 2019, arXiv:1908.10530, section 3).

    Args:
        images: of the client.
        steps: number of batches.
        rate: probability that an image is in a batch.
        generator: draws them.

    Example:
        >>> poisson_batches(1000, steps=3, rate=0.01, generator=np.random.default_rng(0)).sizes.tolist()
        [11, 17, 6]
    """
    drawn = [np.flatnonzero(generator.random(images) < rate) for _ in range(steps)]
    sizes = np.array([len(each) for each in drawn], np.int32)
    rows = np.zeros((steps, max(1, int(sizes.max(initial=0)))), np.int32)
    for row, each in zip(rows, drawn, strict=True):
        row[: len(each)] = each
    return Batches(rows, sizes)
