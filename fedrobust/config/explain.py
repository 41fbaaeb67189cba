"""Explain a name or a key of study files: what it does, its settings, where it is written, an example."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fedrobust.bounds import annotations_of, described
from fedrobust.config.allowed import allowed
from fedrobust.config.experiment import Experiment
from fedrobust.config.families import FAMILIES, Family
from fedrobust.config.keys import alias, default, keys, list_keys
from fedrobust.config.shipped import shipped
from fedrobust.data.medmnist import KINDS, NAMES
from fedrobust.data.volumes import VOLUMES, is_volume_name
from fedrobust.registry import UnknownNameError, did_you_mean, known_as
from fedrobust.spec import REQUIRED, settings_of

TOLERATED = "malicious clients in a round; by default the study's number, federation.tolerate"


@dataclass(frozen=True)
class Setting:
    """One setting: its name, its allowed values, its default as it is written ("" if it has none), its meaning."""

    name: str
    allowed: str
    default: str
    meaning: str = ""


@dataclass(frozen=True)
class Explanation:
    """What is known of a name.

    Attributes:
        name: in its registered spelling.
        kind: such as "aggregation rule" or "setting".
        text: paragraphs; the first one names the source.
        settings: of the thing named.
        names: allowed names, of a family or of a key that takes them.
        keys: dotted keys of a study file where it is written.
        example: lines of a study file, or a command.
    """

    name: str
    kind: str
    text: tuple[str, ...]
    settings: tuple[Setting, ...] = ()
    names: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    example: str = ""


def explain(name: str) -> tuple[Explanation, ...]:
    """Return all that a name means: members of families, families, keys and tables of a study, data sets, studies.

    Args:
        name: such as "krum", "krum(f=2)", "federation.clients", "clients", "rules", "breastmnist"; case, and ``_`` for
            ``-``, are forgiven.

    Raises:
        UnknownNameError: nothing has that name; the message names the nearest one.

    Example:
        >>> [one.kind for one in explain("FGSM")]
        ['training recipe', 'evasion attack']
        >>> explain("federation.clients")[0].settings[0].allowed
        'a whole number from 1 to 1,000,000'
    """
    wanted = re.split(r"[(=\s]", name.strip().strip("[]"), maxsplit=1)[0]
    known = known_as(wanted, _everything())
    if known is None:
        if is_volume_name(wanted):
            raise UnknownNameError(f"{name[:80]!r} is not offered: {VOLUMES}")
        hint = did_you_mean(wanted, _everything()) or ";"
        raise UnknownNameError(
            f"{name[:80]!r}: nothing has that name{hint} `fedrobust list` shows the names, "
            "`fedrobust explain federation` the settings of a table"
        )
    return tuple(_found(known))


def _everything() -> list[str]:
    """Return every name that can be explained, each once."""
    dotted = keys(Experiment)
    members = [member for family in FAMILIES.values() for member in family.registry]
    parts = [part for key in dotted for part in key.split(".")]
    return list(dict.fromkeys([*members, *FAMILIES, *dotted, *parts, "phantom", *NAMES, *shipped()]))


def _found(name: str) -> Iterator[Explanation]:
    for title, family in FAMILIES.items():
        if name in list(family.registry):
            yield _member(family, name)
        if name == title:
            yield _family(title, family)
    for key in keys(Experiment):
        if name in (key, key.rpartition(".")[2]):
            yield _key(key)
    if name in {key.partition(".")[0] for key in keys(Experiment) if "." in key}:
        yield _table(name)
    if name in ("phantom", *NAMES):
        yield _data_set(name)
    if name in shipped():
        yield _study(name)


def _member(family: Family, name: str) -> Explanation:
    member = family.registry[name]
    text, meanings = _documented(getattr(member, "summary", None) or member.__doc__ or "")
    annotations = annotations_of(member)
    tolerates = "federation.aggregator" in family.keys or "federation.pre-aggregators" in family.keys
    settings = tuple(
        Setting(
            setting,
            described(annotations[setting]) if setting in annotations else "",
            "" if value is REQUIRED or (tolerates and setting == "f") else _literal(value),
            meanings.get(setting, TOLERATED if tolerates and setting == "f" else ""),
        )
        for setting, value in (settings_of(member) or {}).items()
    )
    spec = _spec(name, member, settings)
    example = (
        _line(family.keys[0], family.written.format(spec)) if family.keys else family.command.format(spec)
    )
    return Explanation(name, family.registry.family, text, settings, keys=family.keys, example=example)


def _spec(name: str, member: Any, settings: tuple[Setting, ...]) -> str:
    """Return a name with a setting, as an example: the docstring's if it needs any, else the first number."""
    if any(value is REQUIRED for value in (settings_of(member) or {}).values()):
        call = re.search(rf"{member.__name__}(\((?:[^()]|\([^()]*\))*\))", member.__doc__ or "")
        return f"{name}{call[1]}" if call else name
    told = [one for one in settings if one.default not in ("", "0", "0.0", "False", "True", "''", "[]")]
    for one in sorted(told, key=lambda one: not one.default[0].isdigit()):
        return f"{name}({one.name}={one.default})"
    return name


