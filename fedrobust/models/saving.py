"""Write a Keras model as a file, and leave nothing else behind."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.temporary import temporary_files_in

if TYPE_CHECKING:
    import keras


def save_model(model: "keras.Model", path: Path) -> None:
    """Write `model` to a ``.keras`` file.

    Keras collects assets in a folder for temporary files, which stays where the process is killed: here it lies in one
    that the next start removes.
    """
    with temporary_files_in("fedrobust-saving-"):
        model.save(path)
