"""Five thousand rounds of a small federation: memory, handles, threads, checkpoints, records and the report page.

    python experiments/reliability/soak.py --rounds 5000 --out soak.json

Three clients train a narrow network on 60 drawn images, on the threads engine. Every tenth round the process' resident
anonymous memory, open handles, threads and checkpoints are noted. Before that Python collects its garbage and the C
library gives its free pages back (malloc_trim), so that what is left is in use; pages of libraries, which are read from
their files as they are needed, do not count. The slope of the memory is that of the least-squares line
through the means of 20 blocks of rounds, after the first tenth; its 95 % interval is Student's, of these means. Beside
it is the size of the checkpoints, which must not grow either.
"""

import argparse
import ctypes
import gc
import json
import tempfile
import threading
import time
from dataclasses import dataclass, field
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


@dataclass
class Watch:
    """What is noted of a run, as a listener of its events.

    Attributes:
        rounds: at which the rest was noted.
        resident: anonymous memory in kB.
        handles: open files, sockets and pipes.
        threads: of Python.
        checkpoints: files in the folder of checkpoints.
        checkpoint_bytes: size of the newest checkpoint.
    """

    folder: Path
    rounds: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    checkpoint_bytes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Note the state of the process after every tenth round."""
        if isinstance(event, RoundFinished) and event.record.round % EVERY == 0:
            process = psutil.Process()
            self.rounds.append(event.record.round)
            self.resident.append(anonymous())
            self.handles.append(process.num_fds())
            self.threads.append(threading.active_count())
            files = sorted((self.folder / "checkpoints").glob("round-*.npz"))
            self.checkpoints.append(len(files))
            self.checkpoint_bytes.append(files[-1].stat().st_size)
            self.seconds.append(time.perf_counter())
            if event.record.round % 500 == 0:
                print(f"round {event.record.round}: {self.resident[-1] / 1e3:.0f} MB", flush=True)


def anonymous() -> float:
    """Return the kB of memory that the process uses and no file backs."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1.024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def slope(rounds: list[int], values: list[float]) -> tuple[float, float, float]:
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
    watch = Watch(folder)
    experiment = fedrobust.Experiment.quickstart(
        **SETTINGS, federation__rounds=rounds, output__dir=str(folder)
    )
    began = time.perf_counter()
    run = fedrobust.run(experiment, watch)
    total = time.perf_counter() - began
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["round"] for line in lines]
    rose = slope(watch.rounds, watch.resident)
    half = len(watch.seconds) // 2
    first, second = (np.diff(part).mean() / EVERY for part in (watch.seconds[:half], watch.seconds[half:]))
    return {
        "rounds": rounds,
        "status": run.status,
        "seconds": round(total),
        "ms a round, first and second half": [round(1e3 * float(first)), round(1e3 * float(second))],
        "kB a round": [round(one, 2) for one in rose],
        "checkpoint-bytes, after a tenth and at the end": [
            watch.checkpoint_bytes[len(watch.rounds) // 10],
            watch.checkpoint_bytes[-1],
        ],
        "MB after a tenth, at the end": [
            round(watch.resident[len(watch.rounds) // 10] / 1e3, 1),
            round(watch.resident[-1] / 1e3, 1),
        ],
        "handles": [min(watch.handles[1:]), max(watch.handles[1:])],
        "threads": [min(watch.threads[1:]), max(watch.threads[1:])],
        "checkpoints": [min(watch.checkpoints), max(watch.checkpoints)],
        "checkpoints-left": (folder / "checkpoints").exists(),
        "metrics-lines": len(lines),
        "metrics-in-order": numbers == list(range(1, rounds + 1)),
        "metrics-bytes": (folder / "metrics.jsonl").stat().st_size,
        "result-bytes": (folder / "result.json").stat().st_size,
        "series": {"round": watch.rounds, "kB": watch.resident},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="keep the run there; by default it is removed")
    parser.add_argument("--out", type=Path, help="write the figures there, with the series of the memory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place) / "run"
        found = soak(given.rounds, folder)
        if given.out:  # before the page, which a browser may fail to open
            given.out.write_text(json.dumps(found) + "\n")
        found |= beside_others(folder / "report.html")
    print(json.dumps({key: value for key, value in found.items() if key != "series"}, indent=1))
