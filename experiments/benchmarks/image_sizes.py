"""Time and memory of a study by the size of its images.

    FEDROBUST_DATA=... python experiments/benchmarks/image_sizes.py [--data breastmnist] [--rounds 4] [--out sizes.json]

The images of a MedMNIST set at 28 px are enlarged to each published size (bilinear): what is measured is cost, not what
larger images tell. MobileNetV2 from random weights, 4 iid clients, batches of 32, 1 local epoch, FGSM at one epsilon on
the test images in the last round. Each row is a process of its own; a round's time is the
median after the first, of training alone; memory is the process' peak.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import fedrobust
from fedrobust.data.dataset import Dataset

ARMS = ((28, 32), (64, 64), (128, 128), (224, 224), (224, 64))
"""Size of the stored images, and of those that the network sees."""

SETTINGS: dict[str, Any] = {
    "model__name": "mobilenetv2",
    "model__weights": "random",
    "data__partition": "iid",
    "federation__clients": 4,
    "training__batch_size": 32,
    "training__epochs": 1,
    "evaluation__attacks": ["fgsm"],
    "evaluation__epsilons": ["2/255"],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


def enlarged(dataset: Dataset, size: int, path: Path) -> None:
    """Write the images of `dataset` at `size` x `size` pixels as an own file."""
    arrays: dict[str, Any] = {}
    for name, split in zip(("train", "val", "test"), dataset.splits.values(), strict=True):
        pictures = (Image.fromarray(image.squeeze()) for image in split.images)
        resized = (each.resize((size, size), Image.Resampling.BILINEAR) for each in pictures)
        arrays |= {f"{name}_images": np.stack([np.asarray(each) for each in resized])}
        arrays |= {f"{name}_labels": split.labels}
    np.savez_compressed(path, **arrays)


def measured(file: str, seen: int, rounds: int) -> dict[str, float]:
    """Run the study in this process, and return its costs."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = fedrobust.run(
            data__name=file,
            model__image_size=seen,
            federation__rounds=rounds,
            evaluation__every=rounds,
            output__dir=f"{folder}/run",
            **SETTINGS,
        )
        later = run.record.rounds[1:]  # the first compiles
    return {
        "round": float(np.median([one.training_seconds or 0.0 for one in later])),
        "evaluation": (later[-1].seconds or 0.0) - (later[-1].training_seconds or 0.0),
        "whole": time.perf_counter() - started,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="breastmnist")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("FILE", "SIZE"), help="measure one file in this process")
    given = parser.parse_args()
    if given.one:
        print("\n" + json.dumps(measured(given.one[0], int(given.one[1]), given.rounds)))
        return
    dataset = fedrobust.load_dataset(given.data)
    rows = []
    print(f"{given.data}: {len(dataset.train)} training and {len(dataset.test)} test images")
    print("| stored | network sees | file | a round | evaluation and FGSM | whole run | peak memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for stored, seen in ARMS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "images.npz")
            enlarged(dataset, stored, file)
            command = [sys.executable, __file__, "--rounds", str(given.rounds), "--one", str(file), str(seen)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = {
                "stored": stored,
                "seen": seen,
                "file_mb": file.stat().st_size / 1e6,
                **json.loads(done.stdout.splitlines()[-1]),
            }
        rows.append(row)
        print(
            f"| {stored} px | {seen} px | {row['file_mb']:.1f} MB | {row['round']:.1f} s | {row['evaluation']:.1f} s | "
            f"{row['whole']:.0f} s | {row['peak_gb']:.1f} GB |",
            flush=True,
        )
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
