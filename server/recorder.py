"""The recorder of a running study, which writes ``result.json``."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fedrobust.data.dataset import Dataset
from fedrobust.runs.events import RoundFinished, emit
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import ConversionRecord, DatasetRecord, ModelRecord, RoundRecord, RunRecord
from fedrobust.runs.round_log import METRICS, Mark, RoundLog


class Recorder:
    """Collects the results of a study, and writes them.

    Args:
        name: of the study.
        settings: of the study, as nested plain data.
        remarks: warnings before the first round.

    Attributes:
        run: the record that ``result.json`` holds; of the rounds those that are not in `log`.
        log: the rounds that were told, on disk; None before the run has a folder, and after the last round.
        saved: the last round with a checkpoint.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], remarks: list[str]):
        self.started = time.perf_counter()
        self.saved = 0
        self.log: RoundLog | None = None
        self.run = RunRecord(
            status="running", name=name, experiment=settings, remarks=tuple(remarks), seconds=0.0
        )

    @property
    def seconds(self) -> float:
        """Seconds of the study so far, including those before it was resumed."""
        return time.perf_counter() - self.started

    @property
    def mark(self) -> Mark:
        """The mark at the end of the log."""
        return Mark() if self.log is None else self.log.mark

    def rounds(self) -> Iterator[RoundRecord]:
        """Return the records of all rounds, read one by one."""
        last = -1
        for one in self.log or ():
            last = one.round
            yield one
        # The last round is in both, if the process was interrupted just after it was logged.
        yield from (one for one in self.run.rounds if one.round > last)

    def latest_first(self) -> Iterator[RoundRecord]:
        """Return the records of all rounds, the last one first, read one by one."""
        yield from reversed(self.run.rounds)
        yield from reversed(self.log or ())

    def gather(self) -> None:
        """Read the rounds into `run`, after the last one."""
        self.note(rounds=tuple(self.rounds()))
        self.log = None

    def note(self, **parts: Any) -> None:
        """Set fields of the record."""
        self.run = replace(self.run, **parts)

    def note_model(self, **parts: Any) -> None:
        """Set fields of the global model's record."""
        self.note(model=replace(self.run.model or ModelRecord(), **parts))

    def go_on(self, before: RunRecord, round: int) -> None:
        """Continue the record of an earlier process, which ended after `round`.

        Versions and machine are those of this process; the command is the first one, which alone repeats the run.
        """
        own = {name: value for name, value in self.run.environment.items() if name != "command"}
        first = {name: value for name, value in before.environment.items() if name == "command"}
        self.started -= before.seconds or 0.0
        self.run = replace(
            before,
            status="running",
            error=None,
            environment=own | first,
            resumed_after=(*before.resumed_after, round),
        )

    def start_after(self, shared: RunRecord) -> None:
        """Begin after the rounds that another run computed."""
        selected = None if shared.model is None else shared.model.selected_round
        self.note(shared=shared.shared)
        self.note_model(selected_round=selected)

    def add_round(self, entry: RoundRecord) -> None:
        """Add the record of a round."""
        self.note(rounds=(*self.run.rounds, entry), seconds=self.seconds)

    def tell_round(self, folder: RunFolder, entry: RoundRecord) -> None:
        """Write a round's line and emit its event."""
        if self.log is not None:
            self.log.append(entry)
            self.note(rounds=())
        folder.append_line(METRICS, entry.plain)
        emit(RoundFinished(entry))

    def note_status(self, folder: RunFolder, status: str, error: str | None = None) -> None:
        """Write ``result.json``."""
        self.note(status=status, error=error, seconds=self.seconds)
        # The record may contain the value that made the study fail, which must not prevent writing it.
        write = folder.write_json if status == "finished" else folder.write_whatever
        write("result.json", self.run.to_json())


def described(dataset: Dataset) -> DatasetRecord:
    """Return the data set's entry in ``result.json``."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return DatasetRecord(
        name=dataset.name,
        source=dataset.source,
        licence=dataset.licence,
        digest=dataset.digest,
        task=dataset.task,
        labels=tuple(dataset.label_names),
        disease=tuple(dataset.disease),
        image_shape=tuple(dataset.image_shape),
        samples={name: len(split.labels) for name, split in splits.items()},
        counts={name: tuple(dataset.counts(split).tolist()) for name, split in splits.items()},
        conversion=_conversion(dataset),
    )


def _conversion(dataset: Dataset) -> ConversionRecord | None:
    told = dataset.conversion
    known = ConversionRecord(fit=told.fit or None, window=told.window, white=told.white)
    return known if told.to_json() else None
