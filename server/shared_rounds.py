"""The rounds that a run takes over from another cell of its sweep."""

import shutil
from dataclasses import replace

from fedrobust.runs.checkpoint import SHARED, Checkpoint
from fedrobust.runs.events import StageStarted, emit
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.round_log import RoundLog
from server.callbacks import AttackSuccess, FinishedRound
from server.recorder import Recorder


def attacked(state: Checkpoint, folder: RunFolder, success: AttackSuccess, recorder: Recorder) -> Checkpoint:
    """Measure the run's own attack on the models of shared rounds, which were computed beside another attack.

    Args:
        state: the run's state.
        folder: of the run, with the models of these rounds where they were not measured yet.
        success: measures the attack.
        recorder: holds the rounds.

    Returns:
        The state, with the rounds as they are now recorded.

    Raises:
        OSError, ValueError: a checkpoint of these rounds is missing or damaged.
    """
    models = RunFolder(folder.file(SHARED))
    if not models.path.is_dir():
        return state
    emit(StageStarted("measuring the attack on the shared rounds"))
    rounds = (
        one
        if one.clean is None
        else replace(
            one, **success(FinishedRound(one.round, Checkpoint.of_round(models, one.round).weights, one))
        )
        for one in recorder.rounds()
    )
    # Until the checkpoint is written, the earlier one finds its rounds in metrics.jsonl.
    recorder.log = RoundLog.of(folder, rounds)
    state = replace(state, result=recorder.run.to_json(), log=recorder.mark)
    state.save(folder)
    recorder.log.publish()
    shutil.rmtree(models.path)
    return state
