"""Nearest adversaries beside adv-lib's, on the same network and images: distances in l2 and linf, pixels in l0.

    python -m venv theirs && theirs/bin/pip install torch tqdm -e . && theirs/bin/pip install --no-deps adv-lib
    FEDROBUST_DATA=... theirs/bin/python experiments/benchmarks/minimum_norm.py --folder here --norm l2

The network is one of `networks.py`, trained where the folder has none; images that it takes for something else as they
are stay out. Every result is judged by this project's forward pass, whoever found it.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from networks import NETWORKS, network

from fedrobust.data.load import load
from fedrobust.runtime import start_tensorflow

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
PIXELS = (1, 3, 5, 10)

OURS = {
    "l2": ("deepfool", "fab", "fmn(steps=100)", "fmn", "carlini-wagner", "lbfgs"),
    "linf": ("deepfool", "fab", "fmn(steps=100)", "fmn"),
    "l0": ("jsma", "one-pixel", "fmn", "sigma-zero(steps=100)", "sigma-zero"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("autoattack"))
    parser.add_argument("--network", default="edge-cnn", choices=list(NETWORKS))
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--norm", default="l2", choices=list(OURS))
    arguments = parser.parse_args()
    start_tensorflow(workers=1)
    from fedrobust.evasion import Threat, attack
    from fedrobust.evasion.models.model_file import open_model

    path = network(arguments.network, arguments.folder / "networks")
    dataset = load(NETWORKS[arguments.network][0])
    part = dataset.test.sample(arguments.images)
    images, labels = part.images.astype(np.float32) / np.float32(255), part.labels.astype(np.int32)
    target = open_model(path, images.shape[1:], dataset.classes).target
    right = target.logits(images).argmax(axis=1) == labels
    images, labels, threat = images[right], labels[right], Threat(norm=arguments.norm)

    def judged(adversaries: np.ndarray) -> np.ndarray:
        fooled = target.logits(adversaries).argmax(axis=1) != labels
        return np.where(fooled, threat.distance(adversaries, images), np.inf)

    print(f"{arguments.network}, {len(labels)} images, {arguments.norm}")
    epsilons = PIXELS if arguments.norm == "l0" else [1e4]
    for name in OURS[arguments.norm]:
        began = time.perf_counter()
        done = attack(target, images, labels, name, threat, epsilons)
        assert done.images is not None
        # An attack within epsilon has an image for each; one that minimises has the same for all that hold it.
        distance = np.min([judged(found) for found in done.images], axis=0)
        show(name, distance, time.perf_counter() - began, arguments.norm)
    for name, run in theirs(path, images, labels, arguments.norm).items():
        began = time.perf_counter()
        show(f"adv-lib: {name}", judged(run()), time.perf_counter() - began, arguments.norm)


def theirs(
    path: Path, images: np.ndarray, labels: np.ndarray, norm: str
) -> dict[str, Callable[[], np.ndarray]]:
    """Return adv-lib's attacks in a norm; each returns images."""
    import torch
    from torch_model import TorchModel, from_torch, to_torch, without_plots

    without_plots()
    from adv_lib import attacks

    torch.set_num_threads(1)
    # ALMA's loss is a ratio of three logits.
    two, three = TorchModel(path), TorchModel(path, classes=3)
    x, y = to_torch(images), torch.from_numpy(labels.astype(np.int64))

    def call(
        name: str, model: TorchModel = two, *settings: float, **named: object
    ) -> Callable[[], np.ndarray]:
        return lambda: from_torch(getattr(attacks, name)(model, x, y, *settings, **named))

    infinity = float("inf")
    return {
        "l2": {
            "DeepFool": call("df", two, norm=2),
            "FAB": call("fab", two, 2, 100),
            "FMN, 100 steps": call("fmn", two, 2, steps=100),
            "FMN, 1000 steps": call("fmn", two, 2, steps=1000),
            "DDN, 1000 steps": call("ddn", two, steps=1000, levels=None),
            "ALMA, 1000 steps": call("alma", three, num_steps=1000, init_lr_distance=1.0),
        },
        "linf": {
            "DeepFool": call("df", two, norm=infinity),
            "FAB": call("fab", two, infinity, 100),
            "FMN, 100 steps": call("fmn", two, infinity, steps=100),
            "FMN, 1000 steps": call("fmn", two, infinity, steps=1000),
        },
        "l0": {
            "FMN, 1000 steps": call("fmn", two, 0, steps=1000),
            "sigma-zero, 100 steps": call("sigma_zero", two, num_steps=100),
            "sigma-zero, 1000 steps": call("sigma_zero", two, num_steps=1000),
        },
    }[norm]


def show(name: str, distance: np.ndarray, seconds: float, norm: str) -> None:
    """Print a line of the table."""
    found = f"{np.isfinite(distance).sum()} of {len(distance)}"
    if norm == "l0":
        figures = " / ".join(str((distance > pixels).sum()) for pixels in PIXELS)
    else:
        figures = f"median {np.median(distance):.4f}"
    print(f"| {name} | {figures} | {found} | {seconds:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
