"""The speed job as a plain PyTorch loop: the same network, images, clients, steps and evaluation, without a framework.

    python -m venv theirs && theirs/bin/pip install torch numpy
    FEDROBUST_DATA=... python experiments/benchmarks/torch_loop.py --python theirs/bin/python [--runs 3]
    ... --network edge-cnn --size 28 --data pneumoniamnist --clients 100 --rounds 10
    ... --network densenet121 --size 64 --rounds 1

BreastMNIST over 10 iid clients, MobileNetV2 from random weights at 32 px, 1 local epoch in batches of at most 32, Adam
1e-3, BatchNorm that keeps 0.9 of its statistics, averaged weights and statistics, three rounds, unless told otherwise;
then the test set, clean and under FGSM at nine epsilons with one gradient. Two clients at a time, each in a thread, one
thread an operation, channels last. Runs alternate with those of this checkout as `startup.py` makes them; the first one
fills the cache of graphs. Seconds are of the clock and of the processor, from command to exit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

BATCH, THREADS = 32, 2
EPSILONS = (0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.02, 0.03, 8 / 255)


def federate(options: argparse.Namespace) -> None:
    """Run the job in this process, which needs PyTorch and NumPy, and print its parts."""
    began = time.process_time()
    from concurrent.futures import ThreadPoolExecutor
    from queue import SimpleQueue

    import numpy as np
    import torch
    from torch.nn import functional
    from torch_networks import Network

    torch.set_num_threads(1)
    imported = time.process_time()

    torch.manual_seed(0)
    archive = np.load(options.file)
    images = {
        name: torch.tensor(archive[f"{name}_images"]).float()[:, None] / 255 for name in ("train", "test")
    }
    labels = {name: torch.tensor(archive[f"{name}_labels"]).long().ravel() for name in ("train", "test")}
    shards = torch.randperm(len(labels["train"])).chunk(options.clients)
    models: SimpleQueue[Network] = SimpleQueue()
    for _ in range(THREADS):
        models.put(Network(options.network, options.size).to(memory_format=torch.channels_last))
    start = Network(options.network, options.size)
    world = {name: value.clone() for name, value in start.state_dict().items()}

    def train(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        model = models.get()
        model.load_state_dict(world)
        model.train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        order = rows[torch.randperm(len(rows))]
        for batch in order.tensor_split(-(-len(order) // BATCH)):
            optimizer.zero_grad()
            functional.cross_entropy(model(images["train"][batch]), labels["train"][batch]).backward()
            optimizer.step()
        sent = {name: value.clone() for name, value in model.state_dict().items()}
        models.put(model)
        return sent

    built = time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(options.rounds):
            replies = list(pool.map(train, shards))
            sizes = torch.tensor([float(len(rows)) for rows in shards])
            for name, value in world.items():
                stacked = torch.stack([reply[name].float() for reply in replies])
                world[name] = torch.tensordot(sizes / sizes.sum(), stacked, 1).to(value.dtype)
        trained = time.process_time()
        model = models.get()
        model.load_state_dict(world)
        model.eval()

        def measure(rows: torch.Tensor) -> list[int]:
            clean = images["test"][rows].requires_grad_()
            loss = functional.cross_entropy(model(clean), labels["test"][rows], reduction="sum")
            (gradient,) = torch.autograd.grad(loss, clean)
            with torch.no_grad():
                shown = [clean, *((clean + epsilon * gradient.sign()).clamp(0, 1) for epsilon in EPSILONS)]
                return [int((model(each).argmax(1) == labels["test"][rows]).sum()) for each in shown]

        hits = torch.tensor(list(pool.map(measure, torch.arange(len(labels["test"])).chunk(4)))).sum(0)
    parts = {
        "imports": imported - began,
        "build": built - imported,
        "training": trained - built,
        "evaluation": time.process_time() - trained,
    }
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items())
    print(
        f"accuracy {hits[0] / len(labels['test']):.3f}, FGSM {hits[-1] / len(labels['test']):.3f}; CPU s: {told}"
    )
    print("PARTS", json.dumps({name: (0.0, seconds) for name, seconds in parts.items()}))


class Cost(NamedTuple):
    """What a command costs: seconds of the clock, of the processor and of that for training; most memory, GB."""

    clock: float
    processor: float
    training: float
    memory: float


def cost(command: list[str]) -> Cost:
    """Return what `command` costs, which tells its parts in its last line."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as told, subprocess.Popen(command, stdout=told, stderr=told) as child:
        _, status, used = os.wait4(child.pid, 0)
        clock, child.returncode = time.perf_counter() - begun, os.waitstatus_to_exitcode(status)
        told.seek(0)
        lines = told.read().splitlines()
    if child.returncode or not lines[-1].startswith("PARTS "):
        sys.exit(f"{' '.join(command)} failed:\n" + "\n".join(lines[-40:]))
    training = json.loads(lines[-1][6:])["training"][1]
    return Cost(clock, used.ru_utime + used.ru_stime, training, used.ru_maxrss / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="of an environment with PyTorch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--network", default="mobilenetv2", help="or edge-cnn, densenet121")
    parser.add_argument("--size", type=int, default=32, help="of the images that the network works on")
    parser.add_argument("--data", default="breastmnist")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file", type=Path, help="the data set's, where it is not below FEDROBUST_DATA")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = Path(os.environ.get("FEDROBUST_DATA", "."))
    options.file = options.file or next(root.rglob(f"{options.data}.npz"), None)
    if options.file is None:
        parser.error(f"no {options.data}.npz below FEDROBUST_DATA: give --file")
    if options.inside:
        federate(options)
        return
    here = Path(__file__).resolve()
    job = {each: getattr(options, each) for each in ("network", "size", "clients", "rounds", "file")}
    theirs = [options.python, str(here), "--inside", *(f"--{name}={value}" for name, value in job.items())]
    settings = {
        "model.name": options.network,
        "model.image-size": options.size,
        "data.name": options.data,
        "federation.clients": options.clients,
        "federation.rounds": options.rounds,
        "evaluation.every": options.rounds,
    }
    costs: dict[str, list[Cost]] = {"fedrobust": [], "PyTorch loop": []}
    for number in range(options.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            ours = [sys.executable, str(here.with_name("startup.py")), "--inside", f"{folder}/run"]
            ours += [f"--set={name}={value}" for name, value in settings.items()]
            for name, command in (("fedrobust", ours), ("PyTorch loop", theirs)):
                one = cost(command)
                print(
                    f"{name:<14} {one.clock:6.1f} s {one.processor:6.1f} CPU s, training {one.training:5.1f}, peak "
                    f"{one.memory:.2f} GB{'' if number or name != 'fedrobust' else ' (fills the cache)'}",
                    flush=True,
                )
                if number:
                    costs[name].append(one)
    for place, field in enumerate(Cost._fields):
        ratios = sorted(mine[place] / other[place] for mine, other in zip(*costs.values(), strict=True))
        median = statistics.median(ratios)
        print(f"{field}: fedrobust needs {median:.2f} of the loop's ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
