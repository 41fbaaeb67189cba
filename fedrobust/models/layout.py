"""The layout of a model's arrays in the two vectors that server and clients exchange."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

Kind = Literal["trainable", "statistic"]

AUXILIARY = "auxiliary/"
"""What the paths of a second set of BatchNorm begin with, see `fedrobust.models.two_batchnorms`."""


@dataclass(frozen=True)
class Weights:
    """A model's weights as two float32 vectors.

    Attributes:
        trainable: trainable parameters, (parameters,). Only these enter distances between clients.
        statistics: BatchNorm's moving means and variances, (statistics,).
    """

    trainable: np.ndarray
    statistics: np.ndarray

    def digest(self) -> str:
        """Return the SHA-256 of the bits, in hexadecimal."""
        sha = hashlib.sha256()
        for vector in (self.trainable, self.statistics):
            sha.update(np.ascontiguousarray(vector, dtype="<f4").tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Entry:
    """One array of a model: its path (``block_1/kernel``), shape and kind."""

    path: str
    shape: tuple[int, ...]
    kind: Kind

    @property
    def size(self) -> int:
        """Number of values in the array."""
        return int(np.prod(self.shape, dtype=np.int64))


class LayoutError(ValueError):
    """Arrays or vectors do not fit a layout."""


@dataclass(frozen=True)
class Layout:
    """The order and shapes of a model's exchanged arrays.

    Attributes:
        entries: one for each array.
        frozen: SHA-256 of the frozen arrays, "" if there are none: equal weights give an equal model only with equal
            frozen arrays.
        network: digest of the file that the network is in, "" if it is in none; likewise.

    Example:
        >>> layout = Layout((Entry("dense/kernel", (2, 3), "trainable"), Entry("dense/bias", (3,), "trainable")))
        >>> layout.parameters
        9
        >>> weights = layout.flatten([np.ones((2, 3)), np.zeros(3)])
        >>> [array.shape for array in layout.unflatten(weights)]
        [(2, 3), (3,)]
    """

    entries: tuple[Entry, ...]
    frozen: str = ""
    network: str = ""

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        """Return the entries of one kind, in order."""
        return tuple(entry for entry in self.entries if entry.kind == kind)

    @cached_property
    def parameters(self) -> int:
        """Length of the trainable vector."""
        return sum(entry.size for entry in self.of("trainable"))

    @cached_property
    def statistics(self) -> int:
        """Length of the vector of statistics."""
        return sum(entry.size for entry in self.of("statistic"))

    @cached_property
    def spans(self) -> tuple[tuple[Entry, slice], ...]:
        """The trainable arrays, each with its columns in the trainable vector.

        Example:
            >>> layout = Layout((Entry("dense/kernel", (2, 3), "trainable"), Entry("dense/bias", (3,), "trainable")))
            >>> [columns for _, columns in layout.spans]
            [slice(0, 6, None), slice(6, 9, None)]
        """
        entries = self.of("trainable")
        ends = np.cumsum([0, *(entry.size for entry in entries)]).tolist()
        return tuple(
            (entry, slice(start, end)) for entry, start, end in zip(entries, ends[:-1], ends[1:], strict=True)
        )

    def first_of(self, kind: Kind, places: np.ndarray) -> str:
        """Return which array the first of some positions is in, as the end of a sentence; "" if in none.

        Example:
            >>> layout = Layout((Entry("dense/kernel", (2, 3), "trainable"), Entry("dense/bias", (3,), "trainable")))
            >>> layout.first_of("trainable", np.array([6, 8]))
            ', the first in dense/bias'
        """
        ends = np.cumsum([entry.size for entry in self.of(kind)])
        found = int(np.searchsorted(ends, places[0], side="right")) if len(places) else len(ends)
        return f", the first in {self.of(kind)[found].path}" if found < len(ends) else ""

    def places(self, name: Literal["moving_mean", "variance"]) -> np.ndarray:
        """Return the positions of means or of variances among the statistics, (k,) int64, by their Keras names.

        Example:
            >>> names = ("norm/moving_mean", "norm/moving_variance")
            >>> Layout(tuple(Entry(name, (2,), "statistic") for name in names)).places("variance").tolist()
            [2, 3]
        """
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, np.ndarray]:
        kinds = [(entry.path.rsplit("/", 1)[-1], entry.size) for entry in self.of("statistic")]
        owners = np.repeat([name for name, _ in kinds], [size for _, size in kinds])
        return {
            kind: np.flatnonzero(np.char.endswith(owners, kind)) if len(owners) else np.zeros(0, np.int64)
            for kind in ("moving_mean", "variance")
        }

    @cached_property
    def auxiliary(self) -> np.ndarray:
        """Positions among the statistics of those of a second set of BatchNorm, (k,) int64; mostly none."""
        entries = self.of("statistic")
        second = [entry.path.startswith(AUXILIARY) for entry in entries]
        return np.flatnonzero(np.repeat(second, [entry.size for entry in entries]))

    @cached_property
    def head(self) -> np.ndarray:
        """Mask of the trainable parameters that belong to the head, the last trained layer: (parameters,) bool.

        Example:
            >>> names = ("conv/kernel", "logits/kernel", "logits/bias")
            >>> Layout(tuple(Entry(name, (2,), "trainable") for name in names)).head.astype(int).tolist()
            [0, 0, 1, 1, 1, 1]
        """
        owners = [_owner(entry) for entry in self.of("trainable")]
        return self._trainable(lambda entry: _owner(entry) == owners[-1])

    @cached_property
    def batchnorm(self) -> np.ndarray:
        """Mask of the trainable parameters that are BatchNorm's scales and shifts: (parameters,) bool.

        Example:
            >>> norm = (Entry("norm/gamma", (1,), "trainable"), Entry("norm/moving_mean", (1,), "statistic"))
            >>> Layout((Entry("conv/kernel", (2,), "trainable"), *norm)).batchnorm.astype(int).tolist()
            [0, 0, 1]
        """
        owners = {_owner(entry) for entry in self.of("statistic") if entry.path.endswith("moving_mean")}
        return self._trainable(lambda entry: _owner(entry) in owners)

    def _trainable(self, chosen: Callable[[Entry], bool]) -> np.ndarray:
        entries = self.of("trainable")
        mask = np.repeat([chosen(entry) for entry in entries], [entry.size for entry in entries])
        mask.setflags(write=False)
        return mask.astype(bool, copy=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of paths, shapes, kinds, frozen arrays and network: vectors with equal digests are compatible."""
        listing: list[Any] = [[entry.path, list(entry.shape), entry.kind] for entry in self.entries]
        listing += [self.frozen] if self.frozen else []
        listing += [["network", self.network]] if self.network else []
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()

    def flatten(self, arrays: Sequence[np.ndarray]) -> Weights:
        """Return `arrays`, one for each entry in its shape, as two vectors.

        Raises:
            LayoutError: the number of arrays or a shape differs.
        """
        if len(arrays) != len(self.entries):
            raise LayoutError(f"{len(arrays)} arrays for a layout of {len(self.entries)}")
        vectors: dict[Kind, list[np.ndarray]] = {"trainable": [], "statistic": []}
        for entry, array in zip(self.entries, arrays, strict=True):
            if tuple(array.shape) != entry.shape:
                raise LayoutError(f"{entry.path}: shape {tuple(array.shape)}, the layout has {entry.shape}")
            vectors[entry.kind].append(np.asarray(array, np.float32).ravel())
        return Weights(_joined(vectors["trainable"]), _joined(vectors["statistic"]))

    def unflatten(self, weights: Weights) -> list[np.ndarray]:
        """Return the arrays of `weights`, one for each entry, as views of the vectors where possible.

        Raises:
            LayoutError: a vector has another length.
        """
        expected = (self.parameters, self.statistics)
        found = (weights.trainable.size, weights.statistics.size)
        if found != expected:
            raise LayoutError(
                f"vectors of {found} numbers for a layout of {expected} (trainable, statistics)"
            )
        vectors = {"trainable": weights.trainable, "statistic": weights.statistics}
        offsets = {"trainable": 0, "statistic": 0}
        arrays = []
        for entry in self.entries:
            start = offsets[entry.kind]
            arrays.append(vectors[entry.kind][start : start + entry.size].reshape(entry.shape))
            offsets[entry.kind] = start + entry.size
        return arrays

    def split(self, vector: Any, kind: Kind) -> list[Any]:
        """Return the tensors of one kind in `vector`, a TensorFlow tensor, inside a graph."""
        return cut(vector, self.of(kind))


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a layout's arrays, as positions in its vectors.

    Attributes:
        trainable: positions in the trainable vector, ascending (p,) int64.
        statistics: positions in the vector of statistics, ascending (s,) int64.

    Example:
        >>> two = Layout((Entry("a", (2,), "trainable"), Entry("b", (1,), "trainable")))
        >>> part = Part.of(two, Layout(two.entries[1:]))
        >>> whole = Weights(np.array([1, 2, 3], np.float32), np.zeros(0, np.float32))
        >>> part.take(whole).trainable.tolist()
        [3.0]
        >>> part.put(Weights(np.array([9], np.float32), whole.statistics), whole).trainable.tolist()
        [1.0, 2.0, 9.0]
    """

    trainable: np.ndarray
    statistics: np.ndarray

    @classmethod
    def of(cls, whole: Layout, part: Layout) -> "Part":
        """Return the positions of the entries of `part` in `whole`.

        Raises:
            LayoutError: an entry is not in `whole`, or the order differs.
        """
        places: dict[Kind, np.ndarray] = {}
        for kind in ("trainable", "statistic"):
            wanted, entries = set(part.of(kind)), whole.of(kind)
            if [entry for entry in entries if entry in wanted] != list(part.of(kind)):
                raise LayoutError(f"the {kind} arrays of the part are not arrays of the whole, in its order")
            mask = np.repeat([entry in wanted for entry in entries], [entry.size for entry in entries])
            places[kind] = np.flatnonzero(mask)
        return cls(places["trainable"], places["statistic"])

    def take(self, weights: Weights) -> Weights:
        """Return the values of the part."""
        return Weights(weights.trainable[self.trainable], weights.statistics[self.statistics])

    def put(self, part: Weights, weights: Weights) -> Weights:
        """Return `weights` with the values of the part replaced."""
        trainable, statistics = weights.trainable.copy(), weights.statistics.copy()
        trainable[self.trainable], statistics[self.statistics] = part.trainable, part.statistics
        return Weights(trainable, statistics)

    def only(self, new: Weights, old: Weights) -> Weights:
        """Return `old` with the values of the part taken from `new`; other changes in `new` are dropped."""
        return self.put(self.take(new), old)


def _owner(entry: Entry) -> str:
    """Return the path of the layer that an entry belongs to."""
    return entry.path.rpartition("/")[0]


def cut(vector: Any, entries: Sequence[Entry]) -> list[Any]:
    """Return one tensor for each entry from `vector`, a TensorFlow tensor that holds them in sequence."""
    import tensorflow as tf

    if not entries:
        return []
    pieces = tf.split(vector, [entry.size for entry in entries])
    return [tf.reshape(piece, entry.shape) for piece, entry in zip(pieces, entries, strict=True)]


def _joined(vectors: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(vectors) if vectors else np.zeros(0, np.float32)
