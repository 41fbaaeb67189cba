"""First rounds, computed once for all cells of a sweep that have the same ones."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fedrobust.runs.checkpoint import SHARED, Checkpoint, path_of
from fedrobust.runs.events import Event, RoundFinished
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.runs.record import RoundRecord, RunRecord, SharedRoundsRecord
from fedrobust.runs.round_log import LOG, RoundLog
from fedrobust.study import Study

FOLDER = "forks"
"""The folder of a sweep with the checkpoints that cells share; it is removed when no cell needs it any more."""


@dataclass(frozen=True)
class Fork:
    """The shared rounds of the studies with one key.

    Attributes:
        folder: with the checkpoints of these rounds, and their records.
        rounds: their number.
        attacks_differ: whether each study measures its own attack on the models of these rounds, which are kept for it.
    """

    folder: Path
    rounds: int
    attacks_differ: bool

    @property
    def ready(self) -> bool:
        """Whether the last of these rounds was kept."""
        return path_of(RunFolder(self.folder), self.rounds).is_file()

    def keep(self, run: Path) -> Callable[[Event], None]:
        """Return a listener of the run in the folder `run` that keeps its checkpoints of these rounds."""

        def listener(event: Event) -> None:
            if isinstance(event, RoundFinished) and self.wants(event.record):
                kept, number = RunFolder(self.folder), event.record.round
                linked(run / "partition.json", kept.file("partition.json"))
                kept.write_text("run", run.name)
                linked(run / LOG, kept.file(LOG))
                linked(path_of(RunFolder(run), number), path_of(kept, number))
                if number == self.rounds:
                    copied_rounds(run, self.folder, self.rounds)

        return listener

    def wants(self, one: RoundRecord) -> bool:
        """Return whether other runs need the model of a round: it is the last of these, or their attacks differ."""
        if one.round >= self.rounds:
            return one.round == self.rounds
        return self.attacks_differ and one.clean is not None

    def start(self, study: Study, run: Path) -> bool:
        """Write a run folder that begins after these rounds; return whether they can be read.

        Args:
            study: one with this key.
            run: its folder, which is new.
        """
        kept = RunFolder(self.folder)
        try:
            state = Checkpoint.latest(kept)
        except RunFolderError:
            return False
        before = RunRecord.read(state.result)
        paths = [path_of(kept, one.round) for one in state.rounds(kept) if self.wants(one)]
        if state.round != self.rounds or not all(path.is_file() for path in paths):
            return False
        if run.exists():
            shutil.rmtree(run)
        own = RunFolder(run)
        run.mkdir(parents=True)
        own.write_study(study.experiment)
        shutil.copyfile(kept.file("partition.json"), own.file("partition.json"))
        copied_rounds(self.folder, run, self.rounds)
        rounds = state.rounds(kept)
        if self.attacks_differ:
            for path in paths:
                linked(path, own.file(SHARED) / "checkpoints" / path.name)
            rounds = (replace(one, attack_success=None) for one in rounds)
        record = replace(
            before,
            experiment=study.experiment.to_dict(),
            rounds=(),
            shared=SharedRoundsRecord(rounds=self.rounds, run=kept.file("run").read_text("utf-8")),
            resumed_after=(),
        )
        log = RoundLog.of(own, rounds)
        replace(state, base=study.experiment.base, result=record.to_json(), log=log.mark).save(own)
        return True


def linked(path: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links; an existing `target` is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        os.link(path, draft)
    except OSError:
        shutil.copyfile(path, draft)
    draft.replace(target)


def copied_rounds(source: Path, target: Path, last: int) -> None:
    """Give the global models that a run kept of its rounds until `last` to another folder, too."""
    kept, own = KeptRounds(RunFolder(source)), KeptRounds(RunFolder(target))
    for number in kept.numbers:
        if number <= last:
            linked(kept.path(number), own.path(number))