def _family(title: str, family: Family) -> Explanation:
    about = f"The family of every {family.registry.family} that a study file may name."
    forms = tuple(f"Or {form}: {what}." for form, what in family.forms.items())
    return Explanation(title, "family", (about, *forms), names=tuple(family.registry), keys=family.keys)


def _key(key: str) -> Explanation:
    table, _, inner = key.rpartition(".")
    fields = Experiment.model_fields
    if table:
        fields = getattr(fields[table].annotation, "model_fields", {})
    field = fields[(inner or key).replace("-", "_")]
    families = [family for family in FAMILIES.values() if key in family.keys]
    setting = Setting(key, allowed(field), _written(default(Experiment, key)))
    about = field.description or ""
    names = tuple(name for family in families for name in family.registry)
    return Explanation(
        key,
        "setting",
        (about[:1].upper() + about[1:] + ".",),
        (setting,),
        names,
        example=_line(key, _example(key)),
    )


def _example(key: str) -> Any:
    """Return a value for a key: its default, or the first name that it takes if that is nothing."""
    value = default(Experiment, key)
    taken = [
        family.written.format(name)
        for family in FAMILIES.values()
        if key in family.keys
        for name in family.registry
    ]
    return taken[0] if value in (None, "", "none", []) and taken else value


def _table(name: str) -> Explanation:
    section = Experiment.model_fields[name].annotation
    settings = tuple(
        Setting(
            alias(field),
            allowed(one),
            _written(default(Experiment, f"{name}.{field}")),
            one.description or "",
        )
        for field, one in getattr(section, "model_fields", {}).items()
    )
    text, _ = _documented(getattr(section, "__doc__", "") or "")
    return Explanation(f"[{name}]", "table of a study file", text, settings)


def _data_set(name: str) -> Explanation:
    text = (
        "Drawn images with lesions, built in: nothing to download."
        if name == "phantom"
        else f"A data set of MedMNIST v2 (Yang et al., 2023, arXiv:2110.14795); `fedrobust data show {name}` shows its "
        "classes, counts and licence."
    )
    kind = (KINDS[name],) if name in KINDS else ()
    return Explanation(name, "data set", (text, *kind), keys=("data.name",), example=_line("data.name", name))


def _study(name: str) -> Explanation:
    comment = re.match(r"(?:#.*\n)+", shipped()[name].read_text(encoding="utf-8"))
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment[0].splitlines()] if comment else []
    text = tuple(
        " ".join(part.split())
        for part in "\n".join(lines).split("\n\n")
        if not part.startswith("    fedrobust")
    )
    command = "bench" if re.search(r"fedrobust bench", "\n".join(lines)) else "run"
    return Explanation(name, "shipped study", text, example=f"fedrobust {command} {name}")


def _documented(doc: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the paragraphs of a docstring in front of its example, and the meanings of its attributes."""
    text = inspect.cleandoc(doc).replace("`", "")
    text = re.split(r"^(?:Example|Raises|Returns):", text, maxsplit=1, flags=re.MULTILINE)[0]
    prose, _, attributes = text.partition("\nAttributes:")
    meanings = {
        found[1]: " ".join(found[2].split())
        for found in re.finditer(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE)
    }
    paragraphs = tuple(" ".join(part.split()) for part in prose.split("\n\n") if part.strip())
    return paragraphs, meanings


def _written(value: Any) -> str:
    """Return a value as in a study file; "" for none.

    Example:
        >>> _written(8 / 255), _written(True), _written(("a",)), _written(None)
        ('"8/255"', 'true', '["a"]', '')
    """
    if value is None:
        return ""
    if isinstance(value, float) and 0 < value < 1 and len(repr(value)) > 8:
        grey = value * 255
        if abs(grey - round(grey)) < 1e-9:
            return f'"{round(grey)}/255"'
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _literal(value: Any) -> str:
    """Return a value as in parentheses behind a name, where settings are Python literals; "" for none.

    Example:
        >>> _literal(8 / 255), _literal(True), _literal("dlr")
        ("'8/255'", 'True', "'dlr'")
    """
    text = _written(value)
    return {"true": "True", "false": "False"}.get(text, text.replace('"', "'"))


def _line(key: str, value: Any) -> str:
    """Return a key with a value as lines of a study file; nothing for an empty value."""
    if value in (None, "", []):
        return ""
    table, _, inner = key.rpartition(".")
    value = [value] if key in list_keys(Experiment) and isinstance(value, str) else value
    return (f"[{table}]\n" if table else "") + f"{inner or key} = {_written(value)}"
