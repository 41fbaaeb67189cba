"""Run every rule against every attack once, and write the tables into FIRST_PASS.md.

    python experiments/poisoning/first_pass.py
    python experiments/poisoning/first_pass.py --rules median flame --attacks none sign-flip

Attacks that compute through the whole network (`COSTLY`) meet the rules that the others leave (`kept`). One seed: it
says what is worth three. Whatever ends it, the same command goes on where it ended, with the same bits.
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
STUDY, KEPT = HERE / "first-pass.toml", Kept(HERE / "first_pass.json", HERE / "FIRST_PASS.md")

AUC, BALANCED, SUCCESS = "auc", "balanced_accuracy", "attack-success"
WITHOUT = "attack-success without trigger"
FIGURES = (AUC, BALANCED, SUCCESS, WITHOUT, "majority_rate", "true-positive-rate", "false-positive-rate")
NONE = "none"

COSTLY = ("clean-label-backdoor", "a3fl", "iba", "fgsm-images", "pgd-images", "fgsm-training")
"""Attacks that compute through the whole network in every round, and take 10 to 100 times as long as others."""

ALWAYS = ("mean", "median")
"""Rules that are kept in any case: the undefended federation, and the simplest defence."""

MOST = 6
"""Most rules that are kept beside `ALWAYS`."""

Values = Mapping[str, Mapping[str, Result]]
"""Results by rule and attack."""


def result_of(study: Experiment, run: RunRecord) -> Result:
    """Return what is kept of a finished run."""
    figures = final_figures(run)
    return {
        "rule": study.federation.aggregator,
        "attack": study.poisoning.attack,
        "images": int(figures["images"]),
        "success images": int(figures.get("attack-success images", 0)),
        "seconds": round(figures.get("seconds", 0.0), 1),
        **{name: round(figures[name], 4) for name in FIGURES if name in figures},
    }


def collect(sweep: Sweep, folder: Path, known: Sequence[Result]) -> list[Result]:
    """Return the results of finished cells in `folder`, and the `known` ones of others, in the order of the sweep."""
    found = {(one["rule"], one["attack"]): one for one in known}
    for cell in sweep.cells:
        run = record_in(folder / "cells" / cell.hash)
        if run is not None and run.status == "finished":
            one = result_of(cell.experiment, run)
            found[one["rule"], one["attack"]] = one
    rules, attacks = (list(sweep.axes[key]) for key in ("federation.aggregator", "poisoning.attack"))
    return sorted(
        (one for one in found.values() if one["rule"] in rules and one["attack"] in attacks),
        key=lambda one: (rules.index(one["rule"]), attacks.index(one["attack"])),
    )


def by_rule(results: Sequence[Result]) -> Values:
    """Return results by rule and attack, in their order."""
    found: dict[str, dict[str, Result]] = {}
    for one in results:
        found.setdefault(one["rule"], {})[one["attack"]] = one
    return found


def is_costly(attack: str) -> bool:
    """Return whether an attack computes through the whole network, and is run against few rules for that.

    Example:
        >>> is_costly("iba(passes=2)"), is_costly("ipm")
        (True, False)
    """
    return attack.partition("(")[0] in COSTLY


def harmful(attacks: Mapping[str, Result]) -> dict[str, float]:
    """Return the AUC under each attack without a target that meets all rules."""
    return {
        name: one[AUC]
        for name, one in attacks.items()
        if name != NONE and SUCCESS not in one and not is_costly(name)
    }


def targeted(attacks: Mapping[str, Result]) -> dict[str, float]:
    """Return the success of each attack with a target that meets all rules."""
    return {name: one[SUCCESS] for name, one in attacks.items() if SUCCESS in one and not is_costly(name)}


def worst(attacks: Mapping[str, Result]) -> tuple[str, str]:
    """Return the attack that harms most and the one that succeeds most often, "" for none.

    Example:
        >>> worst({"none": {"auc": 0.9}, "ipm": {"auc": 0.7}, "mimic": {"auc": 0.8}})
        ('ipm', '')
    """
    harm, success = harmful(attacks), targeted(attacks)
    return min(harm, key=lambda name: harm[name], default=""), max(
        success, key=lambda name: success[name], default=""
    )


def scores(attacks: Mapping[str, Result]) -> tuple[float, float, float] | None:
    """Return AUC without an attack, the lowest AUC, and the highest success, negative; None where one is missing.

    Example:
        >>> scores({"none": {"auc": 0.9}, "ipm": {"auc": 0.7}, "edge-case": {"auc": 0.9, "attack-success": 0.4}})
        (0.9, 0.7, -0.4)
    """
    harm, success = worst(attacks)
    if NONE not in attacks or not harm or not success:
        return None
    return attacks[NONE][AUC], attacks[harm][AUC], -attacks[success][SUCCESS]


def undominated(results: Values) -> list[str]:
    """Return the rules that no other rule equals or beats in all three `scores`, and beats in one.

    Example:
        >>> def rule(auc, low, success):
        ...     backdoor = {"auc": auc, "attack-success": success}
        ...     return {"none": {"auc": auc}, "ipm": {"auc": low}, "blended-backdoor": backdoor}
        >>> undominated({"a": rule(0.9, 0.8, 0.3), "b": rule(0.8, 0.7, 0.3), "c": rule(0.7, 0.7, 0.1)})
        ['a', 'c']
    """
    known = {name: found for name, attacks in results.items() if (found := scores(attacks))}

    def beaten(name: str) -> bool:
        own = known[name]
        return any(
            all(mine <= theirs for mine, theirs in zip(own, other, strict=True)) and own != other
            for other in known.values()
        )

    return [name for name in known if not beaten(name)]


def kept(results: Values) -> list[str]:
    """Return the rules that are worth more runs: `ALWAYS`, and those that no other one beats.

    Of more than `MOST`, those with the smallest highest success.
    """
    known = {rule: scores(results[rule]) for rule in undominated(results)}
    best = sorted(known, key=lambda rule: -(known[rule] or (0.0, 0.0, -1.0))[2])
    rules = {*ALWAYS, *[rule for rule in best if rule not in ALWAYS][:MOST]}
    return [rule for rule in results if rule in rules]


def that_matter(results: Values) -> dict[str, int]:
    """Return the attacks that harm some rule most, or succeed most often against it, with the number of those rules."""
    found: dict[str, int] = {}
    for attacks in results.values():
        for name in filter(None, worst(attacks)):
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def percent(value: float | None) -> str:
    """Return a share in percent.

    Example:
        >>> percent(0.5), percent(None)
        ('50.0', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}"


