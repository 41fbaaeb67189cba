"""Convert the forms of a study: tables of a file, dotted keys, overrides, Flower's flat run config."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from fedrobust.config.keys import beyond_64_bits, kebab, list_keys, optional_keys, set_key
from fedrobust.config.names import known_names
from fedrobust.config.old_keys import OLD_KEYS
from fedrobust.config.study_file import toml_value
from fedrobust.errors import ConfigError


def merged(
    values: dict[str, Any], where: str, overrides: Iterable[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return nested `values` with ``key=value`` overrides and ``section__key=value`` settings, ready to be validated.

    Args:
        values: tables by name; they are changed.
        where: what gave them, for messages.
        overrides: as on the command line.
        settings: as in Python.

    Raises:
        ConfigError: an override has no value, a key is none, or a number does not fit into 64 bits.
    """
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"{override!r}: an override is written key=value, as federation.clients=20")
        set_key(values, key.strip(), toml_value(text.strip()), where)
    for name, value in settings.items():
        set_key(values, name.replace("__", "."), value, where)
    if "base" in values:
        raise ConfigError(f"{where}base: unknown key")
    if (beyond := beyond_64_bits(values)) is not None:
        raise ConfigError(f"{where}{beyond}: a whole number of more than 64 bits")
    return known_names(kebab(values, where))


def nested(keys: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return dotted `keys` as tables.

    Raises:
        ConfigError: a key is none.

    Example:
        >>> nested({"seed": 1, "federation.clients": 20})
        {'seed': 1, 'federation': {'clients': 20}}
    """
    values: dict[str, Any] = {}
    for key, value in keys.items():
        set_key(values, key, value, where)
    return values


def flattened(study: type[BaseModel], tables: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return tables as dotted keys of Flower's run config, with lists as TOML text and "" for unset settings.

    Flower knows no null, and no key that an app does not declare.
    """
    flat: dict[str, bool | int | float | str] = dict.fromkeys((*optional_keys(study), *OLD_KEYS), "")
    for key, value in tables.items():
        for name, item in value.items() if isinstance(value, dict) else [("", value)]:
            dotted = f"{key}.{name}" if name else key
            flat[dotted] = json.dumps(item) if isinstance(item, list) else item
    return flat


def unflattened(study: type[BaseModel], run_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted keys of a run config, with lists instead of TOML text: the inverse of `flattened`."""
    given = {
        key: value
        for key, value in run_config.items()
        if key != "base" and not (value == "" and key in (*optional_keys(study), *OLD_KEYS))
    }
    return {
        key: toml_value(value) if _is_list(value) and key in list_keys(study) else value
        for key, value in given.items()
    }


def _is_list(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("[")
