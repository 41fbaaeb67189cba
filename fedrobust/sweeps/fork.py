"""The rounds before the attack begins, computed once for all cells that have the same ones."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fedrobust.runs.checkpoint import SHARED, Checkpoint, path_of
from fedrobust.runs.events import Event, RoundFinished
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.record import RoundRecord, RunRecord, SharedRoundsRecord
from fedrobust.runs.round_log import LOG, RoundLog
from fedrobust.study import Study
from fedrobust.sweeps.cell import content_of

FOLDER = "forks"
"""The folder of a sweep with the checkpoints that cells share; it is removed when no cell needs it any more."""

ATTACKS = ("attack", "last-round", "every", "on-failure")
"""Settings of ``[poisoning]`` that change nothing before the attack begins."""


def why_alone(study: Study) -> str:
    """Return why a study's rounds are not shared with others, "" if they may be.

    Example:
        >>> from fedrobust.config import Experiment
        >>> why_alone(Study.of(Experiment.of(poisoning__attack="ipm", poisoning__malicious=2)))
        'the attack begins in round 1'
        >>> why_alone(Study.of(Experiment.of(
        ...     poisoning__attack="ipm", poisoning__malicious=2, poisoning__first_round=3)))
        ''
    """
    settings = study.experiment
    if not study.schedule.malicious:
        return "it has no attack"
    if settings.poisoning.first_round == 1:
        return "the attack begins in round 1"
    if settings.poisoning.first_round > settings.federation.rounds:
        return "the attack begins after the last round"
    if study.attack.remembers:
        return "its attackers remember earlier rounds"
    if settings.federation.average:
        return "the evaluated model is an average over rounds (federation.average)"
    if settings.training.recipe_from > 1:
        return "it keeps the model from before its recipe (training.recipe-from)"
    return ""


def fork_key(study: Study) -> str:
    """Return what is the same for studies with the same rounds before the attack; "" if `study` shares none.

    Everything but the attack: its kind, end, and period. Who is malicious belongs to it: the record of a defence says
    how many of them it rejected, also in rounds in which they are honest.
    """
    if why_alone(study):
        return ""
    values = content_of(study.experiment)
    values["poisoning"] = {key: value for key, value in values["poisoning"].items() if key not in ATTACKS}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Fork:
    """The rounds before the attack, of the studies with one key.

    Attributes:
        folder: with the checkpoints of these rounds, and their records.
        rounds: their number.
    """

    folder: Path
    rounds: int

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

        return listener

    def wants(self, one: RoundRecord) -> bool:
        """Return whether other runs need the model of a round: it is the last of these, or was measured."""
        return one.round == self.rounds or (one.round < self.rounds and one.clean is not None)

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
        own.write_text("experiment.toml", study.experiment.to_toml())
        shutil.copyfile(kept.file("partition.json"), own.file("partition.json"))
        for path in paths:
            linked(path, own.file(SHARED) / "checkpoints" / path.name)
        record = replace(
            before,
            experiment=study.experiment.to_dict(),
            rounds=(),
            shared=SharedRoundsRecord(rounds=self.rounds, run=kept.file("run").read_text("utf-8")),
            resumed_after=(),
        )
        log = RoundLog.of(own, (replace(one, attack_success=None) for one in state.rounds(kept)))
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
