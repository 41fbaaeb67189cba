"""A sweep: a study file in which any value may be a list of values."""

import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fedrobust.config import ConfigError, Experiment, keys, list_keys
from fedrobust.study import dataset_of

NOT_CONTENT = ("name", "engine", "output")
"""What a cell's result does not depend on."""


@dataclass(frozen=True)
class Cell:
    """One study of a sweep.

    Attributes:
        settings: the swept keys with this cell's values.
        experiment: the whole study.
    """

    settings: Mapping[str, Any]
    experiment: Experiment

    @cached_property
    def hash(self) -> str:
        """What the cell is, in 16 hexadecimal digits: its settings, and the contents of its data set."""
        return content_hash(self.experiment)

    @property
    def label(self) -> str:
        """The swept values in one line."""
        return ", ".join(f"{key.split('.')[-1]} {shown(value)}" for key, value in self.settings.items())


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep file, in an order in which neighbours share compiled graphs.

    Attributes:
        name: of the sweep.
        axes: swept key -> its values.
        cells: one a combination.
    """

    name: str
    axes: Mapping[str, tuple[Any, ...]]
    cells: tuple[Cell, ...] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = (), data_root: str = "") -> "Sweep":
        """Read a sweep file, then apply ``key=value`` overrides, of which a list sweeps, too.

        A key whose value is a list by itself is swept by a list of lists. ``[[sweep.together]]`` tables hold keys that
        are varied as one: each table is one choice. ``[[sweep.exclude]]`` tables hold keys with values or lists of
        values: combinations that match one of them are left out.

        Raises:
            ConfigError: the file cannot be read, or a combination is no valid study; the message names it.
        """
        path = Path(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not a TOML file: {error}") from error
        sweep = values.pop("sweep", {})
        flat = flattened(values)
        for override in overrides:
            key, separator, text = override.partition("=")
            if not separator:
                raise ConfigError(f"{override!r}: an override is written key=value, as in seed=[0, 1, 2]")
            flat[key.strip().replace("_", "-")] = parsed(text.strip())
        if data_root:
            flat["data.root"] = data_root
        name = str(flat.pop("name", path.stem))
        together, exclude = sweep_tables(sweep, path)
        return cls.of(name, flat, exclude, together, base=path.resolve().parent)

    @classmethod
    def of(
        cls,
        name: str,
        values: Mapping[str, Any],
        exclude: Iterable[Mapping[str, Any]] = (),
        together: Iterable[Mapping[str, Any]] = (),
        base: Path | None = None,
    ) -> "Sweep":
        """Return the product of the lists in `values`, dotted keys with a value or a list of values.

        Raises:
            ConfigError: a combination is no valid study.
        """
        axes = {key: tuple(value) for key, value in values.items() if is_axis(key, value)}
        fixed = {key: value for key, value in values.items() if key not in axes}
        for key, choices in axes.items():
            if not choices:
                raise ConfigError(f"{key} = []: a sweep needs at least one value")
        exclude, choices_together = tuple(exclude), tuple(together) or ({},)
        cells = []
        for *combination, several in itertools.product(*axes.values(), choices_together):
            settings = {**dict(zip(axes, combination, strict=True)), **several}
            if any(matches({**fixed, **settings}, pattern) for pattern in exclude):
                continue
            cells.append(Cell(settings, study(name, {**fixed, **settings}, settings, base)))
        if not cells:
            raise ConfigError(f"{name}: no combination is left after [[sweep.exclude]]")
        # The model, the recipe and the data decide what is compiled and loaded: those alike stand side by side, in the
        # order of the file, so that whoever writes it says what is run first.
        first: dict[str, int] = {}
        for place, cell in enumerate(cells):
            first.setdefault(graph_key(cell.experiment), place)
        alike = sorted(cells, key=lambda cell: first[graph_key(cell.experiment)])
        swept = dict.fromkeys(key for cell in alike for key in cell.settings)
        values_of = {key: tuple(distinct(cell.settings.get(key) for cell in cells)) for key in swept}
        return cls(name, values_of, tuple(alike))

    def only(self, wanted: Iterable[str]) -> "Sweep":
        """Return the sweep without the cells that differ from any ``key=value`` in `wanted`.

        Raises:
            ConfigError: a key is none of a study's, or no cell is left.
        """
        patterns = {}
        for item in wanted:
            key, _, text = item.partition("=")
            patterns[key.strip().replace("_", "-")] = parsed(text.strip())
        unknown = sorted(set(patterns) - set(keys()))
        if unknown:
            raise ConfigError(f"--only {unknown[0]}: unknown key")
        cells = tuple(cell for cell in self.cells if matches(flattened(cell.experiment.to_dict()), patterns))
        if not cells:
            axes = "; ".join(f"{key}: {', '.join(map(shown, values))}" for key, values in self.axes.items())
            asked = ", ".join(f"{key} = {shown(value)}" for key, value in patterns.items())
            raise ConfigError(f"{self.name}: no cell has {asked}; the sweep has {axes}")
        return replace(self, cells=cells)


def is_axis(key: str, value: Any) -> bool:
    """Return whether `value` is a list of values for `key`, not one value that is a list."""
    if not isinstance(value, list | tuple):
        return False
    if key in list_keys() and key != "poisoning.malicious":
        return bool(value) and all(isinstance(item, list | tuple) for item in value)
    return True


def study(name: str, values: Mapping[str, Any], settings: Mapping[str, Any], base: Path | None) -> Experiment:
    """Return one combination as a study.

    Raises:
        ConfigError: it is none; the message names the combination's values.
    """
    given = {key.replace("-", "_").replace(".", "__"): value for key, value in values.items()}
    try:
        experiment = Experiment.of(name=name, **given)
    except ConfigError as error:
        where = ", ".join(f"{key} = {shown(value)}" for key, value in settings.items())
        raise ConfigError(f"{name}: with {where or 'its fixed values'}: {error}") from error
    return experiment if base is None else experiment.model_copy(update={"base": str(base)})


def content_hash(experiment: Experiment) -> str:
    """Return what identifies a study's result: settings but name, engine, output and data root; and the data."""
    values = {key: value for key, value in experiment.to_dict().items() if key not in NOT_CONTENT}
    values["data"] = {key: value for key, value in values["data"].items() if key != "root"}
    values["data-digest"] = dataset_of(experiment).digest
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def graph_key(experiment: Experiment) -> str:
    """Return what cells have in common that share compiled functions and data."""
    values = experiment.to_dict()
    training = {
        key: value for key, value in values["training"].items() if key not in ("learning-rate", "epochs")
    }
    return json.dumps([values["data"], values["model"], training], sort_keys=True)


