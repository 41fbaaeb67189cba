"""The members of every family that a study file may name, and what is known of a name."""

from typing import Any

from fedrobust.bounds import annotations_of, described
from fedrobust.config.explain import explain
from fedrobust.config.families import FAMILIES
from fedrobust.registry import UnknownNameError, did_you_mean
from fedrobust.spec import REQUIRED, settings_of

__all__ = ["explain", "members"]


def members(family: str) -> dict[str, str]:
    """Return the names of a family, each with a line of summary and settings.

    Raises:
        UnknownNameError: there is no such family.

    Example:
        >>> list(members("pre-aggregators"))
        ['arc', 'bucketing', 'clipping', 'nnm']
    """
    if family not in FAMILIES:
        raise UnknownNameError(
            f"{family!r}: choose one of {', '.join(FAMILIES)}{did_you_mean(family, FAMILIES)}"
        )
    registry = FAMILIES[family].registry
    return {member: _summary(registry[member]) + _settings(registry[member]) for member in registry}


def _settings(member: Any) -> str:
    """Return the settings of a member with their defaults and allowed values."""
    known = settings_of(member) or {}
    annotations = annotations_of(member) if known else {}
    told = [
        f"{name}{' (required)' if default is REQUIRED else f'={default!r}'}: {described(annotations[name])}"
        if name in annotations
        else f"{name}={default!r}"
        for name, default in known.items()
    ]
    return f" [{'; '.join(told)}]" if told else ""


def _summary(member: Any) -> str:
    text = getattr(member, "summary", None) or (member.__doc__ or "").strip().splitlines()[0]
    return str(text)
