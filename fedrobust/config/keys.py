"""The keys of a study, dotted and kebab-case, as in files, on the command line and in Flower's run config."""

from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from fedrobust.config.study_file import MOST_PARTS
from fedrobust.errors import ConfigError


def default(study: type[BaseModel], key: str) -> Any:
    """Return the default of a setting by its dotted key, as in records, with lists for tuples.

    Example:
        >>> from fedrobust.config import Experiment
        >>> default(Experiment, "federation.clients"), default(Experiment, "seed")
        (10, 0)
    """
    fields, names = study.model_fields, key.replace("-", "_").split(".")
    for name in names[:-1]:
        fields = getattr(fields[name].annotation, "model_fields", {})
    value = fields[names[-1]].default
    return list(value) if isinstance(value, tuple) else value


def keys(study: type[BaseModel]) -> list[str]:
    """Return every key of a study, dotted, in the order of the study file."""
    return [
        f"{name}.{alias(inner)}" if inner else name
        for name, field in study.model_fields.items()
        if name != "base"
        for inner in (getattr(field.annotation, "model_fields", {}) or [""])
    ]


@cache
def optional_keys(study: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys whose values are optional."""
    return tuple(
        f"{name}.{alias(key)}"
        for name, field in study.model_fields.items()
        for key, item in (getattr(field.annotation, "model_fields", None) or {}).items()
        if item.default is None
    )


@cache
def list_keys(study: type[BaseModel]) -> frozenset[str]:
    """Return the keys whose values are lists or may be lists."""
    return frozenset(
        f"{name}.{alias(key)}"
        for name, field in study.model_fields.items()
        for key, item in (getattr(field.annotation, "model_fields", None) or {}).items()
        if tuple in (get_origin(one) for one in (item.annotation, *get_args(item.annotation)))
    )


def alias(name: str) -> str:
    """Return the kebab-case form of a field's name."""
    return name.replace("_", "-")


def set_key(values: dict[str, Any], dotted: str, value: Any, where: str) -> None:
    """Set a dotted key in nested tables; ``-`` and ``_`` are equivalent, and so are small and capital letters.

    Raises:
        ConfigError: it has more than two parts, or its table is a value.
    """
    *path, last = dotted.casefold().replace("_", "-").split(".")
    if len(path) > 1:
        raise ConfigError(
            f"{where}{dotted[:80]}: unknown key; a key is written section.key, as federation.clients"
        )
    table = values
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{where}{dotted}: {name} is a value, not a table")
    table[last] = value


def kebab(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return `values` with kebab-case keys in small letters, and with lists as tuples for strict fields."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = key.casefold().replace("_", "-")
        if name in result:
            raise ConfigError(f"{where}{name}: given twice, in two spellings")
        if isinstance(value, Mapping):
            result[name] = kebab(value, where)
        else:
            result[name] = tuple(value) if isinstance(value, list) else value
    return result


def beyond_64_bits(values: Mapping[str, Any], above: str = "") -> str | None:
    """Return the key of an integer out of the range of TOML and Flower, None if there is none."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            found = beyond_64_bits(value, f"{above}{name}.") if not above.count(".") > MOST_PARTS else None
            if found is not None:
                return found
        items = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in items):
            return f"{above}{name}"
    return None
