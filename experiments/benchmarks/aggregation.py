"""Aggregation rules side by side: fedrobust, ByzFL and Flower on one random matrix of updates.

Every cell runs in a process of its own, so that its peak memory is its own, one after another. Peaks are told as
multiples of the matrix, without what importing takes. Seconds of the processor, of all threads together, can be
compared on a busy machine, too.

    python experiments/benchmarks/aggregation.py                       # n = 50, d = 2.3 million, f = 10
    python experiments/benchmarks/aggregation.py --clients 10 --size 23600000 --f 2
    python experiments/benchmarks/aggregation.py --byzfl-mixing        # needs 20 GB and most of a minute

ByzFL is imported without torch, whose tensors its NumPy path does not need.
"""

import argparse
import importlib
import importlib.util
import json
import resource
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
from machine import write

OURS = [
    "mean", "median", "trimmed-mean", "meamed", "geometric-median", "krum", "multi-krum", "bulyan", "mda",
    "centred-clipping", "centred-clipping(steps=1)", "norm-clipping", "fltrust", "foolsgold", "flame", "dnc",
    "signguard", "rlr", "fldetector", "alignins", "lasa", "freqfed", "multi-metrics", "sparsefed", "bnguard",
    "deepsight", "flshield", "trimmed-mean(weighted=True)", "norm-clipping(weighted=True)", "rlr(weighted=True)",
]  # fmt: skip
BEFORE = ["nnm", "bucketing", "clipping", "arc"]
BYZFL = {
    "mean": "Average", "median": "Median", "trimmed-mean": "TrMean", "meamed": "Meamed",
    "geometric-median": "GeometricMedian", "krum": "Krum", "multi-krum": "MultiKrum",
    "centred-clipping(steps=1)": "CenteredClipping", "clipping": "Clipping", "arc": "ARC", "bucketing": "Bucketing",
}  # fmt: skip
FLOWER = {
    "mean": "FedAvg", "median": "FedMedian", "trimmed-mean": "FedTrimmedAvg", "krum": "Krum", "multi-krum": "MultiKrum",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--size", type=int, default=2_300_000, help="numbers of an update")
    parser.add_argument("--f", type=int, default=10, help="malicious clients to tolerate")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each rule; the fastest counts")
    parser.add_argument("--byzfl-mixing", action="store_true", help="also ByzFL's nearest-neighbour mixing")
    parser.add_argument("--only", nargs="*", help="rules")
    parser.add_argument("--out", type=Path, default=Path("aggregation.json"))
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        library, rule = options.cell
        print(json.dumps(cell(library, rule, options)))
        return
    cells = [("fedrobust", rule) for rule in OURS]
    cells += [("fedrobust", f"{before} written out") for before in BEFORE]
    cells += [("fedrobust", f"{before} + trimmed-mean") for before in BEFORE]
    cells += [("byzfl", rule) for rule in BYZFL] + [("flower", rule) for rule in FLOWER]
    if options.byzfl_mixing:
        cells.append(("byzfl", "nnm"))
    if options.only:
        cells = [(library, rule) for library, rule in cells if rule in options.only]
    measured = {}
    for library, rule in cells:
        command = [sys.executable, __file__, "--cell", library, rule]
        for name in ("clients", "size", "f", "repeat"):
            command += [f"--{name}", str(getattr(options, name))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{library:10} {rule:28} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        result = json.loads(done.stdout.strip().splitlines()[-1])
        measured[f"{library} {rule}"] = result
        print(
            f"{library:10} {rule:28} {result['seconds']:8.3f} s  processor {result['processor']:8.3f} s  "
            f"peak {result['peak']:.2f} x matrix",
            flush=True,
        )
    print(table(measured))
    settings = {name: getattr(options, name) for name in ("clients", "size", "f", "repeat")}
    write(options.out, **settings, cells=measured)


def cell(library: str, rule: str, options: argparse.Namespace) -> dict[str, float]:
    make = {"fedrobust": ours, "byzfl": byzfl, "flower": flower}[library]
    # What is imported on first use is imported before anything is measured.
    make(rule, argparse.Namespace(**{**vars(options), "size": 1000}))(
        np.eye(options.clients, 1000, dtype=np.float32)
    )
    aggregate = make(rule, options)
    before = resident()
    matrix = np.empty((options.clients, options.size), np.float32)
    np.random.default_rng(0).standard_normal(out=matrix, dtype=np.float32)
    matrix *= 0.01
    times, processor = [], []
    for _ in range(options.repeat):
        started, used = time.perf_counter(), time.process_time()
        aggregate(matrix)
        times.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return {
        "seconds": min(times),
        "slowest": max(times),
        "processor": min(processor),
        "peak": peak / matrix.nbytes,
    }


def ours(rule: str, options: argparse.Namespace):
    from fedrobust.aggregation import PRE_AGGREGATORS, AggregationContext, Updates, defence
    from fedrobust.spec import build

    context = AggregationContext(
        np.arange(options.clients),
        np.arange(1, options.clients + 1),
        root=lambda images: np.full(options.size, 0.01, np.float32),
        current=np.random.default_rng(1).standard_normal(options.size, np.float32),
        layout=layout_of(options.size),
        statistics=np.random.default_rng(2).random((options.clients, 256), np.float32),
        current_statistics=np.ones(256, np.float32),
        model=NoModel(),
    )
    before, _, last = rule.partition(" ")
    if last == "written out":
        stage = build(PRE_AGGREGATORS, before, f=options.f)

        def written(matrix):
            return np.asarray(stage(Updates.of(matrix), context))

        return written
    guard = defence("trimmed-mean", before, f=options.f) if last else defence(rule, f=options.f)
    return lambda matrix: guard(Updates.of(matrix), context).update


class NoModel:
    """Answers of no model, which take no time: passes through a network are measured with the network."""

    def on_noise(self, update, statistics, images, seed):
        """Return probabilities of two classes."""
        odds = np.exp(update[:2] + np.random.default_rng(seed).random((images, 2)))
        return odds / odds.sum(1, keepdims=True)

    def class_losses(self, update, statistics, images):
        """Return losses of two classes."""
        return np.abs(update[:2])

    def fused(self, models, start, fusion, round):
        """Return the mean, as if there were no steps."""
        return start[0]


def layout_of(size: int):
    """Return the layout of a network of `size` trainable parameters: convolutions with BatchNorm, and a head."""
    from fedrobust.models.layout import Entry, Layout

    entries: list[Entry] = []
    left = size
    while left > 150_000:
        for name, shape in (("conv/kernel", (3, 3, 128, 128)), ("norm/gamma", (128,)), ("norm/beta", (128,))):
            entries.append(Entry(f"{len(entries)}_{name}", shape, "trainable"))
            left -= entries[-1].size
    odd = (("scale", (1,)),) if left % 2 else ()
    head = (*odd, ("logits/kernel", (left // 2 - 1, 2)), ("logits/bias", (2,)))
    statistics = (Entry(f"norm/{name}", (128,), "statistic") for name in ("moving_mean", "moving_variance"))
    return Layout((*entries, *(Entry(path, shape, "trainable") for path, shape in head), *statistics))


def byzfl(rule: str, options: argparse.Namespace):
    for name in [name for name in sys.modules if name.split(".")[0] in ("byzfl", "torch")]:
        del sys.modules[name]
    found = importlib.util.find_spec("byzfl")
    assert found is not None
    assert found.origin is not None
    root = Path(found.origin).parent
    torch: Any = types.ModuleType("torch")
    torch.Tensor, torch.linalg = type("Tensor", (), {}), types.ModuleType("torch.linalg")
    sys.modules.update({"torch": torch, "torch.linalg": torch.linalg})
    for package in ("byzfl", "byzfl.utils", "byzfl.aggregators"):
        module = types.ModuleType(package)
        module.__path__ = [str(root / Path(*package.split(".")[1:]))]
        sys.modules[package] = module
    if rule in BEFORE:
        made = importlib.import_module("byzfl.aggregators.preaggregators")
        settings = {"nnm": ("NNM", options.f), "arc": ("ARC", options.f), "bucketing": ("Bucketing", 2)}
        name, argument = settings.get(rule, ("Clipping", 2.0))
        return getattr(made, name)(argument)
    made = importlib.import_module("byzfl.aggregators.aggregators")
    takes_f = rule in ("trimmed-mean", "meamed", "krum", "multi-krum")
    return getattr(made, BYZFL[rule])(*([options.f] if takes_f else []))


def flower(rule: str, options: argparse.Namespace):
    from fedrobust.aggregation import AggregationContext, Updates
    from fedrobust.flower.identity import server_identity
    from fedrobust.flower.rule import flower_rule

    settings = {
        "trimmed-mean": "(beta=0.2)",
        "multi-krum": f"(num_nodes_to_select={options.clients - options.f})",
    }
    strategy = flower_rule(f"flower:{FLOWER[rule]}{settings.get(rule, '')}", options.f)
    context = AggregationContext(np.arange(options.clients), np.ones(options.clients, np.int64))

    def aggregate(matrix):
        with server_identity():
            return strategy(Updates.of(matrix), context).update

    return aggregate


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def table(measured: dict[str, dict[str, float]]) -> str:
    rules = dict.fromkeys(name.split(" ", 1)[1].removesuffix(" written out") for name in measured)
    lines = ["", "| rule | fedrobust | ByzFL | Flower | peak / matrix |", "| --- | --- | --- | --- | --- |"]
    for rule in rules:
        mine = measured.get(f"fedrobust {rule}") or measured.get(f"fedrobust {rule} written out")
        cells = [mine, measured.get(f"byzfl {rule}"), measured.get(f"flower {rule}")]
        shown = [f"{each['seconds']:.2f} s" if each else "-" for each in cells]
        lines.append(f"| {rule} | {' | '.join(shown)} | {mine['peak']:.2f} |" if mine else "")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
