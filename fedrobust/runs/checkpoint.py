"""What a run needs to go on where it stopped, written after every round, whole or not at all."""

import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.models.layout import Weights
from fedrobust.runs.folder import RunFolder, RunFolderError

KEPT = 2
"""Newest checkpoints that stay: if the disk damages the last one, the one before it is still there."""


_MEMORY = "memory/"


class CheckpointNotice(UserWarning):
    """A checkpoint cannot be read, and an older one is used."""


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
    """

    round: int
    weights: Weights
    selected: Weights
    score: float
    base: str
    result: Mapping[str, Any]
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)

    def save(self, folder: RunFolder) -> Path:
        """Write the checkpoint into the run folder, then drop the ones that it makes superfluous."""
        directory = folder.file("checkpoints")
        directory.mkdir(exist_ok=True)
        head = {
            "round": self.round,
            "score": None if np.isinf(self.score) else self.score,
            "base": self.base,
            "digest": self.weights.digest(),
            "selected-digest": self.selected.digest(),
            "result": dict(self.result),
        }
        arrays: dict[str, Any] = {
            "head": np.frombuffer(json.dumps(head, allow_nan=False).encode(), np.uint8),
            "trainable": self.weights.trainable,
            "statistics": self.weights.statistics,
            **{f"{_MEMORY}{name}": array for name, array in self.memory.items()},
        }
        if self.selected is not self.weights:
            arrays.update(
                selected_trainable=self.selected.trainable, selected_statistics=self.selected.statistics
            )
        path = folder.write_with(
            f"checkpoints/round-{self.round:06}.npz", lambda temporary: np.savez(temporary, **arrays)
        )
        for old in _newest_first(folder)[KEPT:]:
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
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                warnings.warn(
                    f"{path}: damaged ({error}): the one before it is used", CheckpointNotice, stacklevel=2
                )
        what = "its checkpoints are damaged" if paths else "it has no checkpoint"
        raise RunFolderError(f"{folder.path}: cannot be resumed, {what}; start the study anew")

    @classmethod
    def _read(cls, path: Path) -> "Checkpoint":
        with np.load(path, allow_pickle=False) as archive:
            head = json.loads(archive["head"].tobytes())
            weights = Weights(archive["trainable"], archive["statistics"])
            selected = weights
            if "selected_trainable" in archive:
                selected = Weights(archive["selected_trainable"], archive["selected_statistics"])
            memory = {
                name.removeprefix(_MEMORY): archive[name] for name in archive if name.startswith(_MEMORY)
            }
        if (weights.digest(), selected.digest()) != (head["digest"], head["selected-digest"]):
            raise ValueError("its weights are not those it names")
        score = -np.inf if head["score"] is None else head["score"]
        return cls(head["round"], weights, selected, score, head["base"], head["result"], memory)


def discard_checkpoints(folder: RunFolder) -> None:
    """Remove all checkpoints of a finished run: its model is in ``model.keras``."""
    for path in _newest_first(folder):
        path.unlink(missing_ok=True)
    directory = folder.file("checkpoints")
    if directory.exists():
        for leftover in directory.iterdir():
            leftover.unlink(missing_ok=True)
        directory.rmdir()


def resumable(folder: RunFolder) -> Experiment:
    """Return the study of an unfinished run, set to go on in its folder.

    Raises:
        RunFolderError: the run has no checkpoint that can be read.
    """
    checkpoint = Checkpoint.latest(folder)
    study = Experiment.load(folder.file("experiment.toml"))
    rooted = study.model_copy(update={"base": checkpoint.base})
    return rooted.changed(output__dir=str(folder.path), output__resume=True)


def differences(checkpoint: Checkpoint, experiment: Experiment) -> list[str]:
    """Return the keys in which `experiment` is not the study of `checkpoint`; engine and output may differ."""
    before, now = (_flat(values) for values in (checkpoint.result["experiment"], experiment.to_dict()))
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


def _newest_first(folder: RunFolder) -> list[Path]:
    return sorted(folder.file("checkpoints").glob("round-*.npz"), reverse=True)
