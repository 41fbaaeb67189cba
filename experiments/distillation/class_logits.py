"""What clients' own models gain by exchanging their mean answers to each class (federated distillation).

    python experiments/distillation/class_logits.py [--seeds 0 1 2] [--out FOLDER]

BreastMNIST over four hospitals, labels split by Dirichlet 0.3, edge-cnn of width 8, six rounds of two epochs: each
hospital's model is trained alone, and with the others' mean answers (`ClassLogits`), from the same weights, on the same
batches. Told are means over hospitals of the scores on all test images, and their differences, paired by hospital.
Finished seeds are read from the folder.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study
from fedrobust.sweeps.spread import Spread
from server.parts import ServerParts
from server.stages.teachers import class_logits

SETTINGS: dict[str, Any] = {
    "data__name": "breastmnist",
    "data__partition": "dirichlet(alpha=0.3, min_size=10)",
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 4,
    "federation__rounds": 6,
    "training__epochs": 2,
    "training__learning_rate": 0.003,
    "evaluation__attacks": [],
    "distillation__teacher": "class-logits",
    "audit__enabled": False,
    "export__enabled": False,
}
SCORES = ("accuracy", "balanced_accuracy", "auc")


def measured(seed: int, out: Path) -> dict[str, Any]:
    """Return the scores of a seed's models, by kind: a list of one entry a hospital; measured at the first call."""
    kept = out / f"{seed}.json"
    if not kept.is_file():
        with ThreadPoolExecutor(1) as pool:
            # Nothing is sent: the models are trained in place.
            parts = ServerParts(Study.of(Experiment.of(seed=seed, **SETTINGS)), None, pool)  # type: ignore[arg-type]
            _, together = class_logits(parts)()
            alone = [
                parts.recalibrated_locally(client, parts.local_baseline(client))
                for client in range(len(together))
            ]
            found = {
                kind: [scores(parts, weights) for weights in models]
                for kind, models in (("alone", alone), ("together", together))
            }
        kept.write_text(json.dumps(found))
    return json.loads(kept.read_text())


def scores(parts: ServerParts, weights: Any) -> dict[str, float]:
    """Return a model's scores on the test images."""
    clean = parts.evaluator.test(weights, False).clean
    return {name: float(getattr(clean, name)) for name in SCORES}


def line(name: str, found: list[dict[str, Any]]) -> str:
    """Return the row of a score: both means over hospitals and seeds, and the mean difference of a seed."""
    means = {
        kind: np.array([np.mean([one[name] for one in seed[kind]]) for seed in found])
        for kind in ("alone", "together")
    }
    gain = Spread.of(list(100 * (means["together"] - means["alone"])))
    assert gain is not None
    low_high = "" if gain.low is None else f" ({gain.low:+.1f} to {gain.high:+.1f})"
    return (
        f"| {name.replace('_', ' ')} | {100 * means['alone'].mean():.1f} | {100 * means['together'].mean():.1f} | "
        f"{gain.mean:+.1f}{low_high} |"
    )


def main() -> None:
    """Train and measure the seeds, and print the table after each."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given.add_argument("--out", type=Path, default=Path("runs/class-logits"))
    asked = given.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    start_tensorflow(2)
    found = []
    for seed in asked.seeds:
        found.append(measured(seed, asked.out))
        head = ["| score | alone | together | gain |", "| --- | --- | --- | --- |"]
        print("\n".join([*head, *(line(name, found) for name in SCORES)]), flush=True)


if __name__ == "__main__":
    main()
