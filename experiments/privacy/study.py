"""What privacy of images costs: accuracy, robustness and leakage over epsilon, trained layers, rule and attack.

    python experiments/privacy/study.py --out runs/privacy-study            # all cells, cheap ones first
    python experiments/privacy/study.py --out runs/privacy-study --minutes 60
    python experiments/privacy/study.py --table                             # RESULTS.md from study.json

The learning rate is chosen by the AUC on the validation images, seed 0, at epsilon 8 and without privacy, for each data
set and trained layers. Each finished cell is a line of study.json, and is not run again.
"""

import argparse
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from study_table import write_conflict, written

import fedrobust

HERE = Path(__file__).parent
STUDY, RESULTS, TABLE = HERE / "privacy-study.toml", HERE / "study.json", HERE / "RESULTS.md"
SEEDS = (1, 2, 3)
EPSILONS = (0.0, 8.0, 4.0, 1.0)
RULES = ("mean", "trimmed-mean")
ATTACKS = ("none", "sign-flip")
MALICIOUS = 3
SHADOWS = 8
EVASION = "pgd(steps=10)"
DATA: Mapping[str, Mapping[str, Any]] = {
    "breastmnist": {"training__batch_size": 32},
    "pneumoniamnist": {"training__batch_size": 128},
}
NETWORKS = {"breastmnist": "edge-cnn", "pneumoniamnist": "edge-cnn(width=16)"}
"""Of all layers. Pneumonia has nine times as many images: 48 cells of the usual width take five hours of a core."""
LAYERS: Mapping[str, Mapping[str, Any]] = {
    "head": {"model__name": "mobilenetv2", "model__weights": "imagenet", "model__image_size": 96},
    "all": {"model__normalization": "group", "model__image_size": 28},
}
ROUNDS = {"head": 10, "all": 20}
RATES = {("head", True): (0.5, 2.0, 8.0), ("head", False): (0.05, 0.25, 1.0), ("all", True): (0.5, 2.0)}
"""Learning rates tried, by trained layers and privacy."""
RATES["all", False] = (0.05, 0.2)


@dataclass(frozen=True)
class Cell:
    """One run of the study.

    Attributes:
        data: set.
        layers: trained.
        epsilon: of each image; 0: no privacy.
        rule: of the server.
        attack: of three of the ten hospitals.
        seed: of the run.
        rate: learning rate; 0: the chosen one.
    """

    data: str
    layers: str
    epsilon: float
    rule: str = "mean"
    attack: str = "none"
    seed: int = 0
    rate: float = 0.0

    @property
    def name(self) -> str:
        """A folder's name."""
        return "-".join(
            f"{value:g}" if isinstance(value, float) else str(value) for value in vars(self).values()
        )

    @property
    def is_probed(self) -> bool:
        """Whether evasion attacks the model: of heads in one seed, because their backbone is slow."""
        return self.seed > 0 and self.attack == "none" and (self.layers == "all" or self.seed == 1)

    @property
    def is_leaked(self) -> bool:
        """Whether its privacy is attacked with shadow federations."""
        return self.seed == 1 and self.attack == "none" and self.rule == "mean" and self.layers == "head"

    def settings(self, rate: float) -> dict[str, Any]:
        """Return the settings that differ from the study file's."""
        return {
            **LAYERS[self.layers],
            **DATA[self.data],
            **({"model__name": NETWORKS[self.data]} if self.layers == "all" else {}),
            "data__name": self.data,
            "training__layers": self.layers,
            "training__learning_rate": rate,
            "privacy__example_epsilon": self.epsilon,
            # Otherwise epsilon 1 with all layers of Breast is refused: the study shows what the check spares its users.
            "privacy__force": self.epsilon > 0,
            "federation__rounds": ROUNDS[self.layers],
            "federation__aggregator": self.rule,
            "federation__tolerate": MALICIOUS if self.rule != "mean" else 0,
            "poisoning__attack": self.attack,
            "poisoning__malicious": MALICIOUS if self.attack != "none" else 0,
            "evaluation__every": ROUNDS[self.layers],
            "evaluation__attacks": [],
            "seed": self.seed,
        }


