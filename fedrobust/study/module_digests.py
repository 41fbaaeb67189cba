"""Digests of a user's own modules that settings name by dotted paths."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from fedrobust.models.network_file import DIGITS, file_digest

_DOTTED = re.compile(r"(?<![\w.:/])([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?=[A-Za-z_])")

NOT_OWN = ("fedrobust", "flower", "keras", "__main__")
"""What stands before the colon of names that are no own module; a script or notebook is not digested as a whole."""


def module_digests(settings: Mapping[str, Any], base: str | Path | None = None) -> dict[str, str]:
    """Return the first digits of the SHA-256 of the source of the own modules that each setting names.

    Settings that name none are left out, and so are modules that are not found: a study with them does not start. No
    module is imported. What a module imports in turn is not digested.

    Args:
        settings: dotted key -> value: a string, a list of strings, or anything else.
        base: the folder of the study, in which modules are searched after the import path.

    Example:
        >>> sorted(module_digests({"federation.aggregator": "json.decoder:JSONDecoder", "training.loss": "focal"}))
        ['federation.aggregator']
    """
    found = {}
    for key, value in settings.items():
        modules = sorted({name for text in _texts(value) for name in _DOTTED.findall(text)})
        digests = [digest for name in modules if (digest := _digest(name, base))]
        if digests:
            found[key] = "-".join(digests)
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _digest(module: str, base: str | Path | None) -> str:
    """Return the digest of a module's file; "" if it has none."""
    if module.partition(".")[0] in NOT_OWN:
        return ""
    first, *rest = module.split(".")
    spec = _spec(first, [*([str(base)] if base else []), os.getcwd()])
    for part in rest:
        below = spec.submodule_search_locations if spec is not None else None
        spec = PathFinder.find_spec(part, list(below)) if below is not None else None
    file = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    return file_digest(file)[:DIGITS] if file is not None and file.is_file() else ""


def _spec(name: str, folders: Sequence[str]) -> ModuleSpec | None:
    """Return what an import of a top module would find, in `folders` where the import path has none."""
    for finder in sys.meta_path:
        if (found := finder.find_spec(name, None)) is not None:
            return found
    return PathFinder.find_spec(name, folders)
