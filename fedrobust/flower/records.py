"""Weights as Flower records: two float32 vectors, encoded only if they leave the process."""

import math
import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.common.constant import SType

from fedrobust.data.problem import Problem
from fedrobust.models.layout import Weights
from fedrobust.plain import plain_text


class LiveArray(Array):
    """A Flower array that is encoded on demand.

    Between threads of one process it is passed by reference, without encoding (94 MB for a large model). Otherwise it
    behaves as Flower's own array with Flower's encoding.

    Args:
        values: the array; it is made read-only and must not be changed through another reference.
    """

    def __init__(self, values: np.ndarray):
        values = np.ascontiguousarray(values)
        values.setflags(write=False)
        self.__dict__.update(
            values=values, dtype=str(values.dtype), shape=tuple(values.shape), stype=SType.NUMPY
        )

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """The encoded bytes."""
        if "encoded" not in self.__dict__:
            self.__dict__["encoded"] = Array(self.__dict__["values"]).data
        encoded: bytes = self.__dict__["encoded"]
        return encoded

    def numpy(self) -> np.ndarray:
        """Return a copy, as Flower's arrays do."""
        return np.array(self.__dict__["values"])

    def deflate(self) -> bytes:
        """Return the encoding of Flower's own array."""
        return self._plain().deflate()

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self.dtype, self.shape, self.stype, self.data)

    def _plain(self) -> Array:
        return Array(self.dtype, self.shape, self.stype, self.data)


def vector_of(array: Array) -> np.ndarray:
    """Return the values of `array`, read-only and without a copy if its encoding allows it.

    Raises:
        ValueError: the bytes are not NumPy's format, or are not as many as their header says.
    """
    if isinstance(array, LiveArray):
        values: np.ndarray = array.__dict__["values"]
        return values
    if array.stype != SType.NUMPY:
        raise ValueError(f"serialised as {plain_text(str(array.stype), 40)!r}: {SType.NUMPY!r} is read here")
    if not isinstance(array.data, bytes):
        raise ValueError(f"its data are a {type(array.data).__name__}: bytes are read here")
    start, shape, dtype = _header(array.data[:_MOST_HEADER])
    found, wanted = len(array.data) - start, math.prod(shape) * dtype.itemsize
    if found != wanted:
        raise ValueError(f"{found / dtype.itemsize:g} numbers, the header says {_few(shape)}")
    values = np.frombuffer(array.data, dtype, offset=start).reshape(shape)
    values.setflags(write=False)
    return values


_MOST_HEADER = 4096
_MAGIC = b"\x93NUMPY"
# NumPy writes the header, a Python literal, in one way only; Python's parser is not safe for untrusted text.
_LITERAL = re.compile(
    rb"\{'descr': '([<>|=]?[biufc][0-9]{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,19}, ?){0,31}(?:[0-9]{1,19})?)\), \} *\n"
)


def _header(head: bytes) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Return the offset of the values, their shape and their dtype.

    Raises:
        ValueError: `head` does not begin with a header of NumPy's format 1.0 for plain numbers in C order.
    """
    if head[:6] != _MAGIC or len(head) < 10:
        raise ValueError("the magic string of NumPy's format is missing")
    if head[6:8] != b"\x01\x00":
        raise ValueError(f"NumPy format ({head[6]}, {head[7]}): (1, 0) is read here")
    start = 10 + int.from_bytes(head[8:10], "little")
    if start > len(head):
        raise ValueError(f"a header of {start} bytes: it is cut, or longer than {_MOST_HEADER}")
    literal = _LITERAL.fullmatch(head, 10, start)
    if literal is None:
        raise ValueError(
            f"the header {plain_text(repr(head[10:start]), 80)} is not that of an array of numbers"
        )
    descr, fortran, sides = literal.groups()
    try:
        dtype = np.dtype(descr.decode())
    except TypeError as error:
        raise ValueError(f"the header has no dtype of NumPy's: {descr.decode()!r}") from error
    if fortran == b"True":
        raise ValueError(f"an array of {dtype} in Fortran order: plain numbers in C order are read here")
    shape = tuple(int(side) for side in sides.split(b",") if side.strip())
    if any(side > _MOST_SIDE for side in shape):
        raise ValueError(f"the header says {_few(shape)}: no array is as long")
    return start, shape, dtype


_MOST_SIDE = 2**48


def _few(shape: tuple[int, ...]) -> str:
    return str(shape) if len(shape) <= 4 else f"{str(shape[:4])[:-1]}, ...)"


def weights_record(weights: Weights) -> ArrayRecord:
    """Return `weights` as a record with the arrays ``trainable`` and ``statistics``; they become read-only."""
    record = ArrayRecord()
    record["trainable"] = LiveArray(weights.trainable)
    record["statistics"] = LiveArray(weights.statistics)
    return record


def weights_of(record: ArrayRecord) -> Weights:
    """Return the weights in a trusted record, as read-only vectors.

    The server reads clients' records with its own checks.
    """
    return Weights(vector_of(record["trainable"]), vector_of(record["statistics"]))


def arrays_record(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Return `arrays` as a record; they become read-only."""
    record = ArrayRecord()
    for name, values in arrays.items():
        record[name] = LiveArray(values)
    return record


def arrays_of(record: ArrayRecord | None) -> dict[str, np.ndarray]:
    """Return the arrays of a record from `arrays_record`, read-only; empty for None."""
    return {} if record is None else {name: vector_of(array) for name, array in record.items()}


def problem_config(problem: Problem, frozen: str = "", network: str = "") -> ConfigRecord:
    """Return the settings by which a server sends a client the problem and the digests of what is not exchanged.

    Args:
        problem: shape of the images and number of classes.
        frozen: `Layout.frozen` of the server's model.
        network: `Layout.network` of the server's model.
    """
    told = ConfigRecord({"image-shape": list(problem.image_shape), "classes": problem.classes})
    if problem.multilabel:
        told["multilabel"] = True
    if frozen:
        told["frozen"] = frozen
    if network:
        told["network"] = network
    return told


def problem_of(config: ConfigRecord) -> Problem:
    """Return the problem in settings from `problem_config`."""
    shape, classes = config["image-shape"], config["classes"]
    if (
        not isinstance(shape, list)
        or len(shape) != 3
        or [type(side) for side in [*shape, classes]] != [int] * 4
    ):
        raise TypeError(f"image-shape = {shape!r}, classes = {classes!r}: three whole numbers, and one")
    height, width, channels = (int(side) for side in shape)
    return Problem((height, width, channels), int(cast(int, classes)), bool(config.get("multilabel", False)))
