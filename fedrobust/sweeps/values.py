"""Compare, flatten and show values of settings."""

import json
from collections.abc import Iterable, Mapping
from typing import Any


def matches(values: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    """Return whether `values` match `pattern`: every key has its value or one of its values.

    Example:
        >>> matches({"seed": 1, "poisoning.attack": "none"}, {"poisoning.attack": ["none", "alie"]})
        True
        >>> matches({"seed": 1}, {"poisoning.attack": "none"})
        False
    """

    def fits(value: Any, wanted: Any) -> bool:
        return bool(value == wanted or (isinstance(wanted, list) and value in wanted))

    return all(key in values and fits(values[key], wanted) for key, wanted in pattern.items())


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables as dotted kebab-case keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner}": item for inner, item in flattened(value).items()})
        else:
            flat[name] = value
    return flat


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order; values may be lists."""
    return list({json.dumps(value): value for value in values}.values())


def shown(value: Any) -> str:
    """Return a value as text for a table: lists without quotes, "" for an empty one."""
    if isinstance(value, list | tuple):
        return " + ".join(shown(item) for item in value) or "-"
    return str(value)
