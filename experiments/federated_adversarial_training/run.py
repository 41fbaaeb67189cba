"""Run the sweep of federated adversarial training, and write its table into README.md.

    python experiments/federated_adversarial_training/run.py
    python experiments/federated_adversarial_training/run.py --seeds 0 1 2 3 4

Whatever ends it, the same command goes on where it ended. One core takes about three minutes a seed.
"""

import argparse
import json
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.results import record_in
from fedrobust.sweeps.spread import Spread
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.sweep import SweepConsole

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results.json", HERE / "README.md"
BETWEEN = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)

METHODS = {
    "plain": ("plain", "cross-entropy", "mean", 1.0),
    "FAT": ("pgd(epsilon='4/255', steps=3)", "cross-entropy", "mean", 1.0),
    "CalFAT": ("pgd(epsilon='4/255', steps=3)", "balanced-softmax", "mean", 1.0),
    "SFAT": ("pgd(epsilon='4/255', steps=3)", "cross-entropy", "sfat", 1.0),
    "DBFAT": ("dbfat(epsilon='4/255', steps=3)", "cross-entropy", "mean", 1.0),
    "FAT from the clean image": (
        "pgd(epsilon='4/255', steps=3, random_start=False)",
        "cross-entropy",
        "mean",
        1.0,
    ),
    "FAT, three of five hospitals": (
        "pgd(epsilon='4/255', steps=3)",
        "cross-entropy",
        "mean",
        0.5,
    ),
    "FAT on half of each batch, three of five hospitals": (
        "pgd(epsilon='4/255', steps=3, share=0.5)",
        "cross-entropy",
        "mean",
        0.5,
    ),
    "FedRBN, three of five hospitals": (
        "fedrbn(epsilon='4/255', steps=3)",
        "cross-entropy",
        "mean",
        0.5,
    ),
    "FedRBN with weight 1, three of five hospitals": (
        "fedrbn(epsilon='4/255', steps=3, weight=1.0)",
        "cross-entropy",
        "mean",
        0.5,
    ),
}
"""Recipe, loss, rule, and share of the hospitals with the recipe, in the order of the table."""

CONTROLS = {
    "DBFAT": "FAT from the clean image",
    "FedRBN, three of five hospitals": "FAT on half of each batch, three of five hospitals",
    "FedRBN with weight 1, three of five hospitals": "FAT, three of five hospitals",
}
"""What a method is compared with, other than FAT: the same start of the attack, images in the loss, and hospitals."""

SCORES = ("clean", "attacked", "clean auc", "attacked auc")
"""Balanced accuracy and AUC of the global model, and both under the attack."""

Result = dict[str, Any]


def method_of(study: Experiment) -> str:
    """Return the name of a study's method."""
    training = study.training
    settings = (
        training.recipe,
        training.loss,
        study.federation.aggregator,
        training.recipe_clients,
    )
    return next(name for name, own in METHODS.items() if own == settings)


def result_of(study: Experiment, run: RunRecord) -> Result:
    """Return what is kept of a finished run: its scores on the test split, clean and under the attack."""
    assert run.model_evaluation is not None
    assert run.model_evaluation.clean is not None
    (attacked,) = run.model_evaluation.robust["pgd(steps=20)"].values()
    clean = run.model_evaluation.clean
    return {
        "method": method_of(study),
        "seed": study.seed,
        "images": clean.n,
        "clean": clean.balanced_accuracy,
        "clean auc": clean.auc,
        "attacked": attacked.balanced_accuracy,
        "attacked auc": attacked.auc,
    }


def collect(sweep: Sweep, folder: Path, known: Sequence[Result]) -> list[Result]:
    """Return the results of finished cells in `folder`, and the `known` ones of others."""
    found = {(one["method"], one["seed"]): one for one in known}
    for cell in sweep.cells:
        run = record_in(folder / "cells" / cell.hash)
        if run is not None and run.status == "finished":
            found[method_of(cell.experiment), cell.experiment.seed] = result_of(cell.experiment, run)
    order = list(METHODS)
    return sorted(found.values(), key=lambda one: (order.index(one["method"]), one["seed"]))


def table(results: Sequence[Result]) -> str:
    """Return two Markdown tables: means over seeds, and paired differences, with 95 % intervals (Student's t)."""
    by_method = {name: {one["seed"]: one for one in results if one["method"] == name} for name in METHODS}
    found = {name: own for name, own in by_method.items() if own}
    heads = ("clean", "PGD-20", "AUC clean", "AUC under PGD-20")
    means = [
        f"| method | seeds | {' | '.join(heads)} |",
        "| --- " * (len(heads) + 2) + "|",
    ]
    apart = [
        f"| method, less its control | {' | '.join(heads)} |",
        "| --- " * (len(heads) + 1) + "|",
    ]
    for name, own in found.items():
        means.append(
            f"| {name} | {len(own)} | {' | '.join(shares([one[key] for one in own.values()]) for key in SCORES)} |"
        )
        control = CONTROLS.get(name, "FAT")
        if name != control and control in found:
            differences = (difference(own, found[control], key) for key in SCORES)
            apart.append(f"| {name}, less {control} | {' | '.join(differences)} |")
    return "\n".join((*means, "", *apart)) + "\n"


def shares(values: Sequence[float]) -> str:
    """Return mean and interval of shares in percent.

    Example:
        >>> shares([0.5, 0.6, 0.7])
        '60.0 (35.2 to 84.8)'
    """
    spread = Spread.of([100 * value for value in values])
    assert spread is not None
    return f"{spread.mean:.1f}" + ("" if spread.low is None else f" ({spread.low:.1f} to {spread.high:.1f})")


def difference(own: Mapping[int, Result], control: Mapping[int, Result], key: str) -> str:
    """Return the mean difference of two methods with the same seeds, in points, and its interval.

    Example:
        >>> difference({0: {"clean": 0.5}, 1: {"clean": 0.7}}, {0: {"clean": 0.4}, 1: {"clean": 0.5}}, "clean")
        '+15.0 (-48.5 to +78.5)'
    """
    seeds = sorted(own.keys() & control.keys())
    spread = Spread.of([100 * (own[seed][key] - control[seed][key]) for seed in seeds])
    if spread is None:
        return "–"
    return f"{spread.mean:+.1f}" + (
        "" if spread.low is None else f" ({spread.low:+.1f} to {spread.high:+.1f})"
    )


def read() -> list[Result]:
    """Return the results so far."""
    found: list[Result] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    return found


def write(results: Sequence[Result]) -> None:
    """Write the results, and the table into README.md."""
    RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, results)) + "\n]\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BETWEEN.sub(lambda _: f"\n{table(results)}\n", page), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        default="runs/federated-adversarial-training",
        help="folder of the runs",
    )
    parser.add_argument("--workers", type=int, default=1, help="cells run at a time")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sweep = Sweep.load(HERE / "federated-adversarial-training.toml", [f"seed={arguments.seeds}"])
    try:
        for seed in (
            arguments.seeds
        ):  # one seed after the other: whatever ends it, methods are compared on whole seeds
            with SweepConsole() as console:
                some = sweep.only([f"seed={seed}"])
                bench(some, arguments.out, console, workers=arguments.workers, whole=sweep)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {arguments.out}")
    finally:
        write(collect(sweep, Path(arguments.out), read()))


if __name__ == "__main__":
    main()
