"""Weights & Biases, offline by default: nothing leaves the machine before ``wandb sync``.

The package is imported inside functions: it comes with the extra ``fedrobust[wandb]``.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedrobust.tracking import TRACKERS
from fedrobust.tracking.tracker import Final, Tracker, check_installed


@TRACKERS.register("wandb")
@dataclass
class WeightsAndBiases(Tracker):
    """Log a run to Weights & Biases: config, scalars of every round, summary, report and ``result.json``.

    The log is written into the folder ``wandb`` of the run folder; ``wandb sync`` uploads it later. Metrics of the
    machine, source code and what is printed are not logged.

    Args:
        project: of Weights & Biases.
        mode: "offline" or "online".

    Source: https://docs.wandb.ai

    Example:
        >>> fedrobust.run("breast", log=["wandb(project='breast')"])  # doctest: +SKIP
    """

    project: str = "fedrobust"
    mode: Literal["offline", "online"] = "offline"

    def __post_init__(self) -> None:
        check_installed("wandb", "wandb")

    def start(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        """Begin a run with the settings as its config."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
        )
        self._run = wandb.init(
            project=self.project,
            name=folder.name,
            group=name,
            dir=str(folder),
            mode=self.mode,
            config={key: value for key, value in settings.items() if value != ""},
            reinit="create_new",
            settings=quiet,
        )

    def log(self, round: int, scalars: Mapping[str, float]) -> None:
        """Log the scalars of a round, with the round as their step."""
        self._run.log(dict(scalars), step=round)

    def finish(self, final: Final) -> None:
        """Write the summary and the files, and end the run."""
        self._run.summary.update({f"final/{name}": value for name, value in final.scalars.items()})
        self._run.summary.update(dict(final.words))
        for path in final.files:
            copy = shutil.copy(path, self._run.dir)  # of files elsewhere it keeps links
            self._run.save(copy, base_path=self._run.dir, policy="now")
        self._run.finish(exit_code=0 if final.status == "finished" else 1)