def matches(values: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    """Return whether `values` have, for every key of `pattern`, its value or one of its values.

    Example:
        >>> matches({"seed": 1, "poisoning.attack": "none"}, {"poisoning.attack": ["none", "alie"]})
        True
        >>> matches({"seed": 1}, {"poisoning.attack": "none"})
        False
    """

    def fits(value: Any, wanted: Any) -> bool:
        return bool(value == wanted or (isinstance(wanted, list) and value in wanted))

    return all(key in values and fits(values[key], wanted) for key, wanted in pattern.items())


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables as dotted kebab-case keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("_", "-")
        if isinstance(value, Mapping):
            flat.update({f"{name}.{inner}": item for inner, item in flattened(value).items()})
        else:
            flat[name] = value
    return flat


def sweep_tables(sweep: Mapping[str, Any], path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the tables of ``[[sweep.together]]`` and of ``[[sweep.exclude]]``, flattened.

    Raises:
        ConfigError: there is anything else, or a key that no study has.
    """
    known, found = ("together", "exclude"), []
    for name in known:
        tables = sweep.get(name, [])
        if set(sweep) - set(known) or not isinstance(tables, list):
            raise ConfigError(
                f"{path}: [sweep] has {sorted(sweep)}: it may hold [[sweep.together]] and [[sweep.exclude]] tables"
            )
        found.append([flattened(table) for table in tables])
        for table in found[-1]:
            unknown = sorted(set(table) - set(keys()))
            if unknown:
                raise ConfigError(f"{path}: [[sweep.{name}]] has the unknown key {unknown[0]}")
    return found[0], found[1]


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in the order in which they come; values may be lists."""
    return list({json.dumps(value): value for value in values}.values())


def parsed(text: str) -> Any:
    """Return a TOML value; what is not one is a string, so that quotes may be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def shown(value: Any) -> str:
    """Return a value as it is written in a table: lists without quotes, nothing for an empty one."""
    if isinstance(value, list | tuple):
        return " + ".join(shown(item) for item in value) or "-"
    return str(value)
