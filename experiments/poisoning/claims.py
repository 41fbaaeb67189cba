"""Check what papers claim of attacks and defences, each on a small setting beside its control.

    python experiments/poisoning/claims.py
    python experiments/poisoning/claims.py --only neurotoxin a3fl --seeds 0 1 2

Ten hospitals share BreastMNIST, two of them malicious, and train a small network: the papers' settings scaled down by
far. A claim that does not appear here may well hold there. Whatever ends the script, the same command goes on.
"""

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from kept import Kept, Result

from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.paired import Paired, holm, paired, text_of_p
from fedrobust.sweeps.results import record_in
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.sweep import SweepConsole

HERE = Path(__file__).parent
KEPT = Kept(HERE / "claims.json", HERE / "CLAIMS.md")

PIXEL = "pixel-backdoor(target=0)"

LEVEL = 0.05
"""A claim with a larger p after Holm's correction appears without correction only."""

SUCCESS, WITHOUT = "attack-success", "attack-success without trigger"

SHARED = {
    "name": "claims",
    "data": {"name": "breastmnist"},
    "model": {"name": "edge-cnn", "image-size": 28},
    "federation": {"clients": 10, "rounds": 12},
    "training": {"epochs": 2, "learning-rate": 0.002, "batch-size": 16},
    "poisoning": {"malicious": 2},
    "evaluation": {"attacks": [], "examples": 0, "every": 6},
    "audit": {"enabled": False},
    "distillation": {"enabled": False},
    "export": {"enabled": False},
    "output": {"report": False},
}
"""Settings of all studies."""


