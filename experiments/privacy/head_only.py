"""PneumoniaMNIST, ten hospitals, a head on ImageNet features by DP-SGD: AUC at several epsilons, beside no privacy.

    python experiments/privacy/head_only.py --out runs/privacy

Settings are chosen at epsilon 8 by the AUC on the server's validation images, seed 0; then the test images are
measured with seeds 1, 2, 3. The control without privacy chooses its learning rate alike. Finished runs are not
repeated.
"""

import argparse
import json
import shutil
import statistics
from itertools import product
from pathlib import Path

import fedrobust

STUDY = Path(__file__).parent / "pneumonia-dp.toml"
RESULTS = Path(__file__).parent / "head_only.json"
SEEDS = (1, 2, 3)
EPSILONS = (8.0, 1.0, 4.0)
GRID = {
    "model__image_size": (96,),
    "training__batch_size": (128, 470),
    "federation__rounds": (10, 30),
    "training__learning_rate": (0.5, 2.0, 8.0),
}
RATES = (0.01, 0.05, 0.25)


def measured(out: Path, name: str, **settings) -> dict:
    """Run one study, unless it is there, and return its AUCs, accuracy and epsilon."""
    folder, file = out / name, out / f"{name}.json"
    if not file.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a command that was stopped
        run = fedrobust.run(STUDY, out=folder, **settings)
        last, promises = run.record.rounds[-1], run.record.privacy
        assert last.validation
        assert last.clean
        found = {
            "validation_auc": last.validation.auc,
            "auc": last.clean.auc,
            "accuracy": last.clean.accuracy,
            "balanced_accuracy": last.clean.balanced_accuracy,
            "epsilon": promises.promises[0].epsilon if promises else None,
            "noise_multiplier": promises.promises[0].noise_multiplier if promises else None,
            "noise_to_clip": promises.promises[0].noise_to_clip if promises else None,
            "settings": settings,
        }
        file.write_text(json.dumps(found))
    return json.loads(file.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/privacy"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    tried = []
    for values in product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        name = "tried-" + "-".join(f"{value:g}" for value in values)
        tried.append(measured(given.out, name, seed=0, **settings))
        print(name, tried[-1]["validation_auc"], flush=True)
    best = max(tried, key=lambda one: one["validation_auc"])
    chosen = {key: value for key, value in best["settings"].items() if key != "seed"}
    print("chosen", chosen, flush=True)
    plain = {"privacy__example_epsilon": 0.0}
    rates = [
        measured(
            given.out, f"control-{rate:g}", seed=0, **{**chosen, **plain, "training__learning_rate": rate}
        )
        for rate in RATES
    ]
    rate = max(zip(rates, RATES, strict=True), key=lambda each: each[0]["validation_auc"])[1]
    cells = {"no privacy": {**chosen, **plain, "training__learning_rate": rate}}
    for epsilon in EPSILONS:
        cells[f"epsilon {epsilon:g}"] = {**chosen, "privacy__example_epsilon": epsilon}
    rows = []
    for name, settings in cells.items():
        seeds = [
            measured(given.out, f"{name.replace(' ', '-')}-{seed}", seed=seed, **settings) for seed in SEEDS
        ]
        aucs = [one["auc"] for one in seeds]
        rows.append(
            {
                "name": name,
                "auc": statistics.mean(aucs),
                "sd": statistics.stdev(aucs),
                "balanced_accuracy": statistics.mean(one["balanced_accuracy"] for one in seeds),
                "noise_multiplier": seeds[0]["noise_multiplier"],
                "noise_to_clip": seeds[0]["noise_to_clip"],
                "aucs": aucs,
            }
        )
        print(rows[-1], flush=True)
        RESULTS.write_text(
            json.dumps({"chosen": chosen, "control_rate": rate, "tried": tried, "rows": rows}, indent=1)
            + "\n"
        )


if __name__ == "__main__":
    main()
