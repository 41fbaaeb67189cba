"""A sweep: a study file in which any value may be a list of values."""

import itertools
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedrobust.availability import Availability
from fedrobust.config import ConfigError, Experiment, keys, list_keys
from fedrobust.config.old_keys import OLD_KEYS, old_form, tell_of_old_keys, without_old_keys
from fedrobust.config.shipped import study_path
from fedrobust.config.sources import nested
from fedrobust.config.study_file import base_of, read_study_file, toml_value
from fedrobust.poisoning import malicious_clients
from fedrobust.sweeps.cell import Cell, graph_key
from fedrobust.sweeps.faults import Faults
from fedrobust.sweeps.halving import Halving
from fedrobust.sweeps.values import distinct, flattened, matches, shown

MALICIOUS = "poisoning.malicious"
"""The setting whose list means clients in a study, and numbers of clients, one after the other, in a sweep."""

MOST_CELLS = 10_000
"""Largest number of cells of a sweep: a month of short studies."""


class AxisNotice(UserWarning):
    """A list is taken as values to sweep that in a study would be one value."""


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep file, ordered so that cells with the same compiled graphs are adjacent.

    Attributes:
        name: of the sweep.
        axes: swept key -> its values.
        cells: one per combination.
        halving: which of them go on after some rounds; None: all.
    """

    name: str
    axes: Mapping[str, tuple[Any, ...]]
    cells: tuple[Cell, ...] = field(repr=False)
    halving: Halving | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        overrides: Iterable[str] = (),
        data_root: str = "",
        base: str | Path | None = None,
    ) -> "Sweep":
        """Read a sweep file or the shipped sweep of that name, with ``key=value`` overrides, which may be lists.

        A key whose values are lists is swept by a list of lists. ``[[sweep.together]]`` tables hold keys that are
        varied together: each table is one choice. ``[[sweep.exclude]]`` tables hold keys with values or lists of
        values: matching combinations are left out. Relative paths are resolved against `base`, if None the folder of
        the file.

        Raises:
            ConfigError: the file cannot be read, or a combination is not a valid study; the message names it.

        Warns:
            AxisNotice: ``poisoning.malicious`` is a list of whole numbers, which a study takes as clients.
        """
        path = study_path(path)
        values = read_study_file(path)
        sweep = values.pop("sweep", {})
        flat = flattened(values)
        for override in overrides:
            key, separator, text = override.partition("=")
            if not separator:
                raise ConfigError(f"{override!r}: an override is written key=value, as in seed=[0, 1, 2]")
            flat[key.strip().replace("_", "-")] = toml_value(text.strip())
        if data_root:
            flat["data.root"] = data_root
        name = flat.pop("name", None) or name_from(path.stem)
        if not isinstance(name, str):
            raise ConfigError(f"{path}: name = {shown(name)}: a sweep has one name")
        halving = None
        if isinstance(sweep, Mapping) and "halving" in sweep:
            halving = Halving.of(sweep["halving"])
            sweep = {key: value for key, value in sweep.items() if key != "halving"}
        together, exclude = sweep_tables(sweep, path)
        tell_of_numbers(flat.get(MALICIOUS), name)
        whole = cls.of(name, flat, exclude, together, base=Path(base or base_of(path)))
        if halving is not None:
            whole.check(halving.check)
        return replace(whole, halving=halving)

    @classmethod
    def of(
        cls,
        name: str,
        values: Mapping[str, Any],
        exclude: Iterable[Mapping[str, Any]] = (),
        together: Iterable[Mapping[str, Any]] = (),
        base: Path | None = None,
    ) -> "Sweep":
        """Return the sweep over the product of the lists in `values`: dotted keys with a value or a list of values.

        Raises:
            ConfigError: a combination is not a valid study.
        """
        axes = {key: tuple(value) for key, value in values.items() if is_axis(key, value)}
        fixed = {key: value for key, value in values.items() if key not in axes}
        for key, choices in axes.items():
            if not choices:
                raise ConfigError(f"{key} = []: a sweep needs at least one value")
            if len(distinct(choices)) < len(choices):
                raise ConfigError(f"{key} = {list(choices)}: one value stands twice")
        exclude, choices_together = tuple(exclude), tuple(together) or ({},)
        both = sorted({key for table in choices_together for key in table} & set(axes))
        if both:
            raise ConfigError(
                f"{both[0]}: it is a list, and stands in [[sweep.together]]; leave one of them out"
            )
        count = math.prod(map(len, axes.values())) * len(choices_together)
        if count > MOST_CELLS:
            raise ConfigError(
                f"{name}: the lists make {count:,} combinations; a sweep has {MOST_CELLS:,} at most: shorten a "
                "list, or make several sweeps"
            )
        varied = {*axes, *(key for table in choices_together for key in table)}
        cells: list[Cell] = []
        faults = Faults(name)
        for *combination, several in itertools.product(*axes.values(), choices_together):
            settings = {**dict(zip(axes, combination, strict=True)), **several}
            if any(matches({**fixed, **settings}, pattern) for pattern in exclude):
                continue
            with faults.of(settings):
                experiment = study(name, {**fixed, **settings}, base)
                if varied & {"poisoning.attack", "poisoning.malicious"}:
                    experiment = with_control(experiment)
                cells.append(Cell(settings, experiment))
        faults.refuse(count)
        if cells:
            tell_of_old_keys(without_old_keys(nested({**fixed, **cells[0].settings}))[1], f"{name}: ")
        cells = list(
            {json.dumps(cell.experiment.to_dict(), sort_keys=True): cell for cell in cells[::-1]}.values()
        )[::-1]
        if not cells:
            raise ConfigError(f"{name}: no combination is left after [[sweep.exclude]]")
        # Cells with the same model, recipe and data share compiled graphs, and are adjacent, otherwise in the order
        # of the file.
        first: dict[str, int] = {}
        for place, cell in enumerate(cells):
            first.setdefault(graph_key(cell.experiment), place)
        alike = sorted(cells, key=lambda cell: first[graph_key(cell.experiment)])
        swept = dict.fromkeys(key for cell in alike for key in cell.settings)
        values_of = {key: tuple(distinct(cell.settings.get(key) for cell in cells)) for key in swept}
        return cls(name, values_of, tuple(alike))

    def check(self, one: Callable[[Experiment], None]) -> None:
        """Check all cells before the first one is run; an error of many cells is reported once.

        Args:
            one: checks a study, and raises a `FedrobustError`.

        Raises:
            ConfigError: some cells cannot be run.
        """
        faults = Faults(self.name)
        for cell in self.cells:
            with faults.of(cell.settings):
                one(cell.experiment)
        faults.refuse(len(self.cells))

    def only(self, wanted: Iterable[str]) -> "Sweep":
        """Return the sweep without the cells that differ from any ``key=value`` in `wanted`.

        Raises:
            ConfigError: a key is unknown, or no cell is left.
        """
        patterns = {}
        for item in wanted:
            key, _, text = item.partition("=")
            patterns[key.strip().replace("_", "-")] = toml_value(text.strip())
        unknown = sorted(set(patterns) - {*keys(Experiment), *OLD_KEYS})
        if unknown:
            raise ConfigError(f"--only {unknown[0]}: unknown key")
        cells = tuple(
            cell
            for cell in self.cells
            if matches({**by_every_key(cell.experiment), **cell.settings}, patterns)
        )
        if not cells:
            axes = "; ".join(f"{key}: {', '.join(map(shown, values))}" for key, values in self.axes.items())
            asked = ", ".join(f"{key} = {shown(value)}" for key, value in patterns.items())
            raise ConfigError(f"{self.name}: no cell has {asked}; the sweep has {axes}")
        return replace(self, cells=cells)


def is_axis(key: str, value: Any) -> bool:
    """Return whether `value` is a list of values for `key`, rather than one value that is a list."""
    if not isinstance(value, list | tuple):
        return False
    if key in list_keys(Experiment) and key != MALICIOUS:
        return bool(value) and all(isinstance(item, list | tuple) for item in value)
    return True


def tell_of_numbers(malicious: Any, name: str) -> None:
    """Warn that a list of whole numbers is swept, if it is one; in a study it would be the list of clients that attack.

    Warns:
        AxisNotice: it is.
    """
    if isinstance(malicious, list) and malicious and all(type(each) is int for each in malicious):
        numbers = ", ".join(map(str, malicious))
        warnings.warn(
            f"{name}: {MALICIOUS} = [{numbers}] is swept: cells with {numbers} malicious clients; for one list of "
            f"clients, as in a study, write [[{numbers}]]",
            AxisNotice,
            stacklevel=3,
        )


def study(name: str, values: Mapping[str, Any], base: Path | None) -> Experiment:
    """Return one combination of dotted keys as a study.

    Raises:
        ConfigError: it is not a valid study.
    """
    return Experiment.from_keys({**values, "name": name}, "" if base is None else str(base))


def with_control(experiment: Experiment) -> Experiment:
    """Return a cell without attack as a study with neither attack nor malicious clients; others unchanged.

    In a sweep over attacks or numbers of malicious clients, the control is the cell with attack "none" or number 0. Its
    rule keeps the f that it has under attack; lines of availability that mean malicious clients mean nobody, and go.
    """
    poisoning, federation = experiment.poisoning, experiment.federation
    attackers = len(malicious_clients(poisoning.malicious, federation.clients, experiment.seed))
    if poisoning.attack != "none" and attackers:
        return experiment
    settings: dict[str, Any] = {}
    if poisoning.attack != "none" or attackers:
        settings = {"poisoning__attack": "none", "poisoning__malicious": 0}
    if attackers and federation.tolerate is None:
        settings["federation__tolerate"] = experiment.tolerated
        settings["federation__tolerate_quantile"] = None
    lines = Availability.of_nobody_malicious(federation.availability)
    if len(lines) < len(federation.availability):
        settings["federation__availability"] = lines
    return experiment.changed(**settings) if settings else experiment


def name_from(stem: str) -> str:
    """Return a sweep's name from its file's name: characters that a name may not have become a dash.

    Example:
        >>> name_from("my sweep (2)"), name_from("été")
        ('my-sweep-2', 't')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "sweep"


