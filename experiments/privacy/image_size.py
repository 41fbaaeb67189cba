"""Do larger images raise the AUC of a head by DP-SGD? PneumoniaMNIST, epsilon 8 beside no privacy.

python experiments/privacy/image_size.py --out runs/privacy      # writes image_size.json

Everything but the image size is as `head_only.py` chose it at 96 pixels. The features of a size are computed once.
"""

import argparse
import json
import statistics
from pathlib import Path

from head_only import SEEDS, measured

RESULTS = Path(__file__).parent / "image_size.json"
CHOSEN = {"training__batch_size": 128, "federation__rounds": 30, "evaluation__every": 30}
KINDS = {
    "epsilon 8": {"privacy__example_epsilon": 8.0, "training__learning_rate": 2.0},
    "no privacy": {"privacy__example_epsilon": 0.0, "training__learning_rate": 0.25},
}


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/privacy"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 160])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in given.sizes:
        for kind, settings in KINDS.items():
            name = f"size-{size}-{kind.replace(' ', '-')}"
            seeds = [
                measured(given.out, f"{name}-{seed}", seed=seed, model__image_size=size, **CHOSEN, **settings)
                for seed in SEEDS
            ]
            row = {"image_size": size, "kind": kind}
            for figure in ("validation_auc", "auc"):
                values = [one[figure] for one in seeds]
                row |= {
                    figure: statistics.mean(values),
                    f"{figure}_sd": statistics.stdev(values),
                    f"{figure}s": values,
                }
            rows.append(row)
            print(row, flush=True)
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
