"""The JSON schema of a record."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from fedrobust.runs.codec import Key, keys

_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def json_schema(cls: type, title: str) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a record as this version writes it.

    Example:
        >>> from fedrobust.runs.codec import entry, record
        >>> @record
        ... class Point:
        ...     x: float = entry("to the right")
        >>> json_schema(Point, "A point")["properties"]
        {'x': {'type': 'number', 'description': 'to the right'}}
    """
    shared: dict[str, Any] = {}
    whole = _record(cls, shared)
    definitions = {"$defs": dict(sorted(shared.items()))} if shared else {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **whole,
        **definitions,
    }


def _record(cls: type, shared: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object; unknown keys, of later versions, are allowed."""
    known = keys(cls)
    properties = {each.key: _key(each, shared) for each in known}
    required = [each.key for each in known if not each.left_out]
    return {"type": "object", "properties": properties, "required": required}


def _key(each: Key, shared: dict[str, Any]) -> dict[str, Any]:
    return {
        **_kind(each.kind, shared),
        **({"enum": list(each.choices)} if each.choices else {}),
        **({"description": each.about} if each.about else {}),
    }


def _kind(kind: Any, shared: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if dataclasses.is_dataclass(kind):
        name = kind.__name__  # type: ignore[union-attr]
        if name not in shared:
            shared[name] = {}
            shared[name] = _record(kind, shared)  # type: ignore[arg-type]
        return {"$ref": f"#/$defs/{name}"}
    arguments = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return {
            "anyOf": [_kind(each, shared) for each in arguments if each is not type(None)] + _null(arguments)
        }
    if get_origin(kind) is tuple:
        if arguments[-1] is Ellipsis:
            return {"type": "array", "items": _kind(arguments[0], shared)}
        several = [_kind(each, shared) for each in arguments]
        return {"type": "array", "prefixItems": several, "minItems": len(several), "maxItems": len(several)}
    assert issubclass(get_origin(kind), Mapping)  # `codec.reader` refuses any other
    return {"type": "object", "additionalProperties": _kind(arguments[1], shared)}


def _null(arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [{"type": "null"}] if type(None) in arguments else []
