"""What all trackers share: they turn a run's events into settings, scalars of a round, final figures and files."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.errors import ConfigError
from fedrobust.runs.events import Event, RoundFinished, StudyFinished, StudyResumed, StudyStarted
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import RoundRecord, RunRecord
from fedrobust.tracking.scalars import final_scalars, round_scalars

FILES = ("report.html", "result.json")
"""Files of a run that are handed to a tracker, where they exist."""


@dataclass(frozen=True)
class Final:
    """What is logged at the end of a run.

    Attributes:
        status: "finished", "stopped" or "failed".
        scalars: the final figures.
        words: the verdict and other texts, by name.
        files: paths of the report and of ``result.json``.
    """

    status: str
    scalars: Mapping[str, float]
    words: Mapping[str, str]
    files: Sequence[Path]


class Tracker(ABC):
    """A listener that logs a run.

    A resumed run is logged anew, with its earlier rounds, so that each log is complete.
    """

    @abstractmethod
    def start(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        """Begin a log: the study's name, the run folder, and every setting by its dotted key."""

    @abstractmethod
    def log(self, round: int, scalars: Mapping[str, float]) -> None:
        """Log the scalars of one round."""

    @abstractmethod
    def finish(self, final: Final) -> None:
        """Log the final figures, and end the log."""

    def __call__(self, event: Event) -> None:
        """Log one event."""
        match event:
            case StudyStarted():
                self._folder = RunFolder(Path(event.folder))
                settings = Experiment.recorded(self._folder.file("experiment.toml")).to_run_config()
                settings.pop("base", None)
                self.start(event.name, self._folder.path, settings)
                self._open = True
            case StudyResumed():
                for line in self._folder.file("metrics.jsonl").read_text(encoding="utf-8").splitlines():
                    self._log(RoundRecord.read(json.loads(line)))
            case RoundFinished():
                self._log(event.record)
            case StudyFinished():
                self._end(final_of(event.record, self._folder))

    def close(self) -> None:
        """End a log that has not ended: of a run that was stopped, or that failed early."""
        if getattr(self, "_open", False):
            self._end(Final("stopped", {}, {}, ()))

    def _log(self, record: RoundRecord) -> None:
        self.log(record.round, round_scalars(record))

    def _end(self, final: Final) -> None:
        self._open = False
        self.finish(final)


def final_of(run: RunRecord, folder: RunFolder) -> Final:
    """Return what is logged at the end of a run."""
    words = {"status": run.status}
    if run.error:
        words["error"] = run.error
    if run.audit is not None:
        words.update(verdict=run.audit.verdict.word, sentence=run.audit.verdict.sentence)
    files = [path for name in FILES if (path := folder.file(name)).is_file()]
    return Final(run.status, final_scalars(run), words, files)


def check_installed(module: str, extra: str) -> None:
    """Check that a tracker's package is installed.

    Raises:
        ConfigError: it is not.
    """
    if find_spec(module) is None:
        raise ConfigError(f"{module} is not installed: pip install 'fedrobust[{extra}]'")
