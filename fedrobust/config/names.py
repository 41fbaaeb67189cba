"""Normalise the spelling of names in a study."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

from fedrobust.config import sections
from fedrobust.config.families import FAMILIES
from fedrobust.config.keys import alias
from fedrobust.registry import known_as
from fedrobust.spec import split_sum


def known_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with names in their registered spelling, for another case or ``_`` for ``-``.

    One thing has one name in all records: results of the same study are found again.
    """
    values = dict(values)
    for (table, key), choices in _choices().items():
        section = values.get(table)
        if isinstance(section, Mapping) and key in section:
            values[table] = {**section, key: _chosen(section[key], choices)}
    for family in FAMILIES.values():
        for table, _, key in (dotted.partition(".") for dotted in family.keys):
            section = values.get(table)
            if isinstance(section, Mapping) and key in section:
                values[table] = {
                    **values[table],
                    key: _renamed(section[key], ["none", *family.registry, *family.others]),
                }
    return values


@cache
def _choices() -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the allowed words of every key that takes one of a few, by table and key."""
    found = {}
    for section in (getattr(sections, name) for name in sections.__all__):
        for name, field in section.model_fields.items():
            inner = next(iter(get_args(field.annotation)), None)
            one = inner if get_origin(field.annotation) is tuple else field.annotation
            words = get_args(one) if get_origin(one) is Literal else ()
            if words and all(isinstance(word, str) for word in words):
                found[section.__name__.lower(), alias(name)] = words
    return found


def _chosen(value: Any, words: tuple[str, ...]) -> Any:
    if isinstance(value, tuple):
        return tuple(_chosen(one, words) for one in value)
    return (known_as(value, words) or value) if isinstance(value, str) else value


def _renamed(value: Any, names: list[str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed(one, names) for one in value)
    if not isinstance(value, str):
        return value
    parts = []
    for part in split_sum(value):
        name = re.match(r"[^()\s]*", part)
        known = known_as(name[0], names) if name else None
        parts.append(known + part[len(name[0]) :] if name and known else part)
    return value if parts == split_sum(value) else " + ".join(parts)
