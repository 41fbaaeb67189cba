"""Types with bounds for the settings of rules, attacks, recipes and optimisers, and their descriptions.

A registered dataclass annotates its fields with these; `fedrobust.spec.build` checks them before the thing is made,
and `fedrobust list` shows them. Numbers are finite, also as float32, in which the arithmetic on weights is done.
"""

import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from fedrobust.epsilon import epsilon_value

LARGEST = 3.4028234663852886e38
"""The largest float32."""

MOST = 2**31 - 1
"""The largest int32."""


def _within_pixels(epsilon: float | str) -> float | str:
    if not 0 < epsilon_value(epsilon) <= 1:
        raise ValueError("an epsilon lies in (0, 1]: pixels do")
    return epsilon


def _step_within_pixels(size: float | str) -> float | str:
    if not 0 <= epsilon_value(size) <= 1:
        raise ValueError("a step lies in [0, 1]: pixels do")
    return size


Real = Annotated[float, Field(ge=-LARGEST, le=LARGEST, description="a finite number")]
Positive = Annotated[float, Field(gt=0, le=LARGEST, description="a finite number above 0")]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST, description="a finite number from 0")]
AboveOne = Annotated[float, Field(gt=1, le=LARGEST, description="a finite number above 1")]
AtLeastOne = Annotated[float, Field(ge=1, le=LARGEST, description="a finite number from 1")]
Share = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]
PositiveShare = Annotated[float, Field(gt=0, le=1, description="a number above 0, up to 1")]
Decay = Annotated[float, Field(ge=0, lt=1, description="a number from 0, below 1")]
Count = Annotated[int, Field(ge=1, le=MOST, description="a whole number from 1")]
FromTwo = Annotated[int, Field(ge=2, le=MOST, description="a whole number from 2")]
Whole = Annotated[int, Field(ge=0, le=MOST, description="a whole number from 0")]
ClassNumber = Annotated[int, Field(ge=0, le=MOST, description="the number of a class, from 0")]
GreyLevel = Annotated[int, Field(ge=0, le=255, description="a grey level, 0 to 255")]
PixelEpsilon = Annotated[
    float | str,
    AfterValidator(_within_pixels),
    Field(description='a number above 0, up to 1, or a fraction such as "8/255"'),
]
PixelStep = Annotated[
    float | str,
    AfterValidator(_step_within_pixels),
    Field(description='a number from 0 to 1, or a fraction such as "2/255"'),
]
Text = Annotated[str, Field(min_length=1, max_length=4096, description="a string")]


def described(annotation: Any) -> str:
    """Return the description of the allowed values of a type.

    Example:
        >>> described(Share), described(Literal["nan", "inf"]), described(bool), described(ClassNumber | None)
        ('a number from 0 to 1', 'nan or inf', 'true or false', 'the number of a class, from 0 or nothing')
    """
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, FieldInfo) and extra.description:
            return extra.description
    if get_origin(annotation) is Annotated:
        return described(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return f"a list, each {described(get_args(annotation)[0])}"
    if get_origin(annotation) is Literal:
        return _either([str(one) for one in get_args(annotation)])
    if get_origin(annotation) in (Union, types.UnionType):
        return _either([described(one) for one in get_args(annotation)])
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def refusal(annotation: Any, value: Any) -> str:
    """Return why `value` is wrong for a setting of this type; "" if it is not, or if that is unknown.

    Types are strict: a whole number is no 2.0, no number is true; only a float may be written without its point.

    Example:
        >>> refusal(Count, 2), refusal(Count, 2.5), refusal(Share, float("nan"))
        ('', 'choose a whole number from 1', 'choose a number from 0 to 1')
    """
    adapter = _adapter(annotation)
    if adapter is None:
        return ""
    try:
        adapter.validate_python(tuple(value) if isinstance(value, list) and _is_tuple(annotation) else value)
    except ValidationError as error:
        reasons = [one["msg"] for one in error.errors() if one["type"] == "value_error"]
        reason = f" ({reasons[0].removeprefix('Value error, ')})" if reasons else ""
        return f"choose {described(annotation)}{reason}"
    return ""


def annotations_of(thing: Any) -> dict[str, Any]:
    """Return the types of a class' or function's settings, with their bounds; empty if they cannot be read."""
    try:
        return get_type_hints(thing, include_extras=True)
    except Exception:  # a user's own module may name types that exist for a type checker only
        return {}


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
    except (PydanticUserError, TypeError, NameError):
        return None


def _is_tuple(annotation: Any) -> bool:
    return tuple in (annotation, get_origin(annotation), get_origin(next(iter(get_args(annotation)), None)))


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a string",
    type(None): "nothing",
}