class Results:
    """The finished cells, in a file.

    Args:
        out: folder of runs.
    """

    def __init__(self, out: Path):
        self.out = out
        self.cells: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def of(self, cell: Cell, attacked: bool = False) -> dict[str, Any]:
        """Return the figures of a cell, which is run if it is not there.

        Args:
            cell: to be run.
            attacked: whether its model and its privacy are attacked, too, if that is planned for it.
        """
        found = dict(self.cells.get(cell.name, {}))
        if not found:
            probed = {"evaluation__attacks": [EVASION]} if attacked and cell.is_probed else {}
            found = {**asdict(cell), **self.run(cell, **probed)}
        if attacked and cell.is_probed and found["robust_accuracy"] is None:
            found["robust_accuracy"] = self.run(cell, evaluation__attacks=[EVASION])["robust_accuracy"]
        if attacked and cell.is_leaked and "leakage" not in found:
            found["leakage"] = self.leakage(cell)
        if self.cells.get(cell.name) != found:
            self.cells[cell.name] = found
            RESULTS.write_text(json.dumps(self.cells, indent=1) + "\n")
        shutil.rmtree(self.out / cell.name, ignore_errors=True)
        return found

    def run(self, cell: Cell, **more: Any) -> dict[str, Any]:
        """Run a cell, and return its figures."""
        shutil.rmtree(self.out / cell.name, ignore_errors=True)
        rate = cell.rate or self.rate(cell)
        began = time.perf_counter()
        run = fedrobust.run(STUDY, out=self.out / cell.name, **{**cell.settings(rate), **more})
        last, promised = run.record.rounds[-1], run.record.privacy
        assert last.validation
        assert last.clean
        attacked = [curve["2/255"].accuracy for curve in last.robust.values()] if last.robust else []
        return {
            "learning_rate": rate,
            "validation_auc": last.validation.auc,
            "auc": last.clean.auc,
            "balanced_accuracy": last.clean.balanced_accuracy,
            "accuracy": last.clean.accuracy,
            "n": last.clean.n,
            "robust_accuracy": min(attacked) if attacked else None,
            "noise_multiplier": promised.promises[0].noise_multiplier if promised else None,
            "seconds": time.perf_counter() - began,
        }

    def rate(self, cell: Cell) -> float:
        """Return the learning rate with the best AUC on the validation images; of epsilon 8 for every epsilon."""
        rates = RATES[cell.layers, cell.epsilon > 0]
        epsilon = 8.0 if cell.epsilon else 0.0
        tried = [self.of(Cell(cell.data, cell.layers, epsilon, rate=rate)) for rate in rates]
        return max(zip(tried, rates, strict=True), key=lambda each: each[0]["validation_auc"])[1]

    def leakage(self, cell: Cell) -> dict[str, Any]:
        """Attack the privacy of a finished cell, and return AUC, interval and rate at 1 % of each attack."""
        if not (self.out / cell.name).exists():
            self.run(cell)
        found = fedrobust.attack_privacy(self.out / cell.name, ["loss", "lira"], shadows=SHADOWS)
        return {
            one["attack"].split("(")[0]: {
                "auc": one["auc"],
                "interval": one["interval"],
                "rate": one["rates"][0]["value"],
                "rate_interval": one["rates"][0]["interval"],
            }
            for one in found["membership"]
            if one["target"] == "shadows"
        }


def cells() -> Iterator[tuple[Cell, bool]]:
    """Yield all cells, cheap ones first, one seed after the other, and whether each is attacked.

    The attack on a head takes much longer than its training: those cells come again, after all others.
    """
    for layers, again, data, seed in product(LAYERS, (False, True), DATA, SEEDS):
        for epsilon, rule, attack in product(EPSILONS, RULES, ATTACKS):
            cell = Cell(data, layers, epsilon, rule, attack, seed)
            if not again:
                yield cell, layers == "all"
            elif layers == "head" and (cell.is_probed or cell.is_leaked):
                yield cell, True


def main() -> None:
    """Run what is missing, and write the table after each cell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/privacy-study"))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no cell is begun after so many")
    parser.add_argument(
        "--only",
        default="",
        help="regular expression in a cell's name: 'breastmnist-head', '-1-0$' for seed 1",
    )
    parser.add_argument(
        "--table", action="store_true", help="write the table of what there is, and run nothing"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results, began = Results(given.out), time.monotonic()
    for cell, attacked in () if given.table else cells():
        if not re.search(given.only, cell.name):
            continue
        if time.monotonic() - began > 60 * given.minutes:
            break
        found = results.of(cell, attacked)
        print(cell.name, f"AUC {found['auc']:.3f}", f"{found['seconds']:.0f} s", flush=True)
        written(results.cells.values(), TABLE)
    written(results.cells.values(), TABLE)
    write_conflict(TABLE)


if __name__ == "__main__":
    main()
