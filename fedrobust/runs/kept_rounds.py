"""The global models of some rounds of a run, which every client and the server see: kept for attacks on privacy."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedrobust.models.layout import Weights
from fedrobust.runs.checkpoint import DamagedError, check_seal, seal
from fedrobust.runs.folder import RunFolder, RunFolderError

_NAMED = re.compile(r"round-([0-9]{6,18})\.npz")


@dataclass(frozen=True)
class KeptRounds:
    """The files ``rounds/round-NNNNNN.npz`` of a run: global weights after the round, sealed as checkpoints are.

    Attributes:
        folder: of the run.
    """

    folder: RunFolder

    @property
    def numbers(self) -> tuple[int, ...]:
        """The kept rounds, ascending."""
        files = self.folder.file("rounds").glob("round-*.npz")
        return tuple(sorted(int(match[1]) for file in files if (match := _NAMED.fullmatch(file.name))))

    def path(self, round: int) -> Path:
        """Return the file of a round."""
        return self.folder.file(_name(round))

    def save(self, round: int, weights: Weights) -> Path:
        """Write the global weights after a round, atomically."""
        self.folder.file("rounds").mkdir(exist_ok=True)

        def write(temporary: Path) -> None:
            np.savez(temporary, trainable=weights.trainable, statistics=weights.statistics)
            seal(temporary)

        return self.folder.write_with(_name(round), write)

    def weights(self, round: int) -> Weights:
        """Return the global weights after a round.

        Raises:
            RunFolderError: they were not kept, or the file is damaged.
        """
        path = self.folder.file(_name(round))
        try:
            check_seal(path)
            with np.load(path, allow_pickle=False) as archive:
                return Weights(archive["trainable"], archive["statistics"])
        except (DamagedError, OSError, KeyError, ValueError) as error:
            raise RunFolderError(
                f"{path}: the global model of round {round} cannot be read ({error}); run the study anew with "
                "output.keep-every = 1"
            ) from error


def _name(round: int) -> str:
    return f"rounds/round-{round:06}.npz"
