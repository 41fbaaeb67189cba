"""Run the adaptive attacker and fixed attacks against six rules, and write the tables into ADAPTIVE.md.

    python experiments/poisoning/adaptive.py
    python experiments/poisoning/adaptive.py --rules median flame --seeds 0

Whatever ends it, the same command goes on where it ended.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kept import Kept, Result

from fedrobust.config import Experiment
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.figures import final_figures
from fedrobust.sweeps.results import record_in
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.sweep import SweepConsole

HERE = Path(__file__).parent
STUDY, KEPT = HERE / "adaptive.toml", Kept(HERE / "adaptive.json", HERE / "ADAPTIVE.md")

HARM, SUCCESS, BALANCED = "auc", "attack-success", "balanced_accuracy"
CONTROL = "attack-success without trigger"
GAIN = "gain by the trigger"
"""Success less that without trigger: a model that calls half of all images "normal" anyway needs no backdoor."""
ADAPTIVE = "delta-search"

Values = Mapping[str, Mapping[str, Mapping[int, Result]]]
"""Results by rule, attack and seed."""


def is_backdoor(attack: str) -> bool:
    """Return whether an attack is judged by its success; the others by the harm that they do."""
    return attack.startswith("pixel-backdoor")


def is_adaptive(attack: str) -> bool:
    """Return whether the adaptive attacker is part of an attack."""
    return ADAPTIVE in attack


def result_of(study: Experiment, run: RunRecord) -> Result:
    """Return what is kept of a finished run."""
    figures = final_figures(run)
    kept = {name: figures[name] for name in (HARM, BALANCED, SUCCESS, CONTROL) if name in figures}
    seconds = sum(one.defence.seconds or 0.0 for one in run.rounds if one.defence)
    return {
        "rule": study.federation.aggregator,
        "attack": study.poisoning.attack,
        "seed": study.seed,
        "images": int(figures["images"]),
        "rule seconds": round(seconds, 4),
        "training seconds": round(sum(one.training_seconds or 0.0 for one in run.rounds), 3),
        **kept,
    }


def collect(sweep: Sweep, folder: Path, known: Sequence[Result]) -> list[Result]:
    """Return the results of finished cells in `folder`, and the `known` ones of others."""
    found = {(one["rule"], one["attack"], one["seed"]): one for one in known}
    for cell in sweep.cells:
        run = record_in(folder / "cells" / cell.hash)
        if run is not None and run.status == "finished":
            one = result_of(cell.experiment, run)
            found[one["rule"], one["attack"], one["seed"]] = one
    rules, attacks = (list(sweep.axes[key]) for key in ("federation.aggregator", "poisoning.attack"))
    return sorted(
        (one for one in found.values() if one["rule"] in rules and one["attack"] in attacks),
        key=lambda one: (rules.index(one["rule"]), attacks.index(one["attack"]), one["seed"]),
    )


def by_rule(results: Sequence[Result]) -> Values:
    """Return results by rule, attack and seed, in their order; those of backdoors with the gain by the trigger."""
    found: dict[str, dict[str, dict[int, Result]]] = {}
    for one in results:
        gain = {GAIN: one[SUCCESS] - one[CONTROL]} if SUCCESS in one and CONTROL in one else {}
        found.setdefault(one["rule"], {}).setdefault(one["attack"], {})[one["seed"]] = {**one, **gain}
    return found


def strongest(attacks: Mapping[str, Mapping[int, Result]], figure: str, adaptive: bool) -> str | None:
    """Return the strongest fixed or adaptive attack, by the mean over seeds, of those that were run with all seeds.

    Example:
        >>> lost = {"ipm": {0: {"auc": 0.7}}, "alie": {0: {"auc": 0.6}}}
        >>> strongest(lost, "auc", False)
        'alie'
    """
    compared = {
        name: mean([one[figure] for one in seeds.values()])
        for name, seeds in attacks.items()
        if name != "none"
        and is_backdoor(name) == (figure in (SUCCESS, GAIN))
        and is_adaptive(name) == adaptive
        and len(seeds) == max(map(len, attacks.values()))
        and all(figure in one for one in seeds.values())
    }
    if not compared:
        return None
    choose = max if figure in (SUCCESS, GAIN) else min
    return choose(compared, key=lambda name: compared[name])


def mean(values: Sequence[float]) -> float:
    """Return the mean of `values`."""
    return sum(values) / len(values)


def lead(one: Mapping[int, Result], other: Mapping[int, Result], figure: str) -> str:
    """Return how much stronger `one` is than `other`, paired by seed, in points.

    Example:
        >>> lead({0: {"attack-success": 0.9}}, {0: {"attack-success": 0.4}}, "attack-success")
        '+50.0'
    """
    sign = 1 if figure in (SUCCESS, GAIN) else -1
    return shares([sign * (one[seed][figure] - other[seed][figure]) for seed in one if seed in other], "+")


def shares(values: Sequence[float], sign: str = "") -> str:
    """Return mean, smallest and largest of shares in percent.

    Example:
        >>> shares([0.5, 0.6, 0.7])
        '60.0 (50.0 to 70.0)'
    """
    found = [100 * value for value in values]
    between = f" ({min(found):{sign}.1f} to {max(found):{sign}.1f})" if len(found) > 1 else ""
    return f"{mean(found):{sign}.1f}{between}"


def compared(results: Values, figure: str) -> list[str]:
    """Return a Markdown table: the strongest fixed and the strongest adaptive attack against each rule."""
    head = "no attack" if figure == HARM else "without trigger"
    lines = [f"| rule | {head} | strongest fixed attack | adaptive attack | lead |", "| --- " * 5 + "|"]
    for rule, attacks in results.items():
        fixed, adaptive = (strongest(attacks, figure, kind) for kind in (False, True))
        if fixed is None or adaptive is None:
            continue
        quiet = attacks.get("none", {}) if figure == HARM else attacks[adaptive]
        calm = [one[HARM if figure == HARM else CONTROL] for one in quiet.values()]
        cells = [
            f"{shares([one[figure] for one in attacks[name].values()])} `{name}`"
            for name in (fixed, adaptive)
        ]
        apart = lead(attacks[adaptive], attacks[fixed], figure)
        lines.append(f"| {rule} | {shares(calm) if calm else '–'} | {' | '.join(cells)} | {apart} |")
    return lines


def every(results: Values, figure: str) -> list[str]:
    """Return a Markdown table of all attacks, means over seeds in percent; with a star where seeds are missing."""
    attacks = [
        name
        for name in dict.fromkeys(name for own in results.values() for name in own)
        if is_backdoor(name) == (figure == SUCCESS)
    ]
    lines = [f"| attack | {' | '.join(results)} |", "| --- " * (len(results) + 1) + "|"]
    for name in attacks:
        cells = [
            f"{100 * mean([one[figure] for one in own[name].values()]):.1f}"
            + "*" * (len(own[name]) < max(map(len, own.values())))
            if own.get(name)
            else "–"
            for own in results.values()
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def table(results: Sequence[Result]) -> str:
    """Return the tables of ADAPTIVE.md."""
    found = by_rule(results)
    return "\n".join(
        (
            "AUC, times 100:\n",
            *compared(found, HARM),
            "\nAttack success in percent:\n",
            *compared(found, SUCCESS),
            "\nAttack success less that without trigger, in points:\n",
            *compared(found, GAIN),
            "\nAll attacks, AUC times 100:\n",
            *every(found, HARM),
            "\nThe same, balanced accuracy in percent:\n",
            *every(found, BALANCED),
            "\nAll backdoors, attack success:\n",
            *every(found, SUCCESS),
            "",
        )
    )


def main() -> None:
    """Run unfinished cells, and write what is there."""
    whole = Sweep.load(STUDY)
    rules, seeds = whole.axes["federation.aggregator"], whole.axes["seed"]
    attacks = whole.axes["poisoning.attack"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/adaptive", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=0, help="cells run at a time; 0: one a core")
    parser.add_argument("--rules", nargs="+", choices=rules, default=list(rules))
    parser.add_argument("--attacks", nargs="+", choices=attacks, default=list(attacks))
    parser.add_argument("--seeds", nargs="+", type=int, choices=seeds, default=list(seeds))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = Sweep(
        whole.name,
        whole.axes,
        tuple(
            cell
            for cell in whole.cells
            if cell.experiment.federation.aggregator in arguments.rules
            and cell.experiment.poisoning.attack in arguments.attacks
            and cell.experiment.seed in arguments.seeds
        ),
    )
    try:
        with SweepConsole() as console:
            bench(wanted, arguments.out, console, workers=arguments.workers, whole=whole)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {arguments.out}")
    finally:
        found = collect(whole, Path(arguments.out), KEPT.read())
        KEPT.write(found, table(found))


if __name__ == "__main__":
    main()
