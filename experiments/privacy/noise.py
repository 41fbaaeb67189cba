"""Client-level differential privacy: how much noise leaves nothing to learn, by the factor at which `doctor` refuses?

    python experiments/privacy/noise.py --out runs/privacy

PneumoniaMNIST, ten hospitals, the head of MobileNetV2, without client sampling. The factor is the norm of the noise of
all rounds beside the longest way of the weights, z sqrt(d) / (n sqrt(T)).
"""

import argparse
import json
import math
import statistics
from pathlib import Path

import fedrobust

STUDY = Path(__file__).parent / "pneumonia-dp.toml"
RESULTS = Path(__file__).parent / "noise.json"
FACTORS = (0.0, 1.0, 10.0, 3.0, 30.0, 0.3)
SEEDS = (1, 2, 3)
CLIENTS, ROUNDS, PARAMETERS = 10, 20, 2562


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/privacy"))
    parser.add_argument("--clip", type=float, default=1.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for factor in FACTORS:
        noise = factor * CLIENTS * math.sqrt(ROUNDS) / math.sqrt(PARAMETERS)
        aucs, epsilon = [], None
        for seed in SEEDS:
            file = given.out / f"noise-{factor:g}-{seed}.json"
            if not file.exists():
                run = fedrobust.run(
                    STUDY,
                    out=given.out / f"noise-{factor:g}-{seed}",
                    seed=seed,
                    federation__rounds=ROUNDS,
                    federation__aggregator="mean(weighting='uniform')",
                    federation__postprocessors=[f"gaussian-dp(clip={given.clip}, noise-multiplier={noise})"],
                    training__learning_rate=0.05,
                    training__batch_size=32,
                    privacy__example_epsilon=0.0,
                    privacy__force=True,
                    evaluation__every=ROUNDS,
                )
                last, promised = run.record.rounds[-1], run.record.privacy
                assert last.clean
                assert promised
                found = {"auc": last.clean.auc, "epsilon": promised.promises[0].epsilon}
                file.write_text(json.dumps(found))
            found = json.loads(file.read_text())
            aucs.append(found["auc"])
            epsilon = found["epsilon"]
        rows.append(
            {
                "factor": factor,
                "noise_multiplier": noise,
                "epsilon": epsilon,
                "auc": statistics.mean(aucs),
                "sd": statistics.stdev(aucs),
                "aucs": aucs,
            }
        )
        print(rows[-1], flush=True)
        RESULTS.write_text(json.dumps({"clip": given.clip, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
