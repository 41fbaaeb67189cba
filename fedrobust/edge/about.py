"""What a reader has to know of an exported file, inside of the file itself."""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.data.conversion import NOT_KNOWN, Conversion
from fedrobust.edge.interpreter import LiteRTFileError

MEMBER = "about.json"
LABELS = "labels.txt"
MOST_BYTES = 2**20
"""Most bytes of a member that is read: a file may come from anywhere."""

STEPS = {
    "pad": "grey (1 channel) or RGB (3), resampled bicubically to width x height, aspect ratio kept, padded with black",
    "crop": "grey (1 channel) or RGB (3), cropped to the central square, resampled bicubically to width x height",
}
"""What a caller does to an image, by how images became square."""


@dataclass(frozen=True)
class About:
    """Labels and input of an exported file.

    A ``.tflite`` file carries this as a ZIP archive behind the model, which LiteRT passes over: the way in which TFLite
    Metadata packs associated files. Any program that opens archives reads it, as ``unzip -p FILE labels.txt``. An
    ``.onnx`` file has the same JSON in its ``metadata_props``, under "fedrobust".

    Args:
        labels: names of the outputs, in order.
        image_shape: (height, width, channels) of the images that it takes.
        multilabel: whether an image may have several of the labels (a sigmoid for each), or one (a softmax).
        model: name of the model.
        data: name of the data that the labels are of.
        defence: spec of the prediction-time defence inside; empty: none, or not known.
        conversion: how images became those of the data.

    Example:
        >>> about = About(("benign", "malignant"), (28, 28, 1))
        >>> about.to_json()["input"]["shape"], About.of(about.to_json()) == about
        ([28, 28, 1], True)
    """

    labels: tuple[str, ...]
    image_shape: tuple[int, ...]
    multilabel: bool = False
    model: str = ""
    data: str = ""
    defence: str = ""
    conversion: Conversion = NOT_KNOWN

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "schema": 1,
            "model": self.model,
            "data": self.data,
            "labels": list(self.labels),
            "task": "several labels an image" if self.multilabel else "one label an image",
            "input": {
                "shape": list(self.image_shape),
                "axes": "height, width, channels",
                "range": [0, 1],
                "from-8-bit": "divide by 255",
                "preprocessing": STEPS[self.conversion.fit or "pad"],
                **self.conversion.to_json(),
                "quantised": "where the input tensor has a scale: code = round(value / scale) + zero point",
            },
            "output": "logits: one a label; softmax of one label an image, sigmoid of several; not calibrated",
            "defence-inside": self.defence,
            "notice": "no medical device",
        }

    @classmethod
    def of(cls, content: Any) -> "About":
        """Return what `to_json` wrote.

        Raises:
            ValueError: a key is missing or of another kind, or the range is not that of exported files.
        """
        try:
            labels, shape, range = content["labels"], content["input"]["shape"], content["input"]["range"]
            if list(range) != [0, 1]:
                raise ValueError(f"range = {range!r}: exported files take images in [0, 1]")
            if not all(isinstance(label, str) for label in labels) or not labels:
                raise ValueError(f"labels = {labels!r}: names are texts")
            model, data, defence = (str(content.get(key, "")) for key in ("model", "data", "defence-inside"))
            return cls(
                tuple(labels),
                tuple(int(side) for side in shape),
                content["task"].startswith("several"),
                model,
                data,
                defence,
                Conversion.of(content["input"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def behind(self, content: bytes) -> bytes:
        """Return a LiteRT model's `content` with this behind it; equal arguments give equal bytes."""
        whole = io.BytesIO(content)
        with zipfile.ZipFile(whole, "a") as archive:
            for name, text in ((LABELS, self.lines()), (MEMBER, json.dumps(self.to_json(), indent=2) + "\n")):
                archive.writestr(zipfile.ZipInfo(name), text)  # of 1980: the content alone decides the bytes
        return whole.getvalue()

    def lines(self) -> str:
        """Return the content of ``labels.txt``: a label a line, in the order of the outputs."""
        return "".join(" ".join(label.split()) + "\n" for label in self.labels)


def read_about(path: Path) -> About | None:
    """Return what a ``.tflite`` file says of itself; None if it says nothing.

    Raises:
        LiteRTFileError: what it says cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                return None
            size = archive.getinfo(MEMBER).file_size
            if size > MOST_BYTES:
                raise ValueError(f"{size:,} bytes; allowed: {MOST_BYTES:,}")
            return About.of(json.loads(archive.read(MEMBER)))
    except (
        OSError,
        ValueError,
        zipfile.BadZipFile,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ) as error:
        raise LiteRTFileError(f"{path}: its {MEMBER} is damaged: {error}; export the model again") from error
