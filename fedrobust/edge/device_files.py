"""The files beside an exported file: its labels, and a script that classifies images without this project."""

from importlib.resources import files
from pathlib import Path

from fedrobust.atomic import atomic
from fedrobust.edge.about import LABELS, About

SCRIPT = "classify.py"


def write_device_files(folder: Path, about: About) -> None:
    """Write ``labels.txt`` and ``classify.py`` into the folder of exported files.

    The script takes any of the ``.tflite`` files there and images; it needs ai-edge-litert, NumPy and Pillow.

    Args:
        folder: of the files; it exists.
        about: their labels.
    """
    script = files("fedrobust.edge").joinpath(f"{SCRIPT}.txt").read_text(encoding="utf-8")
    for name, text in ((LABELS, about.lines()), (SCRIPT, script)):
        with atomic(folder / name) as draft:
            draft.write_text(text, encoding="utf-8")
