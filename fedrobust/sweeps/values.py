"""Compare, flatten and show values of settings."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

CLIENT_TIMEOUT = "engine.client-timeout"
"""The setting of ``[engine]`` that may change a result, where it is set: clients that exceed it are dropped."""


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


def of_result(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted keys, that may change a result: neither output nor engine but a set time limit.

    Example:
        >>> of_result({"seed": 1, "engine.workers": 2, "engine.client-timeout": 9.0, "output.root": "runs"})
        {'seed': 1, 'engine.client-timeout': 9.0}
        >>> of_result({"engine.client-timeout": 0.0})
        {}
    """
    return {
        key: value
        for key, value in settings.items()
        if not key.startswith(("engine.", "output.")) or (key == CLIENT_TIMEOUT and value)
    }


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order; values may be lists."""
    return list({json.dumps(value): value for value in values}.values())


def shown(value: Any) -> str:
    """Return a value as text for a table: lists without quotes, "" for an empty one."""
    if isinstance(value, list | tuple):
        return " + ".join(shown(item) for item in value) or "-"
    return str(value)
