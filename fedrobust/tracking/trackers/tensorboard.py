"""TensorBoard: event files, written by TensorFlow itself. Only looking at them takes the package ``tensorboard``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.lazy import tf
from fedrobust.tracking import TRACKERS
from fedrobust.tracking.tracker import Final, Tracker

SUBFOLDER = "tensorboard"


@TRACKERS.register("tensorboard")
@dataclass
class TensorBoard(Tracker):
    """Write event files for TensorBoard into the run folder, or below another one.

    Scalars of a round have the round as their step; final figures are below ``final/``, settings and verdict are
    texts. TensorBoard keeps scalars as float32. Show them with ``tensorboard --logdir runs``.

    Args:
        folder: where to write, in a subfolder named like the run; ``tensorboard`` in the run folder if empty.

    Source: https://www.tensorflow.org/tensorboard

    Example:
        >>> fedrobust.run("breast", log=["tensorboard"])  # doctest: +SKIP
    """

    folder: str = ""

    def start(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        """Begin an event file, without those of a run that is resumed."""
        place = Path(self.folder).expanduser() / folder.name if self.folder else folder / SUBFOLDER
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = tf.summary.create_file_writer(str(place))
        self._round = 0
        rows = "".join(f"| {key} | {_cell(value)} |\n" for key, value in settings.items() if value != "")
        self._text("study", f"| setting | value |\n| --- | --- |\n{rows}")

    def log(self, round: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of a round."""
        self._round = round
        with self._writer.as_default(step=round):
            for tag, value in scalars.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), metadata=_metadata("scalars", 1))
        self._writer.flush()

    def finish(self, final: Final) -> None:
        """Write final figures and verdict, and close the file."""
        self.log(self._round, {f"final/{tag}": value for tag, value in final.scalars.items()})
        for name, words in final.words.items():
            self._text(name, words)
        self._writer.close()

    def _text(self, tag: str, text: str) -> None:
        with self._writer.as_default(step=self._round):
            tf.summary.write(tag, tf.constant(text), metadata=_metadata("text", 2))
        self._writer.flush()


def _metadata(plugin: str, data_class: int) -> Any:
    """Return what tells TensorBoard how to show a value; `tf.summary.scalar` needs the package for the same."""
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = plugin
    metadata.data_class = data_class
    return metadata


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|")
