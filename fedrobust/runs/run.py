"""A run, read from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust import runtime
from fedrobust.config import Experiment
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import MetricsRecord, RoundRecord, RunRecord
from fedrobust.runs.record.metrics import SCORES

if TYPE_CHECKING:
    import keras
    import pandas


@dataclass(frozen=True)
class Run:
    """A run's results.

    Attributes:
        folder: its folder.
        result: the content of ``result.json``.

    Example:
        >>> run = fedrobust.run("experiments/breast.toml", federation__clients=20)  # doctest: +SKIP
        >>> run.rounds[["round", "accuracy", "auc", "fgsm 0.005 accuracy"]]  # doctest: +SKIP
    """

    folder: RunFolder
    result: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Read the run in the folder `path`.

        Raises:
            RunFolderError: it is not a run folder, or the result cannot be read.
        """
        folder = RunFolder.open(path)
        return cls(folder, folder.result())

    @cached_property
    def record(self) -> RunRecord:
        """The record, with a type for every key.

        Raises:
            RunFolderError: a value in ``result.json`` has a wrong type.
        """
        return self.folder.record()

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def status(self) -> str:
        """``finished`` or ``failed``."""
        return str(self.result["status"])

    @property
    def report(self) -> Path:
        """The path of ``report.html``."""
        return self.folder.file("report.html")

    @cached_property
    def experiment(self) -> Experiment:
        """The study."""
        return Experiment.recorded(self.folder.file("experiment.toml"))

    @cached_property
    def rounds(self) -> "pandas.DataFrame":
        """One row per round: ``round``, ``accuracy``, ``accuracy low``, ``accuracy high``, ``balanced_accuracy``,
        ``auc`` (each with its interval), ``majority_rate``, ``loss``, ``trained``, ``failed``, ``seconds``, and for
        every attack and epsilon ``fgsm 0.005 accuracy`` etc. NaN: not measured.
        """  # noqa: D205
        import pandas

        return pandas.DataFrame([_row(one) for one in self.record.rounds])

    @property
    def student(self) -> Mapping[str, Any] | None:
        """The student's entry in ``result.json``, None if none was distilled."""
        student: Mapping[str, Any] | None = self.result["student"]
        return student

    @property
    def export(self) -> list[Mapping[str, Any]]:
        """The entries of the exported files."""
        return list(self.result["export"])

    def model(self) -> "keras.Model":
        """Return the global model: native images in [0, 1] to logits.

        Raises:
            ModelFileError: it is missing, because the run is not finished, or damaged.
        """
        runtime.start_tensorflow()
        # Imported here, so that reading metrics does not import TensorFlow.
        from fedrobust.models.keras_file import load_keras

        return load_keras(self.folder.file("model.keras"))


def _row(one: RoundRecord) -> dict[str, Any]:
    row = {
        "round": one.round,
        **_figures(one.clean),
        "trained": one.clients.trained,
        "failed": one.clients.failed,
        "loss": one.clients.loss,
        "seconds": one.seconds,
    }
    for attack, curve in one.robust.items():
        for epsilon, metrics in curve.items():
            row.update({f"{attack} {epsilon} {name}": value for name, value in _figures(metrics).items()})
    return row


def _figures(metrics: MetricsRecord | None) -> dict[str, Any]:
    if metrics is None:
        return dict.fromkeys(SCORES)
    row: dict[str, Any] = {}
    for name in SCORES:
        low, high = metrics.limits(name) or (None, None)
        row.update({name: metrics.score(name), f"{name} low": low, f"{name} high": high})
    row["majority_rate"] = metrics.majority_rate
    return row
