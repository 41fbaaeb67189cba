"""The file of a surrogate that an attack of a study names, found as the study's other files are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fedrobust.data.search_path import resolve
from fedrobust.evasion import Attack, attack_named


def with_surrogate_file(spec: str, base: Path | None = None, root: str | Path = "") -> str | Attack:
    """Return an attack whose surrogate's file is found, with its path; of others the spec.

    Args:
        spec: as the study writes it.
        base: the study file's folder, searched first, see `resolve`.
        root: the setting `data.root`.

    Raises:
        DataError: there is no such file.

    Example:
        >>> with_surrogate_file("transfer(surrogate='query')"), with_surrogate_file("pgd")
        ("transfer(surrogate='query')", 'pgd')
    """
    named: Any = attack_named(spec)
    file = getattr(named, "surrogate", "query")
    if not isinstance(file, str) or file == "query":
        return spec
    return replace(named, surrogate=str(resolve(file, base, root)))
