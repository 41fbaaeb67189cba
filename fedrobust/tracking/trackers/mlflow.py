"""MLflow: a local SQLite store by default.

MLflow is imported inside functions: it comes with the extra ``fedrobust[mlflow]``.
"""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.tracking import TRACKERS
from fedrobust.tracking.tracker import Final, Tracker, check_installed

MOST_PARAMETERS = 100
"""Parameters of one call that MLflow accepts."""

MOST_LETTERS = 6000
"""Of a parameter's value."""

ENDED = {"finished": "FINISHED", "stopped": "KILLED"}


@TRACKERS.register("mlflow")
@dataclass
class MLflow(Tracker):
    """Log a run to MLflow: parameters, metrics of every round, final metrics, tags, report and ``result.json``.

    Without a `uri`, MLflow's own choice: ``$MLFLOW_TRACKING_URI``, else the file ``mlflow.db`` in the current folder.
    Characters that MLflow refuses in names become ``_``. MLflow's usage reports are switched off.

    Args:
        uri: of the tracking store, such as ``sqlite:////data/mlflow.db`` or ``http://localhost:5000``.
        experiment: MLflow's experiment, made if there is none of this name.

    Source: https://mlflow.org/docs/latest/tracking

    Example:
        >>> fedrobust.run("breast", log=["mlflow(experiment='breast')"])  # doctest: +SKIP
    """

    uri: str = ""
    experiment: str = "fedrobust"

    def __post_init__(self) -> None:
        check_installed("mlflow", "mlflow")

    def start(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        """Make MLflow's run, and log the settings as its parameters."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=self.uri or None)
        known = self._client.get_experiment_by_name(self.experiment)
        home = known.experiment_id if known else self._client.create_experiment(self.experiment)
        run = self._client.create_run(home, run_name=folder.name, tags={"study": name, "folder": str(folder)})
        self._run: str = run.info.run_id
        parameters = [
            Param(_name(key), str(value)[:MOST_LETTERS]) for key, value in settings.items() if value != ""
        ]
        for start in range(0, len(parameters), MOST_PARAMETERS):
            self._client.log_batch(self._run, params=parameters[start : start + MOST_PARAMETERS])

    def log(self, round: int, scalars: Mapping[str, float]) -> None:
        """Log the scalars of a round, with the round as their step."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_name(name), value, now, round) for name, value in scalars.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def finish(self, final: Final) -> None:
        """Log final metrics, tags and files, and end MLflow's run."""
        self.log(0, {f"final/{name}": value for name, value in final.scalars.items()})
        for name, words in final.words.items():
            self._client.set_tag(self._run, name, words)
        for path in final.files:
            self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run, ENDED.get(final.status, "FAILED"))


def _name(path: str) -> str:
    """Return a name that MLflow accepts.

    Example:
        >>> _name("robust/pgd(steps=40)/8/255/accuracy")
        'robust/pgd_steps_40_/8/255/accuracy'
    """
    return re.sub(r"[^\w./ -]", "_", path)
