"""Run chosen rules against chosen attacks in many settings over three seeds, and write the tables into REFERENCE.md.

    python experiments/poisoning/reference.py --dry-run
    python experiments/poisoning/reference.py --out runs/reference --minutes 60
    python experiments/poisoning/reference.py --settings 0 1 --seeds 0

Rules and attacks are those that the first pass (`first_pass.py`) left, see `chosen`. Settings come in the order of
their cost; the first seed of all settings comes before the second. Whatever ends it, the same command goes on.
"""

import argparse
import signal
import sys
import time
import tomllib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import first_pass
import tomli_w
from kept import Kept, Result
from reference_settings import SETTINGS, STUDIES, Setting
from reference_tables import BACKDOOR, table

from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.results import record_in
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.sweep import SweepConsole

HERE = Path(__file__).parent
KEPT = Kept(HERE / "reference.json", HERE / "REFERENCE.md")
SEEDS = (0, 1, 2)

ADAPTIVE = ("label-flip + delta-search", BACKDOOR)
"""Attacks that are run in any case: the attacker who knows the rule, for harm and with a backdoor."""

MOST = 6
"""Most attacks beside these."""


def chosen(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """Return the rules and attacks that the first pass leaves.

    Rules: those that it keeps, see `first_pass.kept`. Attacks: none, `ADAPTIVE`, and those that are the worst of their
    kind for the most rules.
    """
    found = first_pass.by_rule(results)
    matter = [name for name in first_pass.that_matter(found) if name not in ADAPTIVE]
    return first_pass.kept(found), [first_pass.NONE, *ADAPTIVE, *matter[:MOST]]


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `more`, table by table.

    Example:
        >>> merged({"data": {"name": "a", "root": "b"}}, {"data": {"name": "c"}, "seed": 1})
        {'data': {'name': 'c', 'root': 'b'}, 'seed': 1}
    """
    found = {**base}
    for key, value in more.items():
        known = found.get(key)
        found[key] = (
            {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value
        )
    return found


def sweep_of(setting: Setting, rules: Sequence[str], attacks: Sequence[str], folder: Path) -> Sweep:
    """Return the sweep of a setting, after writing its file into `folder`."""
    base = tomllib.loads(first_pass.STUDY.read_text(encoding="utf-8"))
    base.pop("sweep", None)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "reference.toml"
    swept: dict[str, Any] = {
        "name": "reference",
        "seed": list(SEEDS),
        "federation": {"aggregator": list(rules)},
        "poisoning": {"attack": list(attacks)},
    }
    together = merged(merged(merged(base, STUDIES[setting.study]), setting.values()), swept)
    file.write_text(tomli_w.dumps(together), encoding="utf-8")
    return Sweep.load(file)


def selected(sweep: Sweep, seed: int, rules: Container[str], attacks: Container[str]) -> Iterator[Cell]:
    """Return the cells of a seed, of some rules and attacks."""
    for cell in sweep.cells:
        given = cell.experiment
        if given.seed == seed and given.federation.aggregator in rules and given.poisoning.attack in attacks:
            yield cell


def folder_of(setting: Setting, out: Path) -> Path:
    """Return the folder of a setting's cells."""
    return out / f"setting-{SETTINGS.index(setting)}"


def collect(sweep: Sweep, setting: Setting, folder: Path) -> list[Result]:
    """Return the results of the finished cells of a setting."""
    found = []
    for cell in sweep.cells:
        run = record_in(folder / "cells" / cell.hash)
        if run is not None and run.status == "finished":
            one = first_pass.result_of(cell.experiment, run)
            found.append({"setting": setting.name, "seed": cell.experiment.seed, **one})
    return found


def joined(known: Sequence[Result], new: Sequence[Result]) -> list[Result]:
    """Return all results, the `new` ones in place of `known` ones of the same cell, in the order of settings."""

    def key(one: Result) -> tuple[str, str, str, int]:
        return one["setting"], one["rule"], one["attack"], one["seed"]

    together = {key(one): one for one in (*known, *new)}
    order = {setting.name: place for place, setting in enumerate(SETTINGS)}
    return [together[name] for name in sorted(together, key=lambda name: (order[name[0]], *name[1:]))]


def main() -> None:
    """Run unfinished cells in the order of their cost, and write what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/reference", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=0, help="cells run at a time; 0: one a core")
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--settings", nargs="+", type=int, choices=range(len(SETTINGS)), help="their numbers")
    parser.add_argument("--rules", nargs="+", help="of the chosen ones")
    parser.add_argument("--attacks", nargs="+", help="of the chosen ones")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no setting after so long")
    parser.add_argument("--write-only", action="store_true", help="run nothing; write what is finished")
    parser.add_argument("--dry-run", action="store_true", help="print settings, rules and attacks")
    arguments = parser.parse_args()
    rules, attacks = chosen(first_pass.KEPT.read())
    few = set(arguments.rules or rules), set(arguments.attacks or attacks)
    if unknown := sorted((few[0] - set(rules)) | (few[1] - set(attacks))):
        parser.error(f"{unknown[0]}: not chosen by the first pass; rules: {rules}; attacks: {attacks}")
    numbers = range(len(SETTINGS)) if arguments.settings is None else arguments.settings
    if arguments.dry_run:
        print(f"rules: {', '.join(rules)}\nattacks: {', '.join(attacks)}")
        for number in numbers:
            print(f"{number}: {SETTINGS[number].name}, {len(rules) * len(attacks)} cells a seed")
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started, new = time.monotonic(), []
    try:
        for seed, number in product(arguments.seeds, numbers):
            if time.monotonic() - started > 60 * arguments.minutes:
                break
            setting = SETTINGS[number]
            folder = folder_of(setting, Path(arguments.out))
            sweep = sweep_of(setting, rules, attacks, folder)
            try:
                if not arguments.write_only:
                    with SweepConsole() as console:
                        wanted = replace(sweep, cells=tuple(selected(sweep, seed, *few)))
                        bench(wanted, folder, console, workers=arguments.workers, whole=sweep)
            finally:
                new += collect(sweep, setting, folder)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {arguments.out}")
    finally:
        found = joined(KEPT.read(), new)
        KEPT.write(found, table(found))


if __name__ == "__main__":
    main()
