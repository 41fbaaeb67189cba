"""The speed job as a plain PyTorch loop: the same network, images, clients, steps and evaluation, without a framework.

    python -m venv theirs && theirs/bin/pip install torch numpy
    FEDROBUST_DATA=... python experiments/benchmarks/torch_loop.py --python theirs/bin/python [--runs 3]

BreastMNIST over 10 iid clients, MobileNetV2 from random weights at 32 px, 1 local epoch in batches of at most 32, Adam
1e-3, BatchNorm that keeps 0.9 of its statistics, averaged weights and statistics, three rounds; then the test set,
clean and under FGSM at nine epsilons with one gradient. Two clients at a time, each in a thread, one thread an
operation, channels last. Runs alternate with those of this checkout as `startup.py` makes them; the first one fills
the cache of graphs. Seconds are of the clock and of the processor, from command to exit.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLIENTS, ROUNDS, BATCH, THREADS = 10, 3, 32, 2
EPSILONS = (0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.02, 0.03, 8 / 255)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""MobileNetV2's: expansion, channels, blocks, stride (Sandler et al., 2018, arXiv:1801.04381, table 2)."""


def federate(file: Path) -> None:
    """Run the job in this process, which needs PyTorch and NumPy, and print its parts."""
    began = time.process_time()
    from concurrent.futures import ThreadPoolExecutor
    from queue import SimpleQueue

    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)
    imported = time.process_time()

    def convolution(
        into: int, out: int, size: int, stride: int = 1, groups: int = 1, active: bool = True
    ) -> nn.Module:
        layers = [
            nn.Conv2d(into, out, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out, eps=1e-3, momentum=0.1),
        ]
        return nn.Sequential(*layers, *([nn.ReLU6()] if active else []))

    class Block(nn.Module):
        def __init__(self, into: int, out: int, expansion: int, stride: int):
            super().__init__()
            wide = into * expansion
            self.short = stride == 1 and into == out
            self.way = nn.Sequential(
                *([convolution(into, wide, 1)] if expansion > 1 else []),
                convolution(wide, wide, 3, stride, groups=wide),
                convolution(wide, out, 1, active=False),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.way(x) if self.short else self.way(x)

    class MobileNetV2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers, channels = [convolution(3, 32, 3, 2)], 32
            for expansion, out, blocks, stride in STAGES:
                for number in range(blocks):
                    layers.append(Block(channels, out, expansion, stride if number == 0 else 1))
                    channels = out
            self.features = nn.Sequential(*layers, convolution(channels, 1280, 1))
            self.head = nn.Linear(1280, 2)

        def forward(self, native: torch.Tensor) -> torch.Tensor:
            x = functional.interpolate(native, 32, mode="bilinear", align_corners=False).repeat(1, 3, 1, 1)
            x = self.features((2 * x - 1).contiguous(memory_format=torch.channels_last))
            return self.head(x.mean((2, 3)))

    torch.manual_seed(0)
    archive = np.load(file)
    images = {
        name: torch.tensor(archive[f"{name}_images"]).float()[:, None] / 255 for name in ("train", "test")
    }
    labels = {name: torch.tensor(archive[f"{name}_labels"]).long().ravel() for name in ("train", "test")}
    shards = torch.randperm(len(labels["train"])).chunk(CLIENTS)
    models: SimpleQueue[MobileNetV2] = SimpleQueue()
    for _ in range(THREADS):
        models.put(MobileNetV2().to(memory_format=torch.channels_last))
    world = {name: value.clone() for name, value in MobileNetV2().state_dict().items()}

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
        for _ in range(ROUNDS):
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


def timed(command: list[str]) -> tuple[float, float, str]:
    """Return the seconds of the clock and of the processor that `command` takes, and the last line that it prints."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    clock, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return clock, processor, done.stdout.strip().splitlines()[-1][:120]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="of an environment with PyTorch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--file", type=Path, help="breastmnist.npz, where it is not below FEDROBUST_DATA")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    found = options.file or next(Path(os.environ.get("FEDROBUST_DATA", ".")).rglob("breastmnist.npz"), None)
    if found is None:
        parser.error("no breastmnist.npz below FEDROBUST_DATA: give --file")
    if options.inside:
        federate(found)
        return
    here = Path(__file__).resolve()
    theirs = [options.python, str(here), "--inside", "--file", str(found)]
    times: dict[str, list[tuple[float, float]]] = {"fedrobust": [], "PyTorch loop": []}
    for number in range(options.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            ours = [sys.executable, str(here.with_name("startup.py")), "--inside", f"{folder}/run"]
            for name, command in (("fedrobust", ours), ("PyTorch loop", theirs)):
                clock, processor, said = timed(command)
                said = said if name != "fedrobust" else "fills the cache" if number == 0 else ""
                print(f"{name:<14} {clock:6.1f} s {processor:6.1f} CPU s  {said}", flush=True)
                if number:
                    times[name].append((clock, processor))
    for place, unit in ((0, "clock"), (1, "processor")):
        ratios = [
            mine[place] / other[place]
            for mine, other in zip(times["fedrobust"], times["PyTorch loop"], strict=True)
        ]
        print(f"{unit}: fedrobust needs {statistics.median(ratios):.2f} of the loop's seconds")


if __name__ == "__main__":
    main()