def summary(results: Values) -> list[str]:
    """Return a Markdown table: what each rule costs and what its worst attacks do, and a constant classifier's line."""
    plain = results.get("mean", {}).get(NONE, {}).get(AUC)
    lines = [
        "| rule | cells | AUC, no attack | cost | balanced | lowest AUC | by | top success | no trigger | by |",
        "| --- " * 10 + "|",
    ]
    for rule, own in results.items():
        calm, (harm, success) = own.get(NONE, {}), worst(own)
        cost = None if plain is None or AUC not in calm else plain - calm[AUC]
        cells = (
            rule,
            f"{len(own)}",
            percent(calm.get(AUC)),
            "–" if cost is None else f"{100 * cost:+.1f}",
            percent(calm.get(BALANCED)),
            percent(own[harm][AUC]) if harm else "–",
            f"`{harm}`" if harm else "–",
            percent(own[success][SUCCESS]) if success else "–",
            percent(own[success].get(WITHOUT)) if success else "–",
            f"`{success}`" if success else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("| *constant classifier* | – | 50.0 | – | 50.0 | 50.0 | – | 0 or 100 | 0 or 100 | – |")
    return lines


def matrix(results: Values, figure: str) -> list[str]:
    """Return a Markdown table of attacks by rules: success of targeted attacks, or AUC of the others; in percent."""
    names = [
        name
        for name in dict.fromkeys(name for own in results.values() for name in own)
        if any((SUCCESS in own[name]) == (figure == SUCCESS) for own in results.values() if name in own)
    ]
    lines = [f"| attack | {' | '.join(results)} |", "| --- " * (len(results) + 1) + "|"]
    for name in names:
        cells = [percent(own.get(name, {}).get(figure)) for own in results.values()]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def choice(results: Values) -> list[str]:
    """Return the rules and attacks that are worth a full table, in words."""
    kept, matter = undominated(results), that_matter(results)
    rules = ", ".join(kept) or "none yet"
    attacks = ", ".join(f"`{name}` ({count})" for name, count in matter.items()) or "none yet"
    return [
        f"Rules that no other one beats in all of AUC without an attack, lowest AUC and highest success: {rules}.",
        "",
        f"Attacks that are the worst of their kind for at least one rule (number of rules): {attacks}.",
    ]


def table(results: Sequence[Result], cells: int) -> str:
    """Return the tables of FIRST_PASS.md."""
    found = by_rule(results)
    images = {one["images"] for one in results}
    counted = ", ".join(map(str, sorted(images))) or "no"
    return "\n".join(
        (
            f"{len(results)} of {cells} cells are finished; {counted} test images; one seed.\n",
            *choice(found),
            "",
            *summary(found),
            "\nTargeted attacks, success in percent:\n",
            *matrix(found, SUCCESS),
            "\nThe others, AUC times 100:\n",
            *matrix(found, AUC),
            "",
        )
    )


def main() -> None:
    """Run unfinished cells, and write what is there."""
    whole = Sweep.load(STUDY)
    rules, attacks = whole.axes["federation.aggregator"], whole.axes["poisoning.attack"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/first-pass", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=0, help="cells run at a time; 0: one a core")
    parser.add_argument("--rules", nargs="+", choices=rules)
    parser.add_argument("--attacks", nargs="+", choices=attacks)
    parser.add_argument("--write-only", action="store_true", help="run nothing; write what is finished")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(arguments.out)

    def run(rules: Sequence[str], attacks: Sequence[str]) -> None:
        cells = tuple(
            cell
            for cell in whole.cells
            if cell.experiment.federation.aggregator in rules and cell.experiment.poisoning.attack in attacks
        )
        with SweepConsole() as console:
            wanted = Sweep(whole.name, whole.axes, cells)
            bench(wanted, folder, console, workers=arguments.workers, whole=whole)

    try:
        if arguments.rules or arguments.attacks:
            run(arguments.rules or rules, arguments.attacks or attacks)
        elif not arguments.write_only:
            run(rules, [name for name in attacks if not is_costly(name)])
            left = kept(by_rule(collect(whole, folder, KEPT.read())))
            run(left, [name for name in attacks if is_costly(name)])
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {arguments.out}")
    finally:
        found = collect(whole, folder, KEPT.read())
        KEPT.write(found, table(found, len(whole.cells)))


if __name__ == "__main__":
    main()
