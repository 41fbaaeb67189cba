"""Complete a finished run whose process was stopped after ``result.json`` and before the report and the cleaning up."""

from fedrobust.atomic import disk_faults_told, sweep
from fedrobust.report.page import write
from fedrobust.runs.checkpoint import discard_checkpoints, has_checkpoints
from fedrobust.runs.folder import RunFolder


def complete(folder: RunFolder) -> None:
    """Write the report of a finished run again, if its study wants one, and discard its checkpoints.

    A run discards its checkpoints last of all: a folder without any is complete, and is left as it is.

    Args:
        folder: of a run whose status is "finished".

    Raises:
        RunFolderError: another process is running in the folder.
        DiskError: the folder cannot be written.
    """
    if not has_checkpoints(folder):
        return
    with folder.locked(), disk_faults_told(folder.path):
        sweep(folder.path)
        if folder.result()["experiment"]["output"]["report"]:
            write(folder.path)
        discard_checkpoints(folder)
