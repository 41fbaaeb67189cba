"""Checks of replies: what a client's code returns is copied into Flower's own types, within limits, or rejected.

A reply in the same process is an object of the client's code: it may have classes of its own, its properties may raise,
and it may change later. It is read once, where the client's code ran, and only copies of its records are passed on;
arrays are not copied. Replies of other processes or machines are decoded one at a time, within the same limits.
"""

import traceback
from collections.abc import Mapping
from copy import copy
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.message.typeddict import TypedDict
from flwr.common.constant import ErrorCode

from fedrobust.flower.records import LiveArray
from fedrobust.plain import plain_text

MOST_RECORDS = 64
MOST_ENTRIES = 10_000
"""Most arrays, metrics and settings of a reply together; each number in a list counts."""
MOST_NAME = 1_000
MOST_CONFIG = 1_000_000
"""Most characters or bytes of one setting."""
MOST_DIMENSIONS = 32
MOST_REASON = 8_000
"""Most characters of an error's text that are sent: its beginning and its end."""
MOST_CHAINED = 50
"""Most errors that one comes from, of which the whole traceback is formatted."""
MOST_STATE_BYTES = 2**30
"""Most bytes of one client's state between rounds."""

Record = ArrayRecord | MetricRecord | ConfigRecord


class UnreadableError(ValueError):
    """A client's return value is not a valid reply to its message."""


def plain_reply(reply: object, asked: Message, key: str | None = None) -> Message:
    """Return `reply` as a reply to `asked` in Flower's own types, sharing its arrays.

    Args:
        reply: the return value of a client's app.
        asked: the message to the client.
        key: the grid's id of `asked`, if it differs from the message's own.

    Raises:
        UnreadableError: it is not a reply to `asked`, or exceeds a limit. Reading an object of a client's own class
            may raise any other exception, including BaseException.
    """
    if not isinstance(reply, Message):
        raise UnreadableError(f"the client app returned {_kind(reply)}: a Message is expected")
    held = reply.__dict__
    reply_to = held["_metadata"].__dict__["_reply_to_message_id"]
    if reply_to != (asked.metadata.message_id if key is None else key):
        raise UnreadableError("it is a reply to another message")
    error, content = held["_error"], held["_content"]
    if error is not None:
        reason = error.reason
        return failed_reply(asked, _text(reason, None) if reason else f"error {_integer(error.code)}")
    if not isinstance(content, RecordDict):
        raise UnreadableError(f"a reply's content is {_kind(content)}: a RecordDict is expected")
    return Message(plain_records(content), reply_to=asked)


def failed_reply(asked: Message, reason: str) -> Message:
    """Return the error reply of a client that failed; the middle of a long `reason` is left out."""
    return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, _ends(reason)), reply_to=asked)


def _ends(text: str) -> str:
    """Return both ends of a long text; the cut line is indented as a traceback's frames are, and so is no reason."""
    half = MOST_REASON // 2
    return text if len(text) <= MOST_REASON else f"{text[:half]}\n  ...{text[-half:]}"


def described(error: BaseException) -> str:
    """Return the traceback of a client's error, or a fixed text if the error itself cannot be printed."""
    try:
        if type(error) is UnreadableError:
            return plain_text(str(error))
        if _has_long_text(error):
            # Formatting takes time and memory in proportion to the text: of this error the text's ends are enough.
            frames = "".join(traceback.format_tb(error.__traceback__, limit=-20))
            return _ends(
                f"Traceback (most recent call last):\n{frames}{_kind(error)[2:]}: {_ends(str(error))}"
            )
        return _ends("".join(traceback.format_exception(error)))
    except BaseException:  # the error is the client's object: its methods may raise
        return "the client app raised an error that cannot be printed"


def _has_long_text(error: BaseException) -> bool:
    """Return whether `error`, or one that it comes from, has a text too long to format as a whole."""
    waiting: list[BaseException | None] = [error]
    for _ in range(MOST_CHAINED):
        found = waiting.pop() if waiting else None
        if found is None:
            return False
        try:
            texts = (*found.args, str(found))
        except BaseException:  # of a client's own class, of which no text is formatted
            texts = ()
        if any(isinstance(part, str | bytes) and len(part) > MOST_REASON for part in texts):
            return True
        inside = found.exceptions if isinstance(found, BaseExceptionGroup) else ()
        waiting = [
            each for each in (*waiting, *inside[:MOST_CHAINED], found.__cause__, found.__context__) if each
        ]
    return True


def plain_state(state: object) -> RecordDict:
    """Return a client's state between rounds in Flower's own types, sharing its arrays.

    Raises:
        UnreadableError: it is not a RecordDict, or exceeds a limit; see `plain_reply`.
    """
    if not isinstance(state, RecordDict):
        raise UnreadableError(
            f"a client keeps {_kind(state)} in its context's state: a RecordDict is expected"
        )
    records = plain_records(state)
    arrays = (
        array for record in records.values() if isinstance(record, ArrayRecord) for array in record.values()
    )
    size = sum(array_bytes(array) for array in arrays)
    if size > MOST_STATE_BYTES:
        raise UnreadableError(
            f"a client keeps {size} bytes between rounds: {MOST_STATE_BYTES} are kept at most"
        )
    return records


