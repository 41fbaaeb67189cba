"""What a run needs to go on where it stopped, written after every round, whole or not at all.

A checkpoint is an ``.npz`` file whose archive comment ends in the SHA-256 of every byte before it: the head, the names,
shapes, types and numbers of all arrays, and what the archive says of itself. The digest is compared before anything is
parsed, so that no damage reaches a parser.
"""

import hashlib
import hmac
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.atomic import sweep
from fedrobust.config import Experiment
from fedrobust.config.keys import default, keys
from fedrobust.config.old_keys import modern
from fedrobust.models.layout import Weights
from fedrobust.runs.folder import RunFolder, RunFolderError

KEPT = 2
"""Newest checkpoints that stay: if the disk damages the last one, the one before it is still there."""


SCHEMA = 2
"""Of what a checkpoint holds; the first had no digest."""

_MEMORY = "memory/"
_CLIENTS = "clients/"
_MARK = b"fedrobust checkpoint, SHA-256 of all bytes before: "
_DIGITS = 64


class CheckpointNotice(UserWarning):
    """A checkpoint cannot be read, and an older one is used."""


class DamagedError(ValueError):
    """A file is not the checkpoint that was written."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run after some of its rounds. Nothing random is in it: every draw derives from seed, round and client.

    Attributes:
        round: how many rounds are finished.
        weights: the global weights after them.
        selected: the weights of the best round so far, by the study's choice.
        score: what they were chosen by.
        base: folder that the study's relative paths are resolved against.
        result: ``result.json`` so far.
        memory: what the aggregation wants to find in the next round.
        clients: what simulated clients keep between rounds, encoded, by node.
    """

    round: int
    weights: Weights
    selected: Weights
    score: float
    base: str
    result: Mapping[str, Any]
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)
    clients: Mapping[int, bytes] = field(default_factory=dict)

    def save(self, folder: RunFolder) -> Path:
        """Write the checkpoint into the run folder, then drop the ones that it makes superfluous."""
        directory = folder.file("checkpoints")
        directory.mkdir(exist_ok=True)
        head = {
            "schema": SCHEMA,
            "round": self.round,
            "score": None if np.isinf(self.score) else self.score,
            "base": self.base,
            "result": dict(self.result),
        }
        arrays: dict[str, Any] = {
            "head": np.frombuffer(json.dumps(head, allow_nan=False).encode(), np.uint8),
            "trainable": self.weights.trainable,
            "statistics": self.weights.statistics,
            **{f"{_MEMORY}{name}": array for name, array in self.memory.items()},
            **{f"{_CLIENTS}{node}": np.frombuffer(state, np.uint8) for node, state in self.clients.items()},
        }
        if self.selected is not self.weights:
            arrays.update(
                selected_trainable=self.selected.trainable, selected_statistics=self.selected.statistics
            )

        def write(temporary: Path) -> None:
            np.savez(temporary, **arrays)
            seal(temporary)

        path = folder.write_with(f"checkpoints/{_name(self.round)}", write)
        # Newer ones are damaged, or this run would have gone on from them; they are no reason to let go of a good one.
        for old in [each for each in _newest_first(folder) if _round(each) <= self.round][KEPT:]:
            old.unlink(missing_ok=True)
        return path

    @classmethod
    def latest(cls, folder: RunFolder) -> "Checkpoint":
        """Return the newest checkpoint of a run that can be read.

        Raises:
            RunFolderError: there is none.

        Warns:
            CheckpointNotice: a newer one is damaged.
        """
        paths = _newest_first(folder)
        for path in paths:
            try:
                return cls._read(path)
            # Whatever a disk, a copy or another program has made of a file, the one before it is used.
            except Exception as error:
                warnings.warn(
                    f"{path}: cannot be used ({error}): the one before it is", CheckpointNotice, stacklevel=2
                )
        what = "none of its checkpoints can be used" if paths else "it has no checkpoint"
        raise RunFolderError(f"{folder.path}: cannot be resumed, {what}; start the study anew")

    @classmethod
    def _read(cls, path: Path) -> "Checkpoint":
        check_seal(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(arrays["head"].tobytes())
        if head["schema"] != SCHEMA:
            raise DamagedError(f"schema {head['schema']}, this version of fedrobust reads {SCHEMA}")
        if path.name != _name(head["round"]):
            raise DamagedError(f"it is of round {head['round']}")
        weights = selected = Weights(arrays["trainable"], arrays["statistics"])
        if "selected_trainable" in arrays:
            selected = Weights(arrays["selected_trainable"], arrays["selected_statistics"])
        memory = {
            name.removeprefix(_MEMORY): array for name, array in arrays.items() if name.startswith(_MEMORY)
        }
        clients = {
            int(name.removeprefix(_CLIENTS)): array.tobytes()
            for name, array in arrays.items()
            if name.startswith(_CLIENTS)
        }
        score = -np.inf if head["score"] is None else head["score"]
        return cls(head["round"], weights, selected, score, head["base"], head["result"], memory, clients)


def seal(path: Path) -> None:
    """Put the SHA-256 of a ``.npz`` file into the comment that ends it; it remains one."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = _MARK + b"0" * _DIGITS
    with path.open("r+b") as file:
        digest = _digest(path, path.stat().st_size - _DIGITS)
        file.seek(-_DIGITS, 2)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Make sure that a file holds what `seal` saw.

    Raises:
        DamagedError: it does not, or nothing sealed it.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise DamagedError("not a file")
    size, end = path.stat().st_size, len(_MARK) + _DIGITS
    with path.open("rb") as file:
        file.seek(max(0, size - end))
        mark, written = _halves(file.read(end))
    if mark != _MARK:
        raise DamagedError(
            "it does not end in its digest: it is damaged, or an earlier version of fedrobust wrote it, which can "
            "still go on with it"
        )
    if not hmac.compare_digest(written, _digest(path, size - _DIGITS)):
        raise DamagedError("damaged: its digest is that of another content")


def _halves(end: bytes) -> tuple[bytes, bytes]:
    return end[:-_DIGITS], end[-_DIGITS:]


def _digest(path: Path, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes of a file, in hexadecimal."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, 2**20))):
            sha.update(part)
            size -= len(part)
    return sha.hexdigest().encode()


def any_whole(folder: RunFolder) -> bool:
    """Return whether a run has a checkpoint that holds what was written."""

    def whole(path: Path) -> bool:
        try:
            check_seal(path)
        except (DamagedError, OSError):
            return False
        return True

    return any(whole(path) for path in _newest_first(folder))


def discard_checkpoints(folder: RunFolder) -> None:
    """Remove all checkpoints of a finished run: its model is in ``model.keras``. What is not a run's is left."""
    directory = folder.file("checkpoints")
    if not directory.is_dir():
        return
    sweep(directory)
    for path in _newest_first(folder):
        path.unlink(missing_ok=True)
    if not any(directory.iterdir()):
        directory.rmdir()


def resumable(folder: RunFolder) -> Experiment:
    """Return the study of an unfinished run, set to go on in its folder.

    Raises:
        RunFolderError: the run has no checkpoint that can be read.
    """
    checkpoint = Checkpoint.latest(folder)
    study = Experiment.recorded(folder.file("experiment.toml"))
    rooted = study.model_copy(update={"base": checkpoint.base})
    return rooted.changed(output__dir=str(folder.path), output__resume=True)


def differences(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> list[str]:
    """Return the keys in which a study's `settings` are not those of `checkpoint`; engine and output may differ.

    A setting that an earlier version of fedrobust did not have was at its default.
    """
    before, now = (_flat(values) for values in (modern(checkpoint.result["experiment"]), settings))
    known = set(keys(Experiment))
    before |= {key: default(Experiment, key) for key in now.keys() - before.keys() if key in known}
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))


def _flat(study: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, value in study.items():
        if section in ("engine", "output"):
            continue
        if isinstance(value, Mapping):
            flat.update({f"{section}.{key}": item for key, item in value.items()})
        else:
            flat[section] = value
    return flat


_NAMED = re.compile(r"round-([0-9]{6,18})\.npz")


def _name(round: int) -> str:
    return f"round-{round:06}.npz"


def _round(path: Path) -> int:
    """Return the round in a checkpoint's name, -1 where it is no checkpoint's."""
    match = _NAMED.fullmatch(path.name)
    return int(match[1]) if match else -1


def _newest_first(folder: RunFolder) -> list[Path]:
    found = [path for path in folder.file("checkpoints").glob("round-*.npz") if _round(path) >= 0]
    return sorted(found, key=lambda path: (_round(path), path.name), reverse=True)
