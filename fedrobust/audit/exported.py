"""An exported LiteRT file as a target of black-box attacks: it has no gradient."""

import threading
from pathlib import Path

import numpy as np
import tensorflow as tf

from fedrobust.edge.about import MEMBER, read_about
from fedrobust.edge.interpreter import Interpreter, Quantisation
from fedrobust.evasion.models.compiled import NotDifferentiableError
from fedrobust.evasion.models.model_file import as_logits, looks_like_probabilities, ordered, probes
from fedrobust.evasion.models.protocol import Labels, Logits, Slopes
from fedrobust.evasion.threat import Images
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import UNDECLARED, Interface


class ExportedTarget:
    """A ``.tflite`` file as a target of black-box attacks, run by one thread at a time.

    Its input format is the declared one, else the one that the file shows (`shown_format`), else ``interface.assumed``.

    Args:
        path: the file.
        interface: its declared input format and class order.

    Raises:
        LiteRTFileError: it cannot be read, or does not take images.
    """

    def __init__(self, path: Path, interface: Interface = UNDECLARED):
        self._interpreter = Interpreter.open(path)
        self._lock = threading.Lock()
        height, width, channels = self._interpreter.image_shape
        self.shape = (height, width, channels)
        shown, _ = shown_format(path, self._interpreter.input_code)
        self.format = interface.input or shown or interface.assumed
        self.labels = interface.labels
        answers = self._asked(probes(self.shape), self.format)
        self._single = answers.shape[1] == 1
        self._output = "probabilities" if looks_like_probabilities(answers) else "logits"
        self.classes = 2 if self._single else int(answers.shape[1])

    def logits(self, images: Images) -> Logits:
        """Return the file's logits in the data's class order."""
        if not len(images):
            return np.zeros((0, self.classes), np.float32)
        return np.asarray(ordered(self.raw(np.clip(images, 0.0, 1.0), self.format), self.labels))

    def raw(self, images: Images, format: InputFormat) -> Logits:
        """Return the logits of `images`, passed in another `format`, in the file's own class order."""
        answers = tf.constant(self._asked(images, format))
        return np.asarray(as_logits(answers, self._output, self._single))

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Raise: an exported file has no gradient."""
        raise NotDifferentiableError("a LiteRT file has no gradient")

    def _asked(self, images: Images, format: InputFormat) -> Logits:
        parts, size = [], self._interpreter.batch
        with self._lock:
            for start in range(0, len(images), size):
                self._interpreter.load(np.asarray(format(tf.constant(images[start : start + size]))))
                self._interpreter.invoke()
                parts.append(self._interpreter.read())
        return np.concatenate(parts)


def shown_format(path: Path, code: Quantisation | None) -> tuple[InputFormat | None, str]:
    """Return the input format that a ``.tflite`` file shows, and what shows it; None if nothing does.

    Files of `fedrobust.edge.export` say in their metadata that they take images in [0, 1].

    Args:
        path: the file.
        code: how its input is quantised; None for float32.

    Raises:
        LiteRTFileError: its metadata are damaged.
    """
    if read_about(path) is not None:
        return UNIT, f"as its {MEMBER} says"
    return (None if code is None else coded_range(code)), "as the quantisation of its input shows"


def coded_range(code: Quantisation) -> InputFormat | None:
    """Return the pixel range of a quantised input; None if it is not a usual one.

    Example:
        >>> str(coded_range(Quantisation(1.0, 0, "uint8"))), str(coded_range(Quantisation(1 / 255, -128)))
        ('0..255', '0..1')
        >>> str(coded_range(Quantisation(2 / 255, -1)))
        '-1..1'
    """
    low, high = code.ends
    for usual in (InputFormat(), InputFormat(0.0, 255.0), InputFormat(-1.0, 1.0)):
        width = usual.high - usual.low
        # The brightest calibration image may be darker than white.
        if abs(low - usual.low) < 0.02 * width and 0.5 * width < high - low < 1.05 * width:
            return usual
    return None