def by_every_key(experiment: Experiment) -> dict[str, Any]:
    """Return a study's settings by dotted keys, including old keys."""
    tables = experiment.to_dict()
    return {**flattened(old_form(tables)), **flattened(tables)}


def sweep_tables(sweep: Mapping[str, Any], path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the tables of ``[[sweep.together]]`` and of ``[[sweep.exclude]]``, flattened.

    Raises:
        ConfigError: the table has other keys, or an unknown setting.
    """
    known, found = ("together", "exclude"), []
    if not isinstance(sweep, Mapping):
        raise ConfigError(
            f"{path}: sweep = {shown(sweep)}: [sweep] holds [[sweep.together]] and [[sweep.exclude]] tables"
        )
    for name in known:
        tables = sweep.get(name, [])
        if set(sweep) - set(known) or not isinstance(tables, list):
            raise ConfigError(
                f"{path}: [sweep] has {sorted(sweep)}: it may hold [[sweep.together]] and [[sweep.exclude]] tables"
            )
        if not all(isinstance(table, Mapping) for table in tables):
            raise ConfigError(
                f"{path}: sweep.{name} = {shown(tables)}: write [[sweep.{name}]] tables of keys"
            )
        found.append([flattened(table) for table in tables])
        for table in found[-1]:
            unknown = sorted(set(table) - {*keys(Experiment), *OLD_KEYS})
            if unknown:
                raise ConfigError(f"{path}: [[sweep.{name}]] has the unknown key {unknown[0]}")
    return found[0], found[1]
