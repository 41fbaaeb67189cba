"""Names with settings in one string, as a study file writes them: ``"trimmed-mean(f=2)"``."""

import ast
import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_origin

from fedrobust.bounds import annotations_of, described, refusal
from fedrobust.epsilon import shortened
from fedrobust.errors import FedrobustError, own_line, told
from fedrobust.registry import Registry, did_you_mean, known_as

_FORM = re.compile(r"\s*(?P<name>[^()\s]+)\s*(?:\((?P<settings>.*)\))?\s*", re.DOTALL)


LONGEST = 4096
"""Letters of a spec."""


class SpecError(FedrobustError, ValueError):
    """A string is not ``name`` or ``name(setting=value, ...)``, or the thing named takes other settings."""


@dataclass(frozen=True)
class Spec:
    """A registered name or dotted path, and the settings that it is given.

    Example:
        >>> Spec.parse("trimmed-mean(f=2)")
        Spec(name='trimmed-mean', settings={'f': 2})
        >>> Spec.parse("fgsm-images(epsilon='8/255')").settings
        {'epsilon': '8/255'}
        >>> Spec.parse("krum(2)")
        Traceback (most recent call last):
        fedrobust.spec.SpecError: 'krum(2)': settings are written name=value, as in "trimmed-mean(f=2)"
    """

    name: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Read a spec; ``-`` and ``_`` mean the same in the names of settings.

        Raises:
            SpecError: it cannot be read.
        """
        form = _FORM.fullmatch(text) if len(text) <= LONGEST else None
        if form is None:
            raise SpecError(f"{shortened(text)}: write a name, or name(setting=value, ...)")
        settings = form["settings"]
        if not settings or not settings.strip():
            return cls(form["name"])
        kebab = re.sub(r"([A-Za-z0-9])-(?=[A-Za-z0-9-]*\s*=)", r"\1_", settings)
        try:
            call = ast.parse(f"f({kebab})", mode="eval").body
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                raise ValueError("parentheses do not match")
            values = [(keyword.arg, ast.literal_eval(keyword.value)) for keyword in call.keywords]
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
            raise SpecError(
                f"{shortened(text)}: a setting's value is a number, a quoted string or a list"
            ) from error
        names = [name for name, _ in values]
        if call.args or None in names:
            raise SpecError(f'{shortened(text)}: settings are written name=value, as in "trimmed-mean(f=2)"')
        if twice := [name for name in names if names.count(name) > 1]:
            raise SpecError(f"{shortened(text)}: the setting {twice[0]} is given twice")
        return cls(form["name"], {str(name): value for name, value in values})

    def __str__(self) -> str:
        if not self.settings:
            return self.name
        inside = ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
        return f"{self.name}({inside})"


def build(registry: Registry, text: str, **defaults: Any) -> Any:
    """Return the thing that `text` names, made with its settings, each of which is checked by its type and bounds.

    Args:
        registry: the family that it belongs to.
        text: a spec.
        defaults: settings for those things that have them, where the spec does not give them.

    Raises:
        SpecError: it cannot be read, has a setting that the thing named does not take or lacks one that it needs, or
            a setting is not what it may be; the message names the setting, its value and what is allowed.
        UnknownNameError: nothing has that name.
    """
    spec = Spec.parse(text)
    thing = registry[spec.name]
    if not callable(thing):
        raise SpecError(f"{shortened(text)}: {spec.name} is no class or function that makes one")
    known, settings = settings_of(thing), dict(spec.settings)
    if known is not None:
        settings = {known_as(name, known) or name: value for name, value in settings.items()}
        settings = {**{name: value for name, value in defaults.items() if name in known}, **settings}
        _check_settings(spec, known, settings, annotations_of(thing))
        # A frozen dataclass with a list could not be hashed, nor told from its equal by a dictionary.
        kinds = annotations_of(thing)
        settings = {
            name: tuple(one) if isinstance(one, list) and get_origin(kinds.get(name)) is not list else one
            for name, one in settings.items()
        }
    try:
        return thing(**settings)
    except Exception as error:  # the constructor may be a user's own
        where = own_line(error)
        said = told(error) if where else str(error) or type(error).__name__
        raise SpecError(f"{shortened(text)}: {said}") from error


def _check_settings(
    spec: Spec, known: Mapping[str, Any], values: Mapping[str, Any], annotations: Mapping[str, Any]
) -> None:
    for name in values:
        if name not in known:
            hint = did_you_mean(name, known)
            allowed = ", ".join(known) or "none"
            raise SpecError(
                f"{shortened(str(spec))}: {spec.name} has no setting {name!r}{hint}; its settings: {allowed}"
            )
    for name, default in known.items():
        if default is REQUIRED and name not in values:
            raise SpecError(
                f"{shortened(str(spec))}: {spec.name} needs the setting {name}: "
                f"{described(annotations.get(name, str))}"
            )
    for name, value in values.items():
        reason = refusal(annotations[name], value) if name in annotations else ""
        if reason:
            raise SpecError(f"{shortened(str(spec))}: {name} = {shortened(value)}: {reason}")


class _Required:
    """Stands for the default of a setting that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()


def settings_of(thing: Any) -> dict[str, Any] | None:
    """Return the settings of a dataclass with their defaults, `REQUIRED` where one has none; None for anything else."""
    if not (isinstance(thing, type) and dataclasses.is_dataclass(thing)):
        return None
    return {field.name: _default_of(field) for field in dataclasses.fields(thing) if field.init}


def _default_of(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED


def split_sum(text: str) -> list[str]:
    """Return the parts of ``"a(x=1) + b"``; a plus inside parentheses stays where it is.

    Example:
        >>> split_sum("pixel-backdoor(target=0) + scaling(factor=1e+1)")
        ['pixel-backdoor(target=0)', 'scaling(factor=1e+1)']
    """
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "+" and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]
