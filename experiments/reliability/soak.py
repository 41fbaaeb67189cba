"""Five thousand rounds of a small federation: memory, handles, threads, checkpoints, records and the report page.

    python experiments/reliability/soak.py --rounds 5000 --out soak.json

Three clients train a narrow network on 60 drawn images, on the threads engine. Every tenth round are noted: memory in
use, by the C library's own count of what was allocated and not freed (mallinfo2), the process' resident anonymous
memory, open handles, threads and checkpoints. Before that Python collects its garbage and empties its cache of
attributes, and the C library gives its free pages back (malloc_trim). Python takes its memory from the C library, too
(PYTHONMALLOC=malloc), which has one arena (MALLOC_ARENA_MAX=1) and no caches of threads (tcache_count=0): what these
keep of freed memory varies by megabytes, and the caches count as memory in use. The program starts itself again with
these three; --allocator usual leaves them out, and then memory in use is without Python's small objects.

A slope is that of the least-squares line through the means of 20 blocks of rounds, after the first tenth; its 95 %
interval is Student's, of these means. That of the resident memory is judged. Beside it is the size of the checkpoints,
which must not grow either.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from page_load import beside_others
from scipy import stats

import fedrobust
from fedrobust.runs.events import Event, RoundFinished

SETTINGS: dict[str, Any] = {
    "data__samples": 60,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "model__batchnorm_policy": "average",
    "federation__clients": 3,
    "training__batch_size": 16,
    "evaluation__attacks": [],
    "evaluation__epsilons": [],
    "evaluation__examples": 0,
    "evaluation__every": 100,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "engine__workers": 2,
}
BLOCKS = 20
EVERY = 10


EXACT = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}
"""Environment in which the C library counts all memory, and keeps little that is free."""
NOTED = ("round", "used", "resident", "handles", "threads", "checkpoints", "checkpoint-bytes", "seconds")


class Watch:
    """What is noted of a run, as a listener of its events.

    Args:
        folder: of the run.
        rounds: of the run.

    Attributes:
        noted: name of `NOTED` -> value at every tenth round. Memory is in kB, threads are Python's, the checkpoint's
            bytes are those of the newest one, and seconds those of a clock. The arrays have their full length from the
            start: lists that grow would be measured, too.
    """

    def __init__(self, folder: Path, rounds: int):
        self.folder = folder
        self.noted = {name: np.zeros(rounds // EVERY) for name in NOTED}

    def __call__(self, event: Event) -> None:
        """Note the state of the process after every tenth round."""
        if isinstance(event, RoundFinished) and event.record.round % EVERY == 0:
            used, resident = memory()
            files = sorted((self.folder / "checkpoints").glob("round-*.npz"))
            process = psutil.Process()
            now = (
                *(event.record.round, used, resident, process.num_fds(), threading.active_count()),
                *(len(files), files[-1].stat().st_size, time.perf_counter()),
            )
            for name, value in zip(NOTED, now, strict=True):
                self.noted[name][event.record.round // EVERY - 1] = value
            if event.record.round % 500 == 0:
                print(
                    f"round {event.record.round}: {used / 1e3:.3f} MB, resident {resident / 1e3:.1f}",
                    flush=True,
                )


MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class Mallinfo(ctypes.Structure):
    """The C library's ``struct mallinfo2``: bytes, but for three numbers of blocks."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in MALLINFO)


def memory() -> tuple[float, float]:
    """Return the kB that are allocated and not freed, and the kB of memory that the process has and no file backs."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = Mallinfo
    gc.collect()
    # Python keeps up to 4,096 names of attributes there, which fill it over thousands of rounds.
    sys._clear_type_cache()
    library.malloc_trim(0)
    counted = library.mallinfo2()
    lines = Path("/proc/self/status").read_text().splitlines()
    resident = next(1.024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return (counted.uordblks + counted.hblkhd) / 1e3, resident


def slope(
    rounds: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray
) -> tuple[float, float, float]:
    """Return the slope of `values` per round and its 95 % interval, from the means of blocks after the first tenth.

    Example:
        >>> [round(float(one), 6) for one in slope(list(range(400)), [2.0 * x for x in range(400)])]
        [2.0, 2.0, 2.0]
    """
    start = len(rounds) // 10
    blocks = min(BLOCKS, (len(rounds) - start) // 2)
    at = [float(np.mean(part)) for part in np.array_split(rounds[start:], blocks)]
    means = [float(np.mean(part)) for part in np.array_split(values[start:], blocks)]
    line = stats.linregress(at, means)
    half = float(stats.t.ppf(0.975, blocks - 2)) * float(line.stderr)
    return float(line.slope), float(line.slope) - half, float(line.slope) + half


def soak(rounds: int, folder: Path) -> dict[str, Any]:
    """Run the federation for so many rounds in `folder`, and return what was noted."""
    watch = Watch(folder, rounds)
    experiment = fedrobust.Experiment.quickstart(
        **SETTINGS, federation__rounds=rounds, output__dir=str(folder)
    )
    began = time.perf_counter()
    run = fedrobust.run(experiment, watch)
    total = time.perf_counter() - began
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["round"] for line in lines]
    noted = watch.noted
    tenth, half = len(noted["round"]) // 10, len(noted["round"]) // 2
    first, second = (np.diff(part).mean() / EVERY for part in np.split(noted["seconds"], [half]))

    def span(name: str) -> list[int]:
        return [int(noted[name][1:].min()), int(noted[name][1:].max())]

    def after_a_tenth(name: str) -> list[float]:
        return [round(float(noted[name][place]) / 1e3, 3) for place in (tenth, -1)]

    return {
        "rounds": rounds,
        "status": run.status,
        "seconds": round(total),
        "ms a round, first and second half": [round(1e3 * float(first)), round(1e3 * float(second))],
        "kB a round": [round(one, 4) for one in slope(noted["round"], noted["resident"])],
        "in use, kB a round": [round(one, 4) for one in slope(noted["round"], noted["used"])],
        "MB in use, after a tenth and at the end": after_a_tenth("used"),
        "MB resident, after a tenth and at the end": after_a_tenth("resident"),
        "checkpoint-bytes, after a tenth and at the end": [
            int(noted["checkpoint-bytes"][place]) for place in (tenth, -1)
        ],
        "handles": span("handles"),
        "threads": span("threads"),
        "checkpoints": span("checkpoints"),
        "checkpoints-left": (folder / "checkpoints").exists(),
        "metrics-lines": len(lines),
        "metrics-in-order": numbers == list(range(1, rounds + 1)),
        "metrics-bytes": (folder / "metrics.jsonl").stat().st_size,
        "result-bytes": (folder / "result.json").stat().st_size,
        "series": {name: noted[name].tolist() for name in ("round", "used", "resident")},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="keep the run there; by default it is removed")
    parser.add_argument("--out", type=Path, help="write the figures there, with the series of the memory")
    parser.add_argument("--allocator", choices=("exact", "usual"), default="exact")
    given = parser.parse_args()
    if given.allocator == "exact" and any(os.environ.get(name) != value for name, value in EXACT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **EXACT})
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place) / "run"
        found = soak(given.rounds, folder)
        if given.out:  # before the page, which a browser may fail to open
            given.out.write_text(json.dumps(found) + "\n")
        found |= beside_others(folder / "report.html")
    print(json.dumps({key: value for key, value in found.items() if key != "series"}, indent=1))
