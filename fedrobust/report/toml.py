"""Write a study as TOML."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def dumps(study: Mapping[str, Any]) -> str:
    """Return a nested mapping as TOML, without values of None, which TOML cannot represent.

    Raises:
        TypeError: TOML cannot represent a value's type.

    Example:
        >>> print(dumps({"name": "breast", "federation": {"clients": 10, "share": 1.0}}))
        name = "breast"
        <BLANKLINE>
        [federation]
        clients = 10
        share = 1.0
    """
    return "\n".join(_table(study, ())).strip()


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {
        key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)
    }
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    if path and (plain or not inner):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield from _table(value, (*path, key))


def _key(key: str) -> str:
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value if one is not None)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None)
        return f"{{ {', '.join(pairs)} }}"
    raise TypeError(f"{type(value).__name__} {value!r} has no place in TOML")


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, except for DEL, which must be escaped in TOML.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
