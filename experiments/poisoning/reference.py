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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import first_pass
import numpy as np
import tomli_w
from kept import Kept, Result

from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.ranks import critical_difference, ranked
from fedrobust.sweeps.results import record_in
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.sweep import SweepConsole

HERE = Path(__file__).parent
KEPT = Kept(HERE / "reference.json", HERE / "REFERENCE.md")
SEEDS = (0, 1, 2)
AUC, SUCCESS, WITHOUT, NONE = first_pass.AUC, first_pass.SUCCESS, first_pass.WITHOUT, first_pass.NONE

ADAPTIVE = ("label-flip + delta-search", "pixel-backdoor + delta-search")
"""Attacks that are run in any case: the attacker who knows the rule, for harm and with a backdoor."""

MOST = 6
"""Most attacks beside these."""


PNEUMONIA, DERMA, WHOLE = "PneumoniaMNIST", "DermaMNIST", "PneumoniaMNIST, all of an edge-cnn"

STUDIES: Mapping[str, Mapping[str, Any]] = {
    PNEUMONIA: {},
    DERMA: {
        "data": {"name": "dermamnist_rebuilt.npz"},
        "training": {"loss": "balanced-softmax", "class-weights": "none"},
    },
    WHOLE: {
        "model": {"name": "edge-cnn(width=8)", "weights": "random", "image-size": 28},
        "training": {"layers": "all", "learning-rate": 0.003, "batch-size": 32},
    },
}
"""What is learnt: changes in the study of the first pass."""


@dataclass(frozen=True)
class Setting:
    """One federation.

    Attributes:
        partition: of the images over clients.
        clients: their number.
        participation: share of them in a round.
        malicious: share of attackers.
        study: what is learnt, one of `STUDIES`.
    """

    partition: str
    clients: int
    participation: float
    malicious: float
    study: str = PNEUMONIA

    @property
    def name(self) -> str:
        """What the page calls it."""
        part = "" if self.participation == 1 else f", {round(self.clients * self.participation)} in a round"
        learnt = "" if self.study == PNEUMONIA else f"{self.study}, "
        return f"{learnt}{self.partition}, {self.clients} clients{part}, {self.malicious:.0%} malicious"

    def values(self) -> dict[str, Any]:
        """Return its settings, as in a study file. Where few take part in a round there are more rounds."""
        return {
            "data": {"partition": self.partition},
            "federation": {
                "clients": self.clients,
                "participation": self.participation,
                "rounds": 8 if self.participation == 1 else 24,
            },
            "evaluation": {"every": 8 if self.participation == 1 else 24},
            "poisoning": {"malicious": self.malicious},
        }


FEDERATIONS = ((10, 1.0), (50, 0.2), (50, 1.0))
"""Clients, and the share of them in a round. Two of ten are too few for most rules: ten all take part."""

PARTITIONS = ("dirichlet(alpha=0.5)", "iid", "dirichlet(alpha=0.1)")
SHARES = (0.3, 0.2, 0.1)

SETTINGS = tuple(
    Setting(partition, clients, participation, malicious)
    for (clients, participation), partition, malicious in product(FEDERATIONS, PARTITIONS, SHARES)
) + tuple(
    Setting(partition, 10, 1.0, malicious, study)
    for study, partition, malicious in (
        (DERMA, "dirichlet(alpha=0.5)", 0.3),
        (DERMA, "iid", 0.3),
        (DERMA, "dirichlet(alpha=0.1)", 0.3),
        (DERMA, "dirichlet(alpha=0.5)", 0.1),
        (WHOLE, "dirichlet(alpha=0.5)", 0.3),
        (WHOLE, "iid", 0.3),
    )
)


def chosen(results: Sequence[Result]) -> tuple[list[str], list[str]]:
    """Return the rules and attacks that the first pass leaves.

    Rules: those that it keeps, see `first_pass.kept`. Attacks: none, `ADAPTIVE`, and those that are the worst of their
    kind for the most rules.
    """
    found = first_pass.by_rule(results)
    matter = [name for name in first_pass.that_matter(found) if name not in ADAPTIVE]
    return first_pass.kept(found), [NONE, *ADAPTIVE, *matter[:MOST]]


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