@dataclass(frozen=True)
class Cell:
    """One study: an attack under a rule.

    Attributes:
        attack: as in a study file; "none" for no attack.
        rule: the aggregation rule.
        last: the last round of the attack; 0: it goes on to the end.
        postprocessor: of the aggregate and the model; "" for none.
    """

    attack: str
    rule: str
    last: int = 0
    postprocessor: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the settings of this study beside the shared ones."""
        poisoning: dict[str, Any] = {"attack": self.attack}
        if self.attack == "none":
            poisoning["malicious"] = 0
        if self.last:
            poisoning["last-round"] = self.last
        federation: dict[str, Any] = {"aggregator": self.rule}
        if self.postprocessor:
            federation["postprocessors"] = [self.postprocessor]
        if self.attack == "none":
            federation["tolerate"] = 2
        return {"poisoning": poisoning, "federation": federation}


@dataclass(frozen=True)
class Claim:
    """What a paper claims: a cell whose score is above, or below, its control's.

    Attributes:
        name: of the claim's attack or defence.
        says: the claim, in words.
        cell: with the attack or defence.
        control: without it; None: the same models on images without the trigger.
        score: "attack-success", of the model of the last round, or "balanced_accuracy".
        higher: whether the claim is that the score is above the control's.
    """

    name: str
    says: str
    cell: Cell
    control: Cell | None
    score: str = SUCCESS
    higher: bool = True


def harm(name: str, attack: str, rule: str, says: str) -> Claim:
    """Return the claim that an attack does harm in spite of a rule."""
    return Claim(name, says, Cell(attack, rule), Cell("none", rule), "balanced_accuracy", higher=False)


def stronger(name: str, attack: str, rule: str, says: str, last: int = 0) -> Claim:
    """Return the claim that an attack succeeds more often than a plain backdoor."""
    return Claim(name, says, Cell(attack, rule, last), Cell(PIXEL, rule, last))


def holds(name: str, attack: str, rule: str = "", postprocessor: str = "") -> Claim:
    """Return the claim that a backdoor succeeds less often than with the plain mean."""
    says = f"lowers the success of `{attack}` against the plain mean"
    return Claim(
        name,
        says,
        Cell(attack, rule or "mean", 0, postprocessor),
        Cell(attack, "mean"),
        SUCCESS,
        higher=False,
    )


def saves(name: str, attack: str, rule: str) -> Claim:
    """Return the claim that a rule keeps more balanced accuracy under an attack than the plain mean."""
    return Claim(
        name,
        f"keeps more balanced accuracy under `{attack}` than the plain mean",
        Cell(attack, rule),
        Cell(attack, "mean"),
        "balanced_accuracy",
    )


def needs_poison(name: str, settings: str, rule: str) -> Claim:
    """Return the claim that a learnt trigger succeeds more often with poisoned updates than with honest ones."""
    return Claim(
        name,
        "succeeds more often than its trigger without a backdoor (`share=0`)",
        Cell(f"{name}({settings})", rule),
        Cell(f"{name}({settings}, share=0)", rule),
    )


REPLACED = f"{PIXEL} + model-replacement"

CLAIMS = (
    harm("poisonedfl", "poisonedfl(window=4)", "trimmed-mean", "does harm past the trimmed mean"),
    harm("mpaf", "mpaf(factor=10.0)", "median", "does harm past the median"),
    stronger(
        "neurotoxin",
        f"{PIXEL} + neurotoxin(top=0.1)",
        "mean",
        "outlives the plain backdoor, 6 rounds after the attack",
        last=6,
    ),
    Claim(
        "chameleon",
        "outlives the plain backdoor, both with model replacement, 6 rounds after the attack",
        Cell(f"{PIXEL} + chameleon(epochs=5) + model-replacement", "mean", 6),
        Cell(f"{PIXEL} + model-replacement", "mean", 6),
    ),
    stronger("a3fl", "a3fl(target=0)", "multi-krum", "succeeds more often past multi-Krum"),
    stronger(
        "a3fl", "a3fl(target=0)", "mean", "outlives the plain backdoor, 6 rounds after the attack", last=6
    ),
    needs_poison("a3fl", "target=0", "multi-krum"),
    stronger("iba", "iba(target=0, epsilon=0.1)", "multi-krum", "succeeds more often past multi-Krum"),
    needs_poison("iba", "target=0, epsilon=0.1", "multi-krum"),
    stronger(
        "critical-layers",
        f"{PIXEL} + critical-layers(epochs=5)",
        "multi-krum",
        "succeeds more often past multi-Krum",
    ),
    stronger(
        "semantic-backdoor",
        "semantic-backdoor(target=0)",
        "multi-krum",
        "succeeds more often past multi-Krum",
    ),
    Claim(
        "clean-label-backdoor",
        "succeeds more often with the trigger than without it, no label being wrong",
        Cell("clean-label-backdoor(target=0)", "mean"),
        None,
    ),
    holds("alignins", PIXEL, "alignins"),
    *(holds(rule, REPLACED, rule) for rule in ("freqfed", "multi-metrics", "deepsight", "bnguard", "rlr")),
    holds("flshield", REPLACED, "flshield(images=78)"),  # all of the server's images
    holds("crfl", REPLACED, postprocessor="crfl(norm=15, deviation=0.01)"),
    *(saves(rule, "sign-flip", rule) for rule in ("lasa", "sparsefed")),
)
"""Claims to check; to add one, add a line."""


def cells_of(claims: Iterable[Claim]) -> list[Cell]:
    """Return the cells and controls of claims, each once."""
    return list(dict.fromkeys(cell for claim in claims for cell in (claim.cell, claim.control) if cell))


def sweep_of(claims: Iterable[Claim], seeds: Sequence[int], folder: Path) -> Sweep:
    """Return the sweep over the studies of claims, after writing its file into `folder`."""
    together = [cell.settings() for cell in cells_of(claims)]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "claims.toml"
    text = tomli_w.dumps({**SHARED, "seed": list(seeds), "sweep": {"together": together}})
    file.write_text(text, encoding="utf-8")
    return Sweep.load(file)


KEY = ("attack", "rule", "last", "postprocessor", "seed")
"""What tells results from one another."""


def score_of(run: RunRecord, score: str) -> float | None:
    """Return a score of the last round's model, None if it was not measured."""
    last = run.rounds[-1]
    if score in (SUCCESS, WITHOUT):
        found = last.attack_success
        return None if found is None else found.rate if score == SUCCESS else found.without_trigger
    return None if last.clean is None else float(getattr(last.clean, score))


def collect(sweep: Sweep, folder: Path, known: Sequence[Result]) -> list[Result]:
    """Return the scores of finished cells in `folder`, and the `known` ones of others."""
    found = {tuple(one[name] for name in KEY): one for one in known}
    for cell in sweep.cells:
        run = record_in(folder / "cells" / cell.hash)
        if run is None or run.status != "finished":
            continue
        study = cell.experiment
        key = (
            study.poisoning.attack,
            study.federation.aggregator,
            study.poisoning.last_round,
            " + ".join(study.federation.postprocessors),
            study.seed,
        )
        scores = {score: score_of(run, score) for score in (SUCCESS, WITHOUT, "balanced_accuracy")}
        success = run.rounds[-1].attack_success
        images = None if success is None else success.n
        found[key] = dict(zip(KEY, key, strict=True)) | scores | {"n": images}
    return [found[key] for key in sorted(found)]


