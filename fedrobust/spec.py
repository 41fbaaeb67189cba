"""Names with settings in one string, as a study file writes them: ``"trimmed-mean(f=2)"``."""

import ast
import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.errors import FedrobustError
from fedrobust.registry import Registry

_FORM = re.compile(r"\s*(?P<name>[^()\s]+)\s*(?:\((?P<settings>.*)\))?\s*", re.DOTALL)


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
        form = _FORM.fullmatch(text)
        if form is None:
            raise SpecError(f"{text!r}: write a name, or name(setting=value, ...)")
        settings = form["settings"]
        if not settings:
            return cls(form["name"])
        kebab = re.sub(r"([A-Za-z0-9])-(?=[A-Za-z0-9-]*\s*=)", r"\1_", settings)
        try:
            call = ast.parse(f"f({kebab})", mode="eval").body
            assert isinstance(call, ast.Call)
            values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        except (SyntaxError, ValueError) as error:
            raise SpecError(f"{text!r}: a setting's value is a number, a quoted string or a list") from error
        if call.args or None in values:
            raise SpecError(f'{text!r}: settings are written name=value, as in "trimmed-mean(f=2)"')
        return cls(form["name"], {str(key): value for key, value in values.items()})

    def __str__(self) -> str:
        if not self.settings:
            return self.name
        inside = ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
        return f"{self.name}({inside})"


def build(registry: Registry, text: str, **defaults: Any) -> Any:
    """Return the thing that `text` names, made with its settings.

    Args:
        registry: the family that it belongs to.
        text: a spec.
        defaults: settings for those things that have them, where the spec does not give them.

    Raises:
        SpecError: it cannot be read, or has a setting that the thing named does not take.
        UnknownNameError: nothing has that name.
    """
    spec = Spec.parse(text)
    thing = registry[spec.name]
    known = settings_of(thing)
    wrong = [name for name in spec.settings if known is not None and name not in known]
    if wrong:
        allowed = ", ".join(known or ()) or "none"
        raise SpecError(f"{text!r}: {spec.name} has no setting {wrong[0]!r}; its settings: {allowed}")
    given = {name: value for name, value in defaults.items() if known is not None and name in known}
    try:
        return thing(**{**given, **spec.settings})
    except (TypeError, ValueError) as error:
        raise SpecError(f"{text!r}: {error}") from error


def settings_of(thing: Any) -> dict[str, Any] | None:
    """Return the settings of a dataclass with their defaults; None for anything else."""
    if not dataclasses.is_dataclass(thing):
        return None
    return {field.name: field.default for field in dataclasses.fields(thing) if field.init}


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