def span(values: Sequence[float]) -> str:
    """Return mean, smallest and largest of shares in percent.

    Example:
        >>> span([0.5, 0.6, 0.7]), span([0.5])
        ('60.0 (50.0 to 70.0)', '50.0')
    """
    shown = [100 * value for value in values]
    between = f" ({min(shown):.1f} to {max(shown):.1f})" if len(shown) > 1 else ""
    return f"{sum(shown) / len(shown):.1f}{between}"


def signed(value: float) -> str:
    """Return a difference with its sign; none is positive.

    Example:
        >>> signed(-0.01), signed(-1.0)
        ('+0.0', '-1.0')
    """
    return f"{round(value, 1) + 0.0:+.1f}"


def by_attack(own: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results of a rule in a setting by attack, in their order."""
    by: dict[str, list[Result]] = {}
    for one in own:
        by.setdefault(one["attack"], []).append(one)
    return by


def average(results: Sequence[Result], figure: str) -> float:
    """Return the mean of a figure over seeds."""
    return sum(one[figure] for one in results) / len(results)


def worst(by: Mapping[str, Sequence[Result]]) -> tuple[str, str]:
    """Return the attack with the lowest mean AUC and the one with the highest mean success, "" for none."""
    targeted = [name for name in by if SUCCESS in by[name][0]]
    others = [name for name in by if name != NONE and name not in targeted]
    return (
        min(others, key=lambda name: average(by[name], AUC), default=""),
        max(targeted, key=lambda name: average(by[name], SUCCESS), default=""),
    )


def costs(calm: Sequence[Result], plain: Sequence[Result]) -> list[float]:
    """Return the AUC that a rule loses to the mean without an attack, for each seed that both were run with.

    Example:
        >>> costs([{"seed": 0, "auc": 0.5}], [{"seed": 0, "auc": 0.75}, {"seed": 1, "auc": 0.8}])
        [0.25]
    """
    known = {one["seed"]: one[AUC] for one in plain}
    return [known[one["seed"]] - one[AUC] for one in calm if one["seed"] in known]


def of_setting(results: Sequence[Result], setting: Setting) -> dict[str, dict[str, list[Result]]]:
    """Return the results of a setting by rule and attack."""
    own = [one for one in results if one["setting"] == setting.name]
    return {
        rule: by_attack([one for one in own if one["rule"] == rule])
        for rule in dict.fromkeys(one["rule"] for one in own)
    }


def table(results: Sequence[Result]) -> str:
    """Return the tables of REFERENCE.md: one over all settings, and one for each setting with results."""
    lines = [f"{len(results)} cells are finished.", ""]
    if results:
        lines += [*overall(results), "", "Lowest AUC, means over settings:", "", *marginals(results, 1), ""]
        lines += ["Top success, means over settings:", "", *marginals(results, 2), ""]
    for setting in SETTINGS:
        rules = of_setting(results, setting)
        if rules:
            seeds = sorted({one["seed"] for by in rules.values() for own in by.values() for one in own})
            lines += [
                f"**{setting.name}** (seeds {', '.join(map(str, seeds))})",
                "",
                "| rule | AUC, no attack | cost | lowest AUC | by | top success | no trigger | by | adaptive success |",
                "| --- " * 9 + "|",
                *(row(rule, by, rules.get("mean", {}).get(NONE, [])) for rule, by in rules.items()),
                "",
            ]
    return "\n".join(lines)


def scores(results: Sequence[Result], setting: Setting) -> dict[str, tuple[float, float, float]]:
    """Return what is the better the higher, by rule: minus its cost, the lowest AUC, and minus the top success."""
    found = {}
    rules = of_setting(results, setting)
    for rule, by in rules.items():
        harm, top = worst(by)
        cost = costs(by.get(NONE, []), rules.get("mean", {}).get(NONE, []))
        if harm and top and cost:
            found[rule] = -sum(cost) / len(cost), average(by[harm], AUC), -average(by[top], SUCCESS)
    return found


def marginals(results: Sequence[Result], place: int) -> list[str]:
    """Return a Markdown table of rules by properties of settings.

    Args:
        results: of all settings.
        place: 1: the lowest AUC, 2: the top success; see `scores`.
    """
    known = {setting: scores(results, setting) for setting in SETTINGS}
    usual = [setting for setting in SETTINGS if setting.study == PNEUMONIA]
    groups = {
        **{one: [each for each in usual if each.partition == one] for one in PARTITIONS},
        **{
            f"{clients} clients, {share:.0%} in a round": [
                each for each in usual if (each.clients, each.participation) == (clients, share)
            ]
            for clients, share in FEDERATIONS
        },
        **{f"{one:.0%} malicious": [each for each in usual if each.malicious == one] for one in SHARES},
        **{name: [each for each in SETTINGS if each.study == name] for name in STUDIES},
    }
    rules = list(dict.fromkeys(rule for found in known.values() for rule in found))
    lines = [f"| settings | number | {' | '.join(rules)} |", "| --- " * (len(rules) + 2) + "|"]
    for name, settings in groups.items():
        own = [known[each] for each in settings if known[each]]
        values = {rule: [found[rule][place] for found in own if rule in found] for rule in rules}
        shown = [
            f"{abs(100 * sum(values[rule]) / len(values[rule])):.1f}" if values[rule] else "–"
            for rule in rules
        ]
        lines.append(f"| {name} | {len(own)} | {' | '.join(shown)} |")
    return lines


def overall(results: Sequence[Result]) -> list[str]:
    """Return a Markdown table: means over settings for each rule, and its mean ranks with their critical difference.

    Settings in which some rule has no result are left out.
    """
    found = [one for setting in SETTINGS if (one := scores(results, setting))]
    rules = list(dict.fromkeys(rule for one in found for rule in one))
    values = np.array([[one[rule] for rule in rules] for one in found if len(one) == len(rules)])
    if not len(values):
        return ["No setting has all rules yet."]
    means = 100 * values.mean(0)
    ranks = np.stack([ranked(values[:, :, place]).mean(0) for place in range(3)], axis=1)
    lines = ["| rule | cost | rank | lowest AUC | rank | top success | rank |", "| --- " * 7 + "|"]
    for rule, (cost, low, success), own in zip(rules, means, ranks, strict=True):
        lines.append(
            f"| {rule} | {signed(-cost)} | {own[0]:.1f} | {low:.1f} | {own[1]:.1f} "
            f"| {abs(success):.1f} | {own[2]:.1f} |"
        )
    if len(values) > 1:
        apart = critical_difference(len(rules), len(values))
        lines += [
            "",
            f"{len(values)} settings; mean ranks that differ by less than {apart:.1f} are not told apart.",
        ]
    return lines


def row(rule: str, by: Mapping[str, Sequence[Result]], plain: Sequence[Result]) -> str:
    """Return the line of a rule: the worst attacks are those with the worst mean over the seeds.

    Args:
        rule: its name.
        by: its results in the setting, by attack.
        plain: results of the mean without an attack.
    """

    def shown(name: str, figure: str) -> str:
        values = [one[figure] for one in by.get(name, []) if figure in one]
        return span(values) if values else "–"

    harm, top = worst(by)
    cost = costs(by.get(NONE, []), plain)
    cells = (
        rule,
        shown(NONE, AUC),
        signed(100 * sum(cost) / len(cost)) if cost else "–",
        *(shown(harm, AUC), f"`{harm}`" if harm else "–"),
        *(shown(top, SUCCESS), shown(top, WITHOUT), f"`{top}`" if top else "–"),
        shown(ADAPTIVE[1], SUCCESS),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run unfinished cells in the order of their cost, and write what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/reference", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=0, help="cells run at a time; 0: one a core")
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--settings", nargs="+", type=int, choices=range(len(SETTINGS)), help="their numbers")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no setting after so long")
    parser.add_argument("--dry-run", action="store_true", help="print settings, rules and attacks")
    arguments = parser.parse_args()
    rules, attacks = chosen(first_pass.KEPT.read())
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
                with SweepConsole() as console:
                    wanted = sweep.only([f"seed={seed}"])
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
