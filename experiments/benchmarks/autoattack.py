"""A full audit's attacks beside AutoAttack's standard ones, on the same five networks, image by image.

    python -m venv theirs && theirs/bin/pip install torch pyautoattack && theirs/bin/pip install -e .
    FEDROBUST_DATA=... theirs/bin/python experiments/benchmarks/autoattack.py --folder here

Trains the networks (`networks.py`) where the folder has none, then runs each side in a process of its own, and prints
which images of each network both, only one, or neither of them broke. AutoAttack is pyautoattack's "standard" one:
Auto-PGD on cross-entropy, targeted Auto-PGD, targeted FAB, Square with 5,000 queries, on the same TensorFlow graph,
with as many targets as there are wrong classes. Its targeted loss needs four logits: a network of two classes is shown
with two more that are never chosen. Finished sides are kept in the folder; remove their files to run them again.
"""

import argparse
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from networks import NETWORKS, network

from fedrobust.data.load import load

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
SIDES = ("ours", "theirs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("autoattack"))
    parser.add_argument("--images", type=int, default=100, help="test images of each network")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--only", choices=SIDES, help="run one side in this process")
    arguments = parser.parse_args()
    for name in arguments.networks:
        model = network(name, arguments.folder / "networks")
        outs = {side: arguments.folder / f"{name}-{arguments.images}-{side}.npz" for side in SIDES}
        if arguments.only:
            outs = {arguments.only: outs[arguments.only]}
        for side, out in outs.items():
            if out.exists():
                continue
            if not arguments.only:
                own = [sys.executable, __file__, "--folder", str(arguments.folder), "--only", side]
                own += ["--images", str(arguments.images), "--networks", name]
                subprocess.run(own, check=True, stderr=subprocess.DEVNULL)
                continue
            data, epsilon, _ = NETWORKS[name]
            dataset = load(data)
            part = dataset.test.sample(arguments.images)
            run = {"ours": ours, "theirs": theirs}[side]
            images = part.images.astype(np.float32) / np.float32(255)
            np.savez(out, **run(model, images, part.labels.astype(np.int32), dataset.classes, epsilon))
        if not arguments.only:
            print(row(name, *[dict(np.load(outs[side])) for side in SIDES]), flush=True)


def ours(model: Path, images: np.ndarray, labels: np.ndarray, classes: int, epsilon: float) -> dict:
    """Return what a full audit's search left standing, and by which attack the others fell."""
    from concurrent.futures import ThreadPoolExecutor

    from fedrobust.runtime import start_tensorflow

    start_tensorflow(workers=2)
    from fedrobust.audit.attack_cache import AttackCache
    from fedrobust.audit.attack_suite import AttackSuite
    from fedrobust.audit.model_under_audit import ModelUnderAudit
    from fedrobust.audit.plan import Plan
    from fedrobust.evasion.models.model_file import open_model

    target = open_model(model, images.shape[1:], classes).target
    with ThreadPoolExecutor(2) as pool:
        subject = ModelUnderAudit(model.parent.name, target, images, labels, digest="", data={})
        evidence = AttackCache(subject, Plan(epsilon=epsilon, effort="full"), map=pool.map)
        began = time.perf_counter()
        by = AttackSuite(evidence).broken_by
        seconds = time.perf_counter() - began
    passes = [sum(getattr(one, kind) * len(one.rows) for one in evidence.results) for kind in KINDS]
    return {"standing": by == "standing", "by": by, "seconds": seconds, "passes": passes}


KINDS = ("queries", "gradients")


def theirs(model: Path, images: np.ndarray, labels: np.ndarray, classes: int, epsilon: float) -> dict:
    """Return what AutoAttack left standing; an image that it broke is asked about again."""
    import torch
    from pyautoattack import AutoAttack
    from torch_model import TorchModel, from_torch, to_torch

    from fedrobust.evasion import Threat
    from fedrobust.evasion.models.model_file import open_model

    torch.set_num_threads(1)
    logging.getLogger("auto-attack").addHandler(logging.StreamHandler())
    logging.getLogger("auto-attack").setLevel(logging.DEBUG)
    shown = TorchModel(model, classes=4)
    attack = AutoAttack(shown, norm="Linf", eps=epsilon, version="standard", seed=0)
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(9, classes - 1)
    began = time.perf_counter()
    truth = torch.from_numpy(labels.astype(np.int64))
    found, _ = attack.run_standard_evaluation(to_torch(images), truth, batch_size=128)
    seconds = time.perf_counter() - began
    adversaries = from_torch(found)
    assert Threat().distance(adversaries, images).max() <= epsilon + 1e-6
    answers = open_model(model, images.shape[1:], classes).target.logits(adversaries).argmax(axis=1)
    passes = [shown.passes["forward"], shown.passes["backward"]]
    return {"standing": answers == labels, "adversaries": adversaries, "seconds": seconds, "passes": passes}


def row(name: str, here: dict, there: dict) -> str:
    """Return a network's line of the table."""
    one, two = here["standing"], there["standing"]
    counts = [len(one), (~one & ~two).sum(), (one & ~two).sum(), (~one & two).sum(), (one & two).sum()]
    cells = [name, f"{NETWORKS[name][1]:.4f}", *counts]
    for side in (here, there):
        queries, gradients = side["passes"]
        cells.append(f"{float(side['seconds']):.0f} s, {queries:,.0f} + {gradients:,.0f}")
    only = sorted({str(one) for one in here["by"][~one & two]})
    return "| " + " | ".join(map(str, [*cells, ", ".join(only) or "-"])) + " |"


if __name__ == "__main__":
    main()