def table(claims: Iterable[Claim], results: Sequence[Result]) -> str:
    """Return a Markdown table: claims, scores and paired differences over seeds with 95 % intervals (Student's t).

    The p of the paired t tests are corrected for the number of claims with three seeds or more (Holm). Intervals are
    not, and end at 100 points either way.
    """
    lines = [
        "| attack or defence | claim | rule | score | seeds | its | control's | difference | p, Holm | appears |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = [(claim, *_scores(claim, results)) for claim in claims]
    found = [(claim, own, control) for claim, own, control in found if own.keys() & control.keys()]
    compared = holm(
        [paired("its", "control's", {"": {"its": own, "control's": control}}) for _, own, control in found]
    )
    for (claim, own, control), difference in zip(found, (one.within(100) for one in compared), strict=True):
        seeds = sorted(own.keys() & control.keys())
        cells = (
            claim.name,
            claim.says,
            claim.cell.rule,
            claim.score.replace("_", " ").replace("-", " "),
            str(len(seeds)),
            mean([own[seed] for seed in seeds]),
            mean([control[seed] for seed in seeds]),
            f"{difference.difference:+.1f}{limits(difference)}",
            "" if difference.adjusted is None else text_of_p(difference.adjusted),
            verdict(difference, claim.higher),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _scores(claim: Claim, results: Sequence[Result]) -> tuple[dict[int, float], dict[int, float]]:
    """Return a claim's scores and its control's, in percent by seed."""
    own = scores_of(claim.cell, claim.score, results)
    control = scores_of(claim.control or claim.cell, claim.score if claim.control else WITHOUT, results)
    return {seed: 100 * one for seed, one in own.items()}, {seed: 100 * one for seed, one in control.items()}


def scores_of(cell: Cell, score: str, results: Sequence[Result]) -> dict[int, float]:
    """Return a cell's score by seed."""
    wanted = (cell.attack, cell.rule, cell.last, cell.postprocessor)
    return {
        one["seed"]: one[score]
        for one in results
        if tuple(one[name] for name in KEY[:-1]) == wanted and one.get(score) is not None
    }


def mean(values: Sequence[float]) -> str:
    """Return the mean, as text.

    Example:
        >>> mean([50.0, 60.0])
        '55.0'
    """
    return f"{sum(values) / len(values):.1f}"


def limits(difference: Paired) -> str:
    """Return the interval of a difference in points, empty with one seed."""
    return "" if difference.low is None else f" ({difference.low:+.1f} to {difference.high:+.1f})"


def verdict(difference: Paired, higher: bool) -> str:
    """Return whether a claim appears: only if the interval of its difference is on the claimed side of 0.

    It says so if this is without the correction for the number of claims alone.

    Example:
        >>> tested = {"p": 0.03, "adjusted": 0.03}
        >>> verdict(Paired("its", "control's", 3, 11.0, 8.5, 13.5, **tested), higher=True)
        'yes'
        >>> verdict(Paired("its", "control's", 3, 11.0, 8.5, 13.5, **{**tested, "adjusted": 0.45}), higher=True)
        'yes, uncorrected'
        >>> verdict(Paired("its", "control's", 3, 1.0, -8.5, 10.5, p=0.7), higher=True)
        'not shown'
    """
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "not shown"
    word = "yes" if (difference.low > 0) == higher else "the opposite"
    return word if difference.adjusted is not None and difference.adjusted < LEVEL else f"{word}, uncorrected"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="runs/claims", help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1, help="cells run at a time")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=[], help="names of attacks or defences")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    claims = [claim for claim in CLAIMS if not arguments.only or claim.name in arguments.only]
    folder = Path(arguments.out)
    sweep = sweep_of(claims, arguments.seeds, folder)
    try:
        for seed in arguments.seeds:  # one after the other: claims are compared on whole seeds
            with SweepConsole() as console:
                bench(sweep.only([f"seed={seed}"]), folder, console, workers=arguments.workers, whole=sweep)
    except KeyboardInterrupt:
        sys.exit(f"stopped; the same command goes on, with --out {folder}")
    finally:
        found = collect(sweep, folder, KEPT.read())
        KEPT.write(found, f"\n{table(CLAIMS, found)}\n")


if __name__ == "__main__":
    main()
