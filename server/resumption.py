"""Resume a run: its state, its record and the states of its clients."""

from dataclasses import replace

from fedrobust.deployment.keys import site_names
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.promised import told
from fedrobust.runs.record import RunRecord
from fedrobust.runs.round_log import RoundLog
from fedrobust.study.file_digests import file_digests
from server.parts import ServerParts
from server.promises import privacy_record, promised_together, repeated_rounds
from server.recorder import Recorder
from server.resume import check_states, resumed_from

REPEATED = (
    "privacy: round {} may have been trained at sites before the run was stopped, and is trained again with new noise: "
    "it counts twice"
)


def resumed(parts: ServerParts, recorder: Recorder, folder: RunFolder) -> Checkpoint:
    """Return the state at which the run in `folder` stopped, with the record of its rounds in `recorder`.

    Args:
        parts: of the study's server; simulated clients get their states back.
        recorder: of the run.
        folder: of the run.

    Raises:
        ConfigError: study, data, partition or clients differ from the run's.
    """
    study, grid, experiment = parts.study, parts.grid, parts.study.experiment
    state = resumed_from(
        folder,
        experiment.to_dict(),
        study.dataset,
        study.partition,
        recorder.run.environment,
        study.network_digest,
        file_digests(study),
        site_names() is not None,
    )
    remark = ""
    if not isinstance(grid, SimulatedGrid) and state.round < experiment.federation.rounds:
        remark = check_states(folder, study.algorithm, experiment.training.algorithm, state.round)
    before = RunRecord.read(state.result)
    log = RoundLog.continued(folder, state.log)
    for one in before.rounds:
        log.append(one)
    recorder.log, before = log, replace(before, rounds=())
    if before.shared is not None and before.shared.rounds == state.round:
        recorder.start_after(before)
    else:
        recorder.go_on(before, state.round)
    if remark:
        recorder.note(remarks=(*recorder.run.remarks, remark))
    if isinstance(grid, SimulatedGrid):
        grid.restore(state.clients)
    elif state.round < experiment.federation.rounds:
        repeated = repeated_rounds(recorder.run)
        promised = promised_together(before.privacy, privacy_record(parts, repeated))
        others = [one for one in recorder.run.remarks if one not in told(before.privacy)]
        again = () if promised is None or not promised.promises else (REPEATED.format(state.round + 1),)
        recorder.note(privacy=promised, remarks=(*others, *told(promised), *again))
    # A round with a record but without a checkpoint is run again.
    log.publish()
    return state
