"""Convert frozen dataclasses (records) to and from plain JSON, with a type for every key.

A key is the field's name with dashes for underscores, unless the field sets another. Unknown keys are ignored, and a
missing or null key has its field's default; a value of a wrong type is an error. A record whose format has changed has
a function ``modern`` that converts older formats.
"""

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from fedrobust.errors import FedrobustError

T = TypeVar("T")
Reader = Callable[[Any], Any]

REQUIRED = dataclasses.MISSING


class RecordError(FedrobustError, ValueError):
    """A value in a run's file has a wrong type.

    Args:
        problem: the value and the allowed type.
        path: to the key, outermost first: names and list indices.
    """

    def __init__(self, problem: str, path: tuple[str | int, ...] = ()):
        self.problem, self.path = problem, path
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        super().__init__(f"{where}: {problem}" if where else problem)

    def below(self, step: str | int) -> "RecordError":
        """Return the same error with `step` before its path."""
        return RecordError(self.problem, (step, *self.path))


def entry(
    about: str,
    *,
    default: Any = REQUIRED,
    default_factory: Any = REQUIRED,
    key: str = "",
    left_out: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a field of a record.

    Args:
        about: description of the value, for docs/records.md and the JSON schema.
        default: value if the key is missing; without a default the key is required.
        default_factory: makes the default.
        key: in JSON, if it is not the field's name with dashes.
        left_out: whether the key is not written if the value is None.
        choices: the texts that this version writes; others can be read, too.
    """
    metadata = {"about": about, "key": key, "left_out": left_out, "choices": choices}
    return dataclasses.field(default=default, default_factory=default_factory, metadata=metadata)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(entry,))
def record(cls: type[T]) -> type[T]:
    """Make a class a record: a frozen dataclass with keyword-only fields.

    Example:
        >>> @record
        ... class Point:
        ...     x_axis: float = entry("to the right")
        ...     name: str | None = entry("what it is called", default=None)
        >>> read(Point, {"x-axis": 1})
        Point(x_axis=1.0, name=None)
        >>> to_json(Point(x_axis=2.5))
        {'x-axis': 2.5, 'name': None}
    """
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a record.

    Attributes:
        name: of the field.
        key: in JSON.
        kind: the type of its value.
        about: description of its value.
        left_out: whether it is not written if the value is None.
        required: whether it must be in a file.
        choices: the texts that this version writes; none for other kinds.
    """

    name: str
    key: str
    kind: Any
    about: str
    left_out: bool
    required: bool
    choices: tuple[str, ...] = ()


@cache
def keys(cls: type) -> tuple[Key, ...]:
    """Return the keys of a record, in the order of writing."""
    kinds = get_type_hints(cls)
    return tuple(
        Key(
            field.name,
            field.metadata.get("key") or field.name.replace("_", "-"),
            kinds[field.name],
            field.metadata.get("about", ""),
            field.metadata.get("left_out", False),
            field.default is REQUIRED and field.default_factory is REQUIRED,
            field.metadata.get("choices", ()),
        )
        for field in dataclasses.fields(cls)
    )


def read(cls: type[T], value: Any) -> T:
    """Read a record from plain JSON.

    Raises:
        RecordError: a value has a wrong type, or a required key is missing; the message begins with its path, such as
            ``rounds[3].clean.accuracy``.

    Example:
        >>> @record
        ... class Point:
        ...     x: float = entry("to the right")
        >>> read(Point, {"x": "far"})
        Traceback (most recent call last):
            ...
        fedrobust.runs.codec.RecordError: x: 'far' is no number
    """
    kind: Any = cls
    found: T = reader(kind)(value)
    return found


@cache
def reader(kind: Any) -> Reader:
    """Return the function that reads values of a type.

    Raises:
        TypeError: the type is not supported.
    """
    if kind is Any:
        return lambda value: value
    if kind in _SCALARS:
        return _SCALARS[kind]
    if dataclasses.is_dataclass(kind):
        return _record(kind)  # type: ignore[arg-type]
    arguments = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return _one_of([reader(each) for each in arguments if each is not type(None)])
    if get_origin(kind) is tuple:
        last = arguments[-1] is Ellipsis
        return _list(reader(arguments[0])) if last else _fixed([reader(each) for each in arguments])
    if get_origin(kind) is not None and issubclass(get_origin(kind), Mapping):
        return _table(reader(arguments[1]), nulls=arguments[1] is Any)
    raise TypeError(f"{kind}: a record holds numbers, texts, tuples, mappings and records")


def to_json(value: Any) -> Any:
    """Return a record, or a value in one, as plain JSON: dictionaries, lists, strings, numbers, None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((key, getattr(value, key.name)) for key in keys(type(value)))
        return {key.key: to_json(held) for key, held in pairs if held is not None or not key.left_out}
    if isinstance(value, Mapping):
        return {name: to_json(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(held) for held in value]
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _scalar(kinds: tuple[type, ...], called: str, made: Callable[[Any], Any]) -> Reader:
    def read_one(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise RecordError(f"{_shown(value)} is no {called}")
        return made(value)

    return read_one


def _whole(value: float) -> int:
    if value != value or value in (float("inf"), float("-inf")) or value != int(value):
        raise RecordError(f"{value} is no whole number")
    return int(value)


_SCALARS: dict[Any, Reader] = {
    bool: _scalar((bool,), "true or false", bool),
    int: _scalar((int, float), "whole number", _whole),
    float: _scalar((int, float), "number", float),
    str: _scalar((str,), "text", str),
}


def _one_of(readers: list[Reader]) -> Reader:
    def read_one(value: Any) -> Any:
        for each in readers[:-1]:
            try:
                return each(value)
            except RecordError:
                continue
        return None if value is None else readers[-1](value)

    return read_one


def _each(pairs: Iterable[tuple[Any, Any]], read_one: Reader) -> Iterable[tuple[Any, Any]]:
    """Yield (step, value read below it); errors get the step in their path."""
    for step, value in pairs:
        try:
            yield step, read_one(value)
        except RecordError as error:
            raise error.below(step) from None


def _list(read_one: Reader) -> Reader:
    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise RecordError(f"{_shown(value)} is no list")
        return tuple(held for _, held in _each(enumerate(value), read_one))

    return read_all


def _fixed(readers: list[Reader]) -> Reader:
    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) != len(readers):
            raise RecordError(f"{_shown(value)} is no list of {len(readers)}")
        pairs = enumerate(zip(readers, value, strict=True))
        return tuple(held for _, held in _each(pairs, lambda pair: pair[0](pair[1])))

    return read_all


def _table(read_one: Reader, nulls: bool) -> Reader:
    def read_all(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise RecordError(f"{_shown(value)} is no object")
        return dict(
            _each(((name, held) for name, held in value.items() if nulls or held is not None), read_one)
        )

    return read_all


def _record(cls: type) -> Reader:
    known = [(each, reader(each.kind)) for each in keys(cls)]
    modern = getattr(cls, "modern", lambda value: value)

    def read_all(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise RecordError(f"{_shown(value)} is no object")
        found, value = {}, modern(value)
        for each, read_one in known:
            held = value.get(each.key)
            if held is None:
                if each.required:
                    raise RecordError("it is missing", (each.key,))
                continue
            try:
                found[each.name] = read_one(held)
            except RecordError as error:
                raise error.below(each.key) from None
        return cls(**found)

    return read_all
