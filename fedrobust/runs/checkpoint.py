"""Checkpoints: written atomically after every round, to resume a run.

A checkpoint is an ``.npz`` file whose archive comment ends in the SHA-256 of all preceding bytes. The digest is checked
before parsing, so that no parser reads a damaged file.
"""

import hmac
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
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
from fedrobust.runs.record import RoundRecord
from fedrobust.runs.round_log import LOG, Mark, digest_of_start

KEPT = 2
"""Number of checkpoints kept: if the last one is damaged, the one before it is used."""


SHARED = "shared"
"""The folder of a run with the checkpoints of rounds that another run computed, until its own attack was measured on
their models."""

SCHEMA = 3
"""Version of the checkpoint format; version 1 had no digest, version 2 held the records of all rounds."""

READABLE = (2, 3)
"""Versions that can be read."""

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
    """The state of a run after some rounds, without random states: every draw derives from seed, round and client.

    Attributes:
        round: number of finished rounds.
        weights: the global weights after them.
        selected: the weights of the best round so far, by ``evaluation.select``.
        score: the metric by which they were selected.
        base: folder for the study's relative paths.
        result: ``result.json`` so far; of the rounds those that are not in `log`.
        memory: the state of the aggregation step.
        clients: node -> the encoded state of a simulated client.
        log: the records of the rounds up to here, in the run's log of rounds.
    """

    round: int
    weights: Weights
    selected: Weights
    score: float
    base: str
    result: Mapping[str, Any]
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)
    clients: Mapping[int, bytes] = field(default_factory=dict)
    log: Mark = field(default_factory=Mark)

    def rounds(self, folder: RunFolder) -> Iterator[RoundRecord]:
        """Return the records of the rounds up to here, read one by one from the log in the run's folder."""
        if self.log.rounds:
            yield from self.log.records(folder)
        yield from map(RoundRecord.read, self.result["rounds"])

    def save(self, folder: RunFolder) -> Path:
        """Write the checkpoint into the run folder, then remove superseded ones."""
        directory = folder.file("checkpoints")
        directory.mkdir(exist_ok=True)
        head = {
            "schema": SCHEMA,
            "round": self.round,
            "score": None if np.isinf(self.score) else self.score,
            "base": self.base,
            "result": dict(self.result),
            "log": vars(self.log),
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

        path = folder.write_with(f"{directory.name}/{_name(self.round)}", write)
        # Newer ones are damaged, else the run would have been resumed from them: they do not supersede readable ones.
        for old in [each for each in _newest_first(folder) if _round(each) <= self.round][KEPT:]:
            old.unlink(missing_ok=True)
        return path

    @classmethod
    def latest(cls, folder: RunFolder) -> "Checkpoint":
        """Return the newest readable checkpoint of a run.

        Raises:
            RunFolderError: there is none.

        Warns:
            CheckpointNotice: a newer one, or the end of the log that it needs, is damaged.
        """
        paths = _newest_first(folder)
        for path in paths:
            try:
                found = cls._read(path)
                if found.log.rounds:
                    found.log.source(folder)
                return found
            # Any damage to a file: the checkpoint before it is used.
            except Exception as error:
                warnings.warn(
                    f"{path}: cannot be used ({error}): the one before it is", CheckpointNotice, stacklevel=2
                )
        what = "none of its checkpoints can be used" if paths else "it has no checkpoint"
        raise RunFolderError(f"{folder.path}: cannot be resumed, {what}; start the study anew")

    @classmethod
    def of_round(cls, folder: RunFolder, round: int) -> "Checkpoint":
        """Return the checkpoint of one round of a run.

        Raises:
            OSError, ValueError: it is missing or damaged.
        """
        return cls._read(path_of(folder, round))

    @classmethod
    def _read(cls, path: Path) -> "Checkpoint":
        check_seal(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(arrays["head"].tobytes())
        if head["schema"] not in READABLE:
            known = " and ".join(map(str, READABLE))
            raise DamagedError(f"schema {head['schema']}, this version of fedrobust reads {known}")
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
        log = Mark(**head["log"]) if "log" in head else Mark()
        return cls(
            head["round"], weights, selected, score, head["base"], head["result"], memory, clients, log
        )


def seal(path: Path) -> None:
    """Append the SHA-256 of a ``.npz`` file as its archive comment; it remains a valid ``.npz``."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = _MARK + b"0" * _DIGITS
    with path.open("r+b") as file:
        digest = digest_of_start(path, path.stat().st_size - _DIGITS).encode()
        file.seek(-_DIGITS, 2)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Check the digest written by `seal`.

    Raises:
        DamagedError: the digest is wrong or missing.
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
    if not hmac.compare_digest(written, digest_of_start(path, size - _DIGITS).encode()):
        raise DamagedError("damaged: its digest is that of another content")


def _halves(end: bytes) -> tuple[bytes, bytes]:
    return end[:-_DIGITS], end[-_DIGITS:]


def any_whole(folder: RunFolder) -> bool:
    """Return whether a run has an undamaged checkpoint."""

    def whole(path: Path) -> bool:
        try:
            check_seal(path)
        except (DamagedError, OSError):
            return False
        return True

    return any(whole(path) for path in _newest_first(folder))


def has_checkpoints(folder: RunFolder) -> bool:
    """Return whether a run has checkpoints, damaged ones too, or the log of their rounds."""
    return folder.file(LOG).exists() or bool(_newest_first(folder))


def discard_checkpoints(folder: RunFolder) -> None:
    """Remove all checkpoints of a finished run and its log; other files are kept.

    Its model is in ``model.keras``, and its rounds are in ``result.json``.
    """
    directory = folder.file("checkpoints")
    if not directory.is_dir():
        return
    sweep(directory)
    for path in _newest_first(folder):
        path.unlink(missing_ok=True)
    folder.file(LOG).unlink(missing_ok=True)
    if not any(directory.iterdir()):
        directory.rmdir()


def resumable(folder: RunFolder) -> Experiment:
    """Return the study of an unfinished run, with the settings to resume it.

    Raises:
        RunFolderError: the run has no readable checkpoint.
    """
    checkpoint = Checkpoint.latest(folder)
    study = Experiment.recorded(folder.file("experiment.toml"))
    rooted = study.model_copy(update={"base": checkpoint.base})
    return rooted.changed(output__dir=str(folder.path), output__resume=True)


def differences(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> list[str]:
    """Return the keys in which a study's `settings` differ from those of `checkpoint`, except engine and output.

    Settings that an earlier version of fedrobust did not have count as their defaults.
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


def path_of(folder: RunFolder, round: int) -> Path:
    """Return the path of the checkpoint of one round."""
    return folder.file("checkpoints") / _name(round)


def _name(round: int) -> str:
    return f"round-{round:06}.npz"


def _round(path: Path) -> int:
    """Return the round in a checkpoint's name, -1 if the name is not a checkpoint's."""
    match = _NAMED.fullmatch(path.name)
    return int(match[1]) if match else -1


def _newest_first(folder: RunFolder) -> list[Path]:
    found = [path for path in folder.file("checkpoints").glob("round-*.npz") if _round(path) >= 0]
    return sorted(found, key=lambda path: (_round(path), path.name), reverse=True)
