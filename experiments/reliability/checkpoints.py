"""Damage checkpoints in every region and by every kind of harm, and see what resuming makes of them.

    python checkpoints.py --times 3000 --out checkpoints.json

Each time a run folder holds two checkpoints; the newer one is damaged. Then `Checkpoint.latest` must return the older
one to the bit: taking the newer one with any other content is a failure, and so is anything but that answer, a
traceback above all. A damage that changes nothing is drawn again. A tenth of the times both are damaged, and the
answer must be a `RunFolderError` in one sentence.
"""

import argparse
import json
import random
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from damage import kinds

from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.folder import RunFolder, RunFolderError


def checkpoint(round: int) -> Checkpoint:
    """Return a checkpoint with all that one can hold: other selected weights, a rule's and an optimiser's memory."""
    draw = np.random.default_rng(round)
    weights, selected = (
        Weights(draw.standard_normal(500).astype(np.float32), draw.random(60).astype(np.float32))
        for _ in range(2)
    )
    memory: dict[str, np.ndarray] = {
        "rule/partitions": np.arange(10),
        "rule/last": draw.standard_normal((10, 20)),
        "optimizer/mean": draw.standard_normal(500).astype(np.float32),
        "optimizer/square": draw.random(500).astype(np.float32),
    }
    rounds = [{"round": number, "clients": {"sampled": 10}, "seconds": 1.5} for number in range(1, round + 1)]
    result = {"experiment": {"name": "damaged"}, "rounds": rounds, "seconds": 9.0}
    return Checkpoint(round, weights, selected, 0.875, "/a/folder", result, memory)


def content(found: Checkpoint) -> tuple[object, ...]:
    """Return all that a checkpoint holds, to compare."""
    arrays = {
        "trainable": found.weights.trainable,
        "statistics": found.weights.statistics,
        "selected trainable": found.selected.trainable,
        "selected statistics": found.selected.statistics,
        **found.memory,
    }
    held = {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in arrays.items()}
    return found.round, found.score, found.base, json.dumps(found.result, sort_keys=True), held


def answer(folder: RunFolder) -> str:
    """Return what becomes of a folder: ``round N``, ``refused``, ``OTHER CONTENT`` or the name of an exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Checkpoint.latest(folder)
    except RunFolderError as error:
        return "refused" if len(str(error).splitlines()) == 1 else "NOT ONE SENTENCE"
    except BaseException as error:
        return f"UNCAUGHT {type(error).__name__}"
    same = content(found) == content(checkpoint(found.round))
    return f"round {found.round}" if same else "OTHER CONTENT"


def harmed(whole: bytes, kind: str, draw: random.Random) -> bytes:
    """Return `whole` after a damage of one kind that changed it."""
    damage = dict(kinds(whole))[kind]
    while (broken := damage(whole, draw)) == whole:
        pass
    return broken


def tried(times: int, seed: int, scratch: Path) -> list[dict[str, str]]:
    """Return one row a damage: its kind, what was damaged, the answer, and the answer that is wanted."""
    draw = random.Random(seed)
    (scratch / "checkpoints").mkdir()
    folder = RunFolder(scratch)
    older, newer = (checkpoint(round).save(folder) for round in (2, 3))
    whole = {path: path.read_bytes() for path in (older, newer)}
    names = [name for name, _ in kinds(whole[newer])]
    rows = []
    for number in range(times):
        kind, both = names[number % len(names)], draw.random() < 0.1
        for path in (older, newer):
            broken = both or path == newer
            path.write_bytes(harmed(whole[path], kind, draw) if broken else whole[path])
        wanted = "refused" if both else "round 2"
        rows.append(
            {
                "kind": kind,
                "damaged": "both" if both else "the newer",
                "answer": answer(folder),
                "wanted": wanted,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/reliability/checkpoints.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = tried(options.times, options.seed, Path(scratch))
    wrong = [row for row in rows if row["answer"] != row["wanted"]]
    answers = Counter(row["answer"] for row in rows)
    kinds_tried = len({row["kind"] for row in rows})
    print(f"{len(rows)} damages of {kinds_tried} kinds: {dict(answers)}; {len(wrong)} wrong")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps({"seed": options.seed, "answers": answers, "wrong": wrong}, indent=2) + "\n"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
