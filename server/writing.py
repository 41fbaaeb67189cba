"""The error of a run folder that cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager

from fedrobust.deployment.keys import site_names
from fedrobust.runs.folder import RunFolder, UnwritableRunError
from fedrobust.runs.resume_command import resume_command


@contextmanager
def writing(folder: RunFolder) -> Iterator[None]:
    """Raise an error with advice if a file of the run folder cannot be written within the block.

    Raises:
        UnwritableRunError: a disk is full, read-only or broken.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        begun = any(folder.file("checkpoints").glob("round-*.npz"))
        command = resume_command(folder.path, site_names() is not None)
        what = f"go on with: {command}" if begun else "start the study anew"
        raise UnwritableRunError(
            f"{folder.path}: a file of the run cannot be written: {error.strerror or error}; what is in the folder is "
            f"whole: make room, then {what}"
        ) from error