def plain_records(content: RecordDict) -> RecordDict:
    """Return the records of `content` in Flower's own types, sharing its arrays.

    Raises:
        UnreadableError: a limit is exceeded; see `plain_reply`.
    """
    records = _items(content, MOST_RECORDS, "records")
    left = MOST_ENTRIES
    found: dict[str, Record] = {}
    for name, record in records:
        if isinstance(record, ArrayRecord):
            arrays = [(_name(key), _array(array)) for key, array in _items(record, left, "arrays")]
            left -= len(arrays)
            found[_name(name)] = _filled(ArrayRecord(), arrays)
        elif isinstance(record, MetricRecord):
            numbers = [(_name(key), _metric(value, left)) for key, value in _items(record, left, "metrics")]
            left -= sum(map(_count, numbers))
            found[_name(name)] = _filled(MetricRecord(), numbers)
        elif isinstance(record, ConfigRecord):
            settings = [
                (_name(key), _setting(value, left)) for key, value in _items(record, left, "settings")
            ]
            left -= sum(map(_count, settings))
            found[_name(name)] = _filled(ConfigRecord(), settings)
        else:
            raise UnreadableError(f"a record is {_kind(record)}: arrays, metrics or settings are expected")
        if left < 0:
            raise UnreadableError(f"a reply has more than {MOST_ENTRIES} entries")
    return RecordDict(found)


def private_copy(message: Message) -> Message:
    """Return a copy of `message` for one client of this process, which may change its records.

    Arrays are shared, and read-only.
    """
    own = copy(message)
    own.__dict__.update(_metadata=copy(message.metadata), _content=plain_records(message.content))
    return own


def array_bytes(array: Array) -> int:
    """Return the bytes of `array`, without encoding it."""
    return int(array.__dict__["values"].nbytes) if isinstance(array, LiveArray) else len(array.data)


def content_bytes(message: Message) -> int:
    """Return the bytes of the arrays of `message`."""
    records = message.content.values()
    arrays = (array for record in records if isinstance(record, ArrayRecord) for array in record.values())
    return sum(map(array_bytes, arrays))


def _items(record: TypedDict[Any, Any], most: int, what: str) -> list[tuple[Any, Any]]:
    data = record.__dict__["_data"]
    if not isinstance(data, dict) or dict.__len__(data) > most:
        raise UnreadableError(
            f"a reply has more than {MOST_RECORDS if what == 'records' else MOST_ENTRIES} {what}"
        )
    return list(dict.items(data))


def _filled(record: Any, items: list[tuple[str, Any]]) -> Any:
    # Every entry has been checked: Flower's own check, one call for each entry, is skipped.
    record.__dict__["_data"].update(items)
    return record


def _count(item: tuple[str, Any]) -> int:
    return len(item[1]) if isinstance(item[1], list) else 1


def _name(name: Any) -> str:
    return _text(name, MOST_NAME)


def _text(text: Any, most: int | None) -> str:
    if not isinstance(text, str):
        raise UnreadableError(f"a text is {_kind(text)}")
    if most is not None and str.__len__(text) > most:
        raise UnreadableError(f"a text has {str.__len__(text)} characters: {most} are read at most")
    # A subclass of str is reduced to its characters.
    return str.__str__(text)


def _integer(number: Any) -> int:
    if not isinstance(number, int):
        raise UnreadableError(f"a whole number is {_kind(number)}")
    number = int.__pos__(number)
    if not -(2**63) <= number < 2**64:
        raise UnreadableError("a whole number is beyond 64 bits")
    return number


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise UnreadableError("a metric is a truth value: a number is expected")
    return float.__pos__(value) if isinstance(value, float) else _integer(value)


def _metric(value: Any, most: int) -> Any:
    if not isinstance(value, list):
        return _number(value)
    return [_number(item) for item in _listed(value, most)]


def _setting(value: Any, most: int) -> Any:
    if isinstance(value, list):
        return [_single(item) for item in _listed(value, most)]
    return _single(value)


def _listed(values: list[Any], most: int) -> list[Any]:
    if list.__len__(values) > most:
        raise UnreadableError(f"a reply has more than {MOST_ENTRIES} entries")
    return list.copy(values)


def _single(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, MOST_CONFIG)
    if isinstance(value, bytes):
        if bytes.__len__(value) > MOST_CONFIG:
            raise UnreadableError(f"a setting has more than {MOST_CONFIG} bytes")
        return bytes.__getitem__(value, slice(None)) if type(value) is bytes else bytes(memoryview(value))
    return _number(value)


def _array(array: Any) -> Array:
    if not isinstance(array, Array):
        raise UnreadableError(f"an array is {_kind(array)}")
    held: Mapping[str, Any] = array.__dict__
    if isinstance(array, LiveArray):
        values = held["values"]
        if not isinstance(values, np.ndarray):
            raise UnreadableError(f"an array is {_kind(values)}")
        values = np.ndarray.view(values, np.ndarray)
        if values.dtype.kind not in "biufc" or values.ndim > MOST_DIMENSIONS:
            raise UnreadableError(
                f"an array of {values.ndim} dimensions holds {values.dtype}: numbers are expected"
            )
        return LiveArray(values)
    shape, data = held["shape"], held["data"]
    if not isinstance(shape, tuple) or tuple.__len__(shape) > MOST_DIMENSIONS or type(data) is not bytes:
        raise UnreadableError(f"an array has a shape that is {_kind(shape)} and data that are {_kind(data)}")
    sides = tuple(_integer(side) for side in tuple.__iter__(shape))
    return Array(_text(held["dtype"], MOST_NAME), sides, _text(held["stype"], MOST_NAME), data)


def _kind(value: object) -> str:
    # The name of a client's class is untrusted text.
    name = cast(str, type.__dict__["__name__"].__get__(type(value)))
    return "nothing" if value is None else f"a {plain_text(name, 60)}"
