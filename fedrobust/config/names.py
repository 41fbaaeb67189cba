"""Normalise the spelling of names in a study."""

import re
from collections.abc import Mapping
from typing import Any

from fedrobust.config.families import FAMILIES
from fedrobust.registry import known_as
from fedrobust.spec import split_sum


def known_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with names in their registered spelling, for another case or ``_`` for ``-``.

    One thing has one name in all records: results of the same study are found again.
    """
    values = dict(values)
    for family in FAMILIES.values():
        for table, _, key in (dotted.partition(".") for dotted in family.keys):
            section = values.get(table)
            if isinstance(section, Mapping) and key in section:
                values[table] = {
                    **values[table],
                    key: _renamed(section[key], ["none", *family.registry, *family.others]),
                }
    return values


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
