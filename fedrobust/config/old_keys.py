"""Keys of earlier versions that are now settings of a named object: ``data.alpha`` of ``data.partition``.

They are read for one more release. Records of earlier versions hold all of them, most at their defaults.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.bounds import annotations_of, refusal
from fedrobust.data.partition import PARTITIONS
from fedrobust.epsilon import shortened
from fedrobust.errors import ConfigError, FedrobustError
from fedrobust.registry import Registry
from fedrobust.spec import Spec, settings_of
from fedrobust.training.optimizers import OPTIMIZERS
from fedrobust.training.recipes import RECIPES

Tables = dict[str, Any]


class OldKeyNotice(UserWarning):
    """A study has deprecated keys; the message shows their replacement."""


@dataclass(frozen=True)
class Named:
    """A key that names an object with settings, and the old keys of these settings.

    Attributes:
        table: of the key.
        key: that names the thing.
        family: to which the thing belongs.
        unset: what it names where nothing is given.
        old: keys beside it, and what records of earlier versions hold where nobody chose: None for nothing.
    """

    table: str
    key: str
    family: Registry
    unset: str
    old: Mapping[str, Any]

    @property
    def dotted(self) -> str:
        """The key with its table."""
        return f"{self.table}.{self.key}"


NAMED = (
    Named(
        "data",
        "partition",
        PARTITIONS,
        "iid",
        {
            "alpha": 0.5,
            "min-size": 10,
            "shards-per-client": 2,
            "classes-per-client": 2,
            "images-per-client": 40,
            "skew": "linear",
        },
    ),
    Named("training", "optimizer", OPTIMIZERS, "adam", {"momentum": 0.9, "weight-decay": 0.0}),
    Named(
        "training",
        "recipe",
        RECIPES,
        "plain",
        dict.fromkeys(("epsilon", "steps", "step-size", "random-start", "share")),
    ),
)

OLD_KEYS = tuple(f"{named.table}.{key}" for named in NAMED for key in named.old)


def without_old_keys(tables: Mapping[str, Any], where: str = "") -> tuple[Tables, list[str]]:
    """Return a study's tables with old keys converted to settings of named objects, and the notices about them.

    Args:
        tables: by name, with kebab-case keys.
        where: what gave them, for messages.

    Raises:
        ConfigError: a setting is given by an old key and by a spec, has a value that it cannot have, or is none of the
            recipe's.

    Example:
        >>> without_old_keys({"data": {"partition": "dirichlet", "alpha": 0.3, "min-size": 10}})
        ({'data': {'partition': 'dirichlet(alpha=0.3)'}}, ['data.alpha, data.min-size: write data.partition = \
"dirichlet(alpha=0.3)" instead'])
    """
    tables, told = dict(tables), []
    for named in NAMED:
        table = tables.get(named.table)
        if not isinstance(table, Mapping):
            continue
        given = {key: table[key] for key in named.old if key in table}
        chosen = {key: value for key, value in given.items() if value is not None}
        if not given:
            continue
        tables[named.table] = {key: value for key, value in table.items() if key not in given}
        if not chosen:
            continue
        try:
            spec = _spec_with(named, table.get(named.key, named.unset), chosen)
        except FedrobustError as error:
            raise ConfigError(f"{where}{error}") from error
        tables[named.table][named.key] = str(spec)
        keys = ", ".join(f"{named.table}.{key}" for key in chosen)
        told.append(f'{keys}: write {named.dotted} = "{spec}" instead')
    return tables, told


def tell_of_old_keys(told: list[str], where: str = "") -> None:
    """Warn of a study's old keys, with the lines that replace them.

    Warns:
        OldKeyNotice: there are some.
    """
    if told:
        lines = "; ".join(told)
        warnings.warn(f"{where}old keys, which the next release refuses: {lines}", OldKeyNotice, stacklevel=3)


def modern(recorded: Mapping[str, Any]) -> Tables:
    """Return the tables of a record in this version's form; unreadable values are unchanged."""
    try:
        return without_old_keys(recorded)[0]
    except ConfigError:
        return dict(recorded)


def old_form(tables: Mapping[str, Any]) -> Tables:
    """Return a study's tables in the form of earlier versions, for digests.

    Example:
        >>> old_form({"training": {"recipe": "pgd(steps=3)", "optimizer": "adam"}})["training"]
        {'recipe': 'pgd', 'optimizer': 'adam', 'momentum': 0.9, 'weight-decay': 0.0, 'steps': 3}
    """
    tables = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for named in NAMED:
        table = tables.get(named.table)
        if not isinstance(table, dict) or named.key not in table:
            continue
        spec = Spec.parse(table[named.key])
        old = {key.replace("-", "_"): key for key in named.old}
        table.update({key: default for key, default in named.old.items() if default is not None})
        table.update({old[name]: value for name, value in spec.settings.items() if name in old})
        table[named.key] = str(Spec(spec.name, {k: v for k, v in spec.settings.items() if k not in old}))
    return tables


def _spec_with(named: Named, text: Any, chosen: Mapping[str, Any]) -> Spec:
    """Return what is named with the settings that old keys give, without those that are its defaults anyway."""
    if not isinstance(text, str):
        raise ConfigError(f"{named.dotted} = {shortened(text)}: write a name, or name(setting=value, ...)")
    spec = Spec.parse(text)
    known = settings_of(named.family[spec.name]) if spec.name in named.family else None
    settings = dict(spec.settings)
    for key, value in chosen.items():
        name, dotted = key.replace("-", "_"), f"{named.table}.{key}"
        for reason in filter(None, (refusal(one, value) for one in _annotations(named.family, name))):
            raise ConfigError(f"{dotted} = {shortened(value)}: {reason}")
        if name in settings:
            raise ConfigError(
                f'{dotted} = {shortened(value)} and {named.dotted} = "{text}" both give {name}: take {dotted} out'
            )
        default = named.old[key]
        if known is not None and name not in known:
            if default is None:
                raise ConfigError(
                    f'{dotted} does nothing with {named.dotted} = "{text}": take it out, or choose another {named.key}'
                )
        elif value != (known[name] if known is not None and default is not None else default):
            settings[name] = value
    return Spec(spec.name, settings)


def _annotations(family: Registry, setting: str) -> Iterator[Any]:
    """Yield the allowed values of the first member with a setting of this name."""
    for name in family:
        if setting in (settings_of(family[name]) or ()):
            yield annotations_of(family[name])[setting]
            return
