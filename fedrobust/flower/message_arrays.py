"""A Flower message as an envelope and its arrays, so that arrays can be sent separately."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict

from fedrobust.flower.guard import UnreadableError, plain_reply
from fedrobust.flower.records import LiveArray, vector_of
from fedrobust.plain import plain_text


@dataclass(frozen=True, eq=False)
class Envelope:
    """A message without its arrays.

    Attributes:
        message: with empty array records.
        names: (record, array) names of each array, in the order in which they are sent.
    """

    message: Message
    names: tuple[tuple[str, str], ...]


def pack(message: Message) -> tuple[Envelope, list[Array]]:
    """Return `message` without its arrays, and the arrays."""
    if message.has_error():
        return Envelope(message, ()), []
    content = message.content
    names = [(record, name) for record, arrays in content.array_records.items() for name in arrays]
    light = copy(message)
    light.content = RecordDict(
        {key: ArrayRecord() if isinstance(record, ArrayRecord) else record for key, record in content.items()}
    )
    return Envelope(light, tuple(names)), [content.array_records[record][name] for record, name in names]


def unpack(envelope: Envelope, values: Sequence[np.ndarray]) -> Message:
    """Return the message of `envelope` with `values` as its arrays; they are not copied."""
    for (record, name), array in zip(envelope.names, values, strict=True):
        envelope.message.content.array_records[record][name] = LiveArray(array)
    return envelope.message


def sealed(reply: object, asked: Message) -> tuple[Envelope, list[np.ndarray]]:
    """Return the envelope and the arrays of a client app's return value, checked by `plain_reply`.

    Raises:
        UnreadableError: it is not a reply to `asked`, or its arrays cannot be read. Reading an object of a client's own
            class may raise any other exception.
    """
    envelope, arrays = pack(plain_reply(reply, asked))
    try:
        return envelope, [values_of(array) for array in arrays]
    except ValueError as error:
        raise UnreadableError(f"an array cannot be decoded: {plain_text(str(error))}") from error


def opened(answer: object) -> tuple[Message, RecordDict]:
    """Return the reply and the client's state from a worker's result, with copies of its arrays.

    Arrays in Ray's shared memory must not be kept: to free one after Ray has ended on this machine ends the process.

    Raises:
        UnreadableError: the result is invalid.
    """
    match answer:
        case (Envelope() as envelope, RecordDict() as state, list() as values) if (
            isinstance(envelope.message, Message)
            and len(values) == len(envelope.names)
            and all(isinstance(array, np.ndarray) for array in values)
        ):
            return unpack(envelope, [array.copy() for array in values]), state
    raise UnreadableError("its worker sent no answer of this project's")


def values_of(array: Array) -> np.ndarray:
    """Return the values of `array`, without a copy if its encoding allows it."""
    return vector_of(array)
