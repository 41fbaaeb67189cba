"""What a setting of a study may be, in words, from its type and bounds."""

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from fedrobust.bounds import described

EPSILON = 'a number above 0, or a fraction such as "8/255"'


def allowed(field: FieldInfo) -> str:
    """Return the values that a field of a section takes.

    Example:
        >>> from fedrobust.config.sections import Federation
        >>> allowed(Federation.model_fields["participation"])
        'a number above 0, up to 1'
        >>> allowed(Federation.model_fields["claims"])
        'checked or trusted'
    """
    bounds = {
        name: getattr(extra, name)
        for extra in field.metadata
        for name in ("gt", "ge", "lt", "le")
        if getattr(extra, name, None) is not None
    }
    return f"{_of(field.annotation)}{_between(bounds)}{_empty(field)}"


def _of(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return f"a list, each {_of(inner[0])}"
    if origin is Literal:
        return described(annotation)
    if origin in (Union, types.UnionType):
        kinds = [one for one in inner if one is not type(None)]
        if set(kinds) == {float, str}:
            return EPSILON
        return " or ".join(_of(one) for one in kinds)
    if hasattr(annotation, "__metadata__"):
        return _of(inner[0])
    return "a number" if annotation is float else described(annotation)


def _between(bounds: Mapping[str, float]) -> str:
    low = f" from {_number(bounds['ge'])}" if "ge" in bounds else ""
    low = f" above {_number(bounds['gt'])}" if "gt" in bounds else low
    if "le" in bounds:
        return (
            f"{low} to {_number(bounds['le'])}" if "ge" in bounds else f"{low}, up to {_number(bounds['le'])}"
        )
    return f"{low}, below {_number(bounds['lt'])}" if "lt" in bounds else low


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _empty(field: FieldInfo) -> str:
    return "; unset by default" if field.default is None else ""
