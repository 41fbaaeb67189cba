"""Large arrays one by one, all small ones in one vector: how weights are held while a client trains.

A model has hundreds of arrays, most of them BatchNorm's and tiny. An optimiser that handles each by itself makes a
graph that takes seconds to trace and optimise; one vector for everything is traced in a third of the time, but falls
out of the processor's cache and is copied at every step. This is the middle: about as quick to trace as one vector,
and no slower in a step than single arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fedrobust.models.layout import Entry, cut

LARGE = 8192


@dataclass(frozen=True)
class Buckets:
    """The division of one kind of a layout's entries.

    Attributes:
        entries: in the order of the vector.
    """

    entries: tuple[Entry, ...]

    def split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Return the buckets of `vector`: first the small entries together, then each large one in its shape."""
        arrays = cut(vector, self.entries)
        small = [array for array, entry in zip(arrays, self.entries, strict=True) if entry.size < LARGE]
        large = [array for array, entry in zip(arrays, self.entries, strict=True) if entry.size >= LARGE]
        return [joined(small), *large]

    def arrays(self, buckets: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return one tensor an entry, in the layout's order."""
        small = iter(cut(buckets[0], [entry for entry in self.entries if entry.size < LARGE]))
        large = iter(buckets[1:])
        return [next(small) if entry.size < LARGE else next(large) for entry in self.entries]

    def matrices(self) -> list[tf.Tensor]:
        """Return 1 for the numbers of kernels and 0 for those of vectors (biases, BatchNorm's scales), a mask a bucket.

        Weight decay spares vectors: they do not add up to large functions, and BatchNorm's scale would lose to it what
        the next kernel makes up for (Goyal et al., 2017, arXiv:1706.02677, section 5.3).
        """
        return self.factors(lambda entry: float(len(entry.shape) > 1))

    def factors(self, factor: Callable[[Entry], float]) -> list[tf.Tensor]:
        """Return the factor of every number: a vector for the small entries together, one number for a large one."""
        small = [np.full(entry.size, factor(entry)) for entry in self.entries if entry.size < LARGE]
        large = [factor(entry) for entry in self.entries if entry.size >= LARGE]
        factors = [np.concatenate(small) if small else np.zeros(0), *large]
        return [tf.constant(np.asarray(each, np.float32)) for each in factors]

    def join(self, buckets: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the vector that `buckets` were cut from."""
        return joined(self.arrays(buckets))


def joined(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the numbers of `tensors` as one vector."""
    if not tensors:
        return tf.zeros([0])
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
