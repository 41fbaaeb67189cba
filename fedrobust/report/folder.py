"""Read a run folder, whose files may be missing or damaged, because runs may fail or be stopped."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from fedrobust.data.archive import DAMAGE
from fedrobust.report.errors import ReportError
from fedrobust.report.evaluation import Evaluation
from fedrobust.report.examples import ExampleImages
from fedrobust.report.shares import ClientShares
from fedrobust.runs.outcome import measured_after
from fedrobust.runs.record import DatasetRecord, ModelRecord, RecordError, RoundRecord, RunRecord
from fedrobust.runs.record.leakage import LeakageRecord

T = TypeVar("T")


@dataclass(frozen=True)
class Round:
    """One round: its record and the evaluation of its model."""

    record: RoundRecord
    evaluation: Evaluation

    @property
    def number(self) -> int:
        """The round's number."""
        return self.record.round


@dataclass(frozen=True)
class Run:
    """A run folder in memory.

    Args:
        record: ``result.json``.
        partition: None if the file is missing or unreadable; the latter is in `problems`.
        examples: likewise.
        leakage: likewise: attacks on privacy.
        problems: name of an unreadable file -> the error.
        folder: the name of the run folder.
        resumable: whether it has a checkpoint.
    """

    record: RunRecord
    partition: ClientShares | None = None
    examples: ExampleImages | None = None
    leakage: LeakageRecord | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    resumable: bool = False

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds, in order."""
        ordered = sorted(self.record.rounds, key=lambda one: one.round)
        return tuple(Round(one, Evaluation.of(one, self.norm)) for one in ordered)

    @cached_property
    def teacher(self) -> Evaluation:
        """The selected global model."""
        return Evaluation.of(self.record.model_evaluation, self.norm)

    @cached_property
    def student(self) -> Evaluation | None:
        """The distilled model, if there is one."""
        return Evaluation.of(self.record.student, self.norm) if self.record.student else None

    @property
    def dataset(self) -> DatasetRecord:
        """The images; an empty record if the run did not load them."""
        return self.record.dataset or DatasetRecord()

    @property
    def model(self) -> ModelRecord:
        """The global model; an empty record if the run did not build it."""
        return self.record.model or ModelRecord()

    @property
    def norm(self) -> str:
        """How the size of a perturbation is measured."""
        return str(self.record.section("evaluation").get("norm", "linf"))

    @property
    def failed(self) -> bool:
        """Whether the run ended in an error."""
        return self.record.status == "failed"

    @property
    def unfinished(self) -> bool:
        """Whether the run failed, was stopped, or is still running."""
        return self.record.status != "finished"

    @property
    def progress(self) -> str:
        """The finished rounds, such as ``2 of 5 rounds``."""
        done = sum(one.number > 0 for one in self.rounds)
        asked = self.record.section("federation").get("rounds")
        return f"{done} of {asked} rounds" if asked is not None else f"{done} rounds"

    @property
    def global_model(self) -> tuple[Evaluation, int | None]:
        """The selected global model; of an unfinished run the last evaluated one, with its round."""
        if self.teacher.clean or self.teacher.attacked:
            return self.teacher, None
        evaluated = [one for one in self.rounds if one.evaluation.clean]
        return (evaluated[-1].evaluation, evaluated[-1].number) if evaluated else (self.teacher, None)

    @property
    def global_name(self) -> str:
        """The name of `global_model`."""
        number = self.global_model[1]
        return "Global model" if number is None else f"Global model {measured_after(self.record, number)}"

    def label(self, index: int) -> str:
        """The name of one class, or its number if the data set has no names."""
        labels = self.dataset.labels
        return labels[index] if 0 <= index < len(labels) else f"class {index}"


def read(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: with ``result.json``, and perhaps ``partition.json`` and ``examples.npz``.

    Raises:
        ReportError: ``result.json`` is missing, not a JSON object, of an unknown schema, or has a wrong value.
    """
    path = folder / "result.json"
    if not path.is_file():
        raise ReportError(f"{path} is missing: a report is made from a run folder that holds result.json")
    try:
        # Python writes NaN and Infinity, which are not JSON: there must be a report after a diverged loss, too.
        result = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except ValueError as error:
        raise ReportError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(result, dict):
        raise ReportError(f"{path} holds no JSON object")
    try:
        record = RunRecord.read(result)
    except RecordError as error:
        raise ReportError(f"{path}: {error}; make the report with the version that made the run") from error
    problems: dict[str, str] = {}
    run = Run(
        record=record,
        partition=_optional(folder / "partition.json", ClientShares.read, problems),
        examples=_optional(folder / "examples.npz", ExampleImages.read, problems),
        leakage=_optional(folder / "leakage.json", _leakage, problems),
        problems=problems,
        folder=folder.resolve().name,
        resumable=any((folder / "checkpoints").glob("round-*.npz")),
    )
    _ = run.rounds, run.teacher, run.student  # parses epsilons, so that wrong ones raise here
    return run


def _leakage(path: Path) -> LeakageRecord:
    return LeakageRecord.read(json.loads(path.read_text(encoding="utf-8")))


def _optional(path: Path, load: Callable[[Path], T], problems: dict[str, str]) -> T | None:
    if not path.is_file():
        return None
    try:
        return load(path)
    except DAMAGE as error:
        problems[path.name] = f"{type(error).__name__}: {error}"
        return None
