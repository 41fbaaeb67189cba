"""Count the files that one round passes through, from `RoundLoop.round` to `Checkpoint.save`.

    python experiments/benchmarks/round_stops.py [--all]

Two studies of two rounds run on the threads engine under `sys.setprofile`: a plain mean, and Multi-Krum against label
flipping. Counted is the second round, in which nothing is built any more, in all threads. Three figures:

* orchestration: the files whose functions stand on the call stack when one of `WORK` begins, from `RoundLoop.round` or
  from the worker's thread on. That is what a reader passes who follows the weights through a round.
* with the work: these, and the files of `WORK` themselves.
* all: every file of fedrobust, server and clients of which a function ran, with leaf functions and registered members.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import fedrobust

PROJECT = Path(fedrobust.__file__).resolve().parents[1]
ROOTS = ("fedrobust", "server", "clients")

BEGIN = ("server/rounds.py", "RoundLoop.round")

WORK = {
    "a message is handed to a worker": ("fedrobust/engines/worker_pool.py", "WorkerPool.submit"),
    "a client trains": ("fedrobust/training/local_update.py", "LocalUpdate.__call__"),
    "a reply is read": ("server/replies.py", "read_reply"),
    "updates are aggregated": ("fedrobust/aggregation/rules/", "__call__"),
    "updates are summed": ("fedrobust/aggregation/rules/", "RunningMean.add"),
    "the model is measured": ("fedrobust/evaluation/robustness.py", "robustness"),
    "the checkpoint is written": ("fedrobust/runs/checkpoint.py", "Checkpoint.save"),
}
"""Where the work of a round is done: the file, or the folder of a family, and the end of the function's name."""

OTHERWISE = {"updates are aggregated", "updates are summed"}
"""Of these a round does one: a mean sums replies as they arrive, other rules take all of them."""

STUDIES: dict[str, dict[str, Any]] = {
    "plain mean": {},
    "Multi-Krum against label flipping": {
        "federation__aggregator": "multi-krum",
        "poisoning__attack": "label-flip",
        "poisoning__malicious": 1,
    },
}

SMALL: dict[str, Any] = {
    "data__samples": 300,
    "federation__clients": 6,
    "federation__rounds": 2,
    "engine__workers": 2,
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "evaluation__epsilons": ["2/255"],
    "distillation__enabled": False,
    "export__enabled": False,
    "audit__enabled": False,
    "output__report": False,
}


@dataclass
class Stops:
    """What one round passes through.

    Attributes:
        round: the round that is counted.
        chains: files on the call stack, outermost first, by what was done; clients and models may differ in them.
        files: every file of which a function ran.
    """

    round: int
    chains: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    counting: bool = False

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call of the round: for `sys.setprofile` and `threading.setprofile`."""
        if event not in ("call", "return") or (file := file_of(frame)) is None:
            return
        name = frame.f_code.co_qualname
        if (file, name) == BEGIN:
            self.counting = event == "call" and frame.f_locals["number"] == self.round
        if event == "return" or not self.counting:
            return
        self.files.add(file)
        for what, (place, ending) in WORK.items():
            if file.startswith(place) and name.endswith(ending):
                self.chains.setdefault(what, set()).add(chain(frame))

    @property
    def orchestration(self) -> list[str]:
        """The files between the beginning of the round and its work."""
        return sorted({file for files in set().union(*self.chains.values()) for file in files[:-1]})

    @property
    def path(self) -> list[str]:
        """The same with the files in which the work is done."""
        return sorted({file for files in set().union(*self.chains.values()) for file in files})


def file_of(frame: FrameType) -> str | None:
    """Return the file of a frame's function below the checkout, None where it is none of the project's."""
    return _below(frame.f_code.co_filename)


@cache
def _below(name: str) -> str | None:
    path = Path(name)
    if not path.is_relative_to(PROJECT):
        return None
    file = path.relative_to(PROJECT)
    return file.as_posix() if file.parts[0] in ROOTS else None


def chain(frame: FrameType) -> tuple[str, ...]:
    """Return the project's files on the stack of `frame`, outermost first, from the round or the thread on."""
    return tuple(dict.fromkeys(reversed(list(_upwards(frame)))))


def _upwards(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        file = file_of(frame)
        if file is not None:
            yield file
            if (file, frame.f_code.co_qualname) == BEGIN:
                return
        frame = frame.f_back


def counted(settings: Mapping[str, Any], round: int = 2) -> Stops:
    """Run a study and return what its `round` passes through."""
    stops = Stops(round)
    with tempfile.TemporaryDirectory() as folder:
        threading.setprofile(stops.profile)
        sys.setprofile(stops.profile)
        try:
            fedrobust.run(**SMALL, **settings, output__dir=f"{folder}/run")
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    if missed := WORK.keys() - stops.chains.keys() - OTHERWISE:
        raise RuntimeError(f"no function that does this was called, WORK has to be mended: {sorted(missed)}")
    return stops


def main() -> None:
    """Print the three figures of each study, and with ``--all`` the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="show the call chains and the files")
    given = parser.parse_args()
    for name, settings in STUDIES.items():
        stops = counted(settings)
        figures = (len(stops.orchestration), len(stops.path), len(stops.files))
        print("{}: {} files orchestrate a round, {} with the work, {} in all".format(name, *figures))
        if given.all:
            for what, chains in stops.chains.items():
                for files in sorted(chains):
                    print(f"  {what}: {' > '.join(files)}")
            print("  orchestration:", *stops.orchestration, sep="\n    ")
            print("  all others:", *sorted(stops.files - set(stops.path)), sep="\n    ")


if __name__ == "__main__":
    main()
