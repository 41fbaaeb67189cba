"""The forks of a sweep: which of its cells share their first rounds."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fedrobust.study import Study
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.fork import FOLDER, Fork
from fedrobust.sweeps.shared_rounds import attacked_later, fork_key, shared_rounds


@dataclass(frozen=True)
class Forks:
    """The forks of the unfinished cells of a sweep.

    Attributes:
        folder: of the sweep.
        keys: hash of a cell -> the key of the rounds that it shares with other cells; cells that share none are left
            out.
        open: key -> the hashes of the cells that are not finished.
    """

    folder: Path
    keys: dict[str, str]
    open: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, cells: Iterable[Cell]) -> "Forks":
        """Return the forks of `cells`, which are to be run; of a key, there are at least two."""
        groups: dict[str, set[str]] = {}
        for cell in cells:
            if key := fork_key(Study.of(cell.experiment)):
                groups.setdefault(key, set()).add(cell.hash)
        kept = {key for key in groups if len(groups[key]) > 1 or (folder / FOLDER / key).is_dir()}
        keys = {hash_: key for key in kept for hash_ in groups[key]}
        return cls(folder, keys, {key: groups[key] for key in kept})

    def fork(self, cell: Cell) -> Fork | None:
        """Return the fork of a cell, None if it shares no rounds."""
        key = self.keys.get(cell.hash)
        if key is None:
            return None
        study = Study.of(cell.experiment)
        return Fork(self.folder / FOLDER / key, shared_rounds(study), attacked_later(study))

    def pending(self, cell: Cell) -> str:
        """Return the key of a cell's shared rounds as long as they are not there; "" without."""
        fork = self.fork(cell)
        return "" if fork is None or fork.ready else self.keys[cell.hash]

    def done(self, cell: Cell) -> None:
        """Note that a cell has ended; the last one of a fork removes its files."""
        fork = self.fork(cell)
        if fork is None:
            return
        left = self.open[self.keys[cell.hash]]
        left.discard(cell.hash)
        if not left:
            self.remove(fork.folder)

    def remove(self, folder: Path) -> None:
        """Remove the files of a fork, and the folder of all forks with the last one."""
        shutil.rmtree(folder, ignore_errors=True)
        parent = self.folder / FOLDER
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
