"""Write a Keras model as a file, and leave nothing else behind."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.temporary import temporary_folder

if TYPE_CHECKING:
    import keras

_alone = threading.Lock()


def save_model(model: "keras.Model", path: Path) -> None:
    """Write `model` to a ``.keras`` file.

    Keras collects assets in a folder for temporary files, which stays where the process is killed: here it lies in one
    that the next start removes.
    """
    with temporary_folder("fedrobust-saving-") as folder, _temporary_files_in(folder):
        model.save(path)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    with _alone:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before
