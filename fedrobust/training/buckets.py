"""Buckets: the weights inside the training graph, as one vector of all small arrays and each large array alone.

A model has hundreds of arrays, most of them small ones of BatchNorm. An optimiser with one operation an array makes a
graph that takes seconds to trace and optimise. One vector for everything is traced in a third of the time, but does
not fit the processor's cache and is copied at every step. Buckets are traced about as fast as one vector, and a step
is as fast as with single arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from fedrobust.models.layout import Entry, cut

LARGE = 8192


@dataclass(frozen=True)
class Buckets:
    """The division of one kind of a layout's entries into buckets.

    Attributes:
        entries: in the order of the vector.
    """

    entries: tuple[Entry, ...]

    def split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Return the buckets of `vector`: the vector of all small entries, then each large one in its shape."""
        arrays = cut(vector, self.entries)
        small = [array for array, entry in zip(arrays, self.entries, strict=True) if entry.size < LARGE]
        large = [array for array, entry in zip(arrays, self.entries, strict=True) if entry.size >= LARGE]
        return [joined(small), *large]

    def arrays(self, buckets: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return one tensor for each entry, in the layout's order."""
        small = iter(cut(buckets[0], [entry for entry in self.entries if entry.size < LARGE]))
        large = iter(buckets[1:])
        return [next(small) if entry.size < LARGE else next(large) for entry in self.entries]

    def matrices(self) -> list[tf.Tensor]:
        """Return one mask for each bucket: 1 for kernels, 0 for vectors (biases, BatchNorm's scales and shifts).

        Weight decay applies to kernels only (Goyal et al., 2017, arXiv:1706.02677, section 5.3).
        """
        return self.factors(lambda entry: float(len(entry.shape) > 1))

    def factors(self, factor: Callable[[Entry], float]) -> list[tf.Tensor]:
        """Return ``factor(entry)`` for each bucket: a vector for the small entries, one number for a large one."""
        small = [np.full(entry.size, factor(entry)) for entry in self.entries if entry.size < LARGE]
        large = [factor(entry) for entry in self.entries if entry.size >= LARGE]
        factors = [np.concatenate(small) if small else np.zeros(0), *large]
        return [tf.constant(np.asarray(each, np.float32)) for each in factors]

    def join(self, buckets: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the vector of `buckets`: the inverse of `split`."""
        return joined(self.arrays(buckets))


def joined(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the values of `tensors` as one vector."""
    if not tensors:
        return tf.zeros([0])
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)
