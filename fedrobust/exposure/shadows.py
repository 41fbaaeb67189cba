"""Shadow federations: the study of a run on other draws of its training images.

They have the run's settings, seed and initial model, which every client and the server know; the images differ, and
with them the batches. Where only the head is trained, all share one trace and one cache of features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.config import ConfigError, Experiment
from fedrobust.exposure.trained_rows import trained_rows
from fedrobust.leakage.contract import check_federations
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.study import Study
from fedrobust.sweeps.bench import bench
from fedrobust.sweeps.events import CellFinished, SweepEvent
from fedrobust.sweeps.sweep import Sweep
from fedrobust.sweeps.values import flattened

SHARE = 0.5
"""Of the training images, in each shadow."""

UNMEASURED: Mapping[str, Any] = {
    "evaluation.attacks": [],
    "evaluation.baselines": [],
    "evaluation.examples": 0,
    "evaluation.select": "last",
    "evaluation.stop-after": 0,
    "evaluation.validation": False,
    "audit.enabled": False,
    "distillation.enabled": False,
    "export.enabled": False,
    "model.removal": "none",
}
"""What shadows leave out: all that does not change the global models of their rounds."""


@dataclass(frozen=True)
class Shadow:
    """A finished shadow federation.

    Attributes:
        rows: the images that it was trained on, of all training images (n,).
        rounds: its kept global models.
    """

    rows: NDArray[np.bool_]
    rounds: KeptRounds


def first_draw(experiment: Experiment) -> int:
    """Return the number of the first shadow's draw: even, and after the run's own pair of halves."""
    data = experiment.data
    return 0 if data.train_share == 1 else 2 * (data.train_draw // 2 + 1)


def shadow_sweep(experiment: Experiment, count: int) -> Sweep:
    """Return the studies of `count` shadows, in pairs that share no image.

    Args:
        experiment: the study of the run.
        count: even.

    Raises:
        ConfigError: the number is odd or too small, or clients draw their images on demand.
    """
    check_federations(count)
    first, rounds = first_draw(experiment), experiment.federation.rounds
    every = experiment.output.keep_every or rounds
    changed: dict[str, Any] = {
        **UNMEASURED,
        "evaluation.every": rounds,
        "data.train-share": SHARE,
        "data.train-draw": list(range(first, first + count)),
        "output.keep-every": every,
        "output.dir": "",
        "output.resume": False,
        "output.report": False,
    }
    flat = {**flattened(experiment.to_dict()), **changed}
    if isinstance(experiment.poisoning.malicious, tuple):
        flat["poisoning.malicious"] = [list(experiment.poisoning.malicious)]
    return Sweep.of(f"{experiment.name}-shadows", flat, base=Path(experiment.base).resolve())


def trained_shadows(
    experiment: Experiment,
    count: int,
    folder: Path,
    last: int,
    tell: Callable[[str], None],
    workers: int = 0,
) -> tuple[Shadow, ...]:
    """Return finished shadow federations; those that are in `folder` already are not run again.

    Args:
        experiment: the study of the run.
        count: number of shadows, even.
        folder: of their sweep.
        last: the round of the models that are compared.
        tell: told of the progress.
        workers: federations at a time; 0: one per core.

    Raises:
        ConfigError: the study cannot have shadows, or one failed.
    """
    sweep = shadow_sweep(experiment, count)
    done = 0

    def listen(event: SweepEvent) -> None:
        nonlocal done
        if isinstance(event, CellFinished):
            done += 1
            if event.error:
                raise ConfigError(f"a shadow federation ({event.cell.label}) failed: {event.error}")
            if done % 8 == 0 or done == count:
                tell(f"{done} shadow federations of {count}")

    tell(f"training {count} shadow federations, each on half of the training images")
    bench(sweep, folder, listen, workers=workers)
    folders = [RunFolder(folder / "cells" / cell.hash) for cell in sweep.cells]
    return tuple(
        Shadow(trained_rows(Study.of(cell.experiment), run, last), KeptRounds(run))
        for cell, run in zip(sweep.cells, folders, strict=True)
    )
