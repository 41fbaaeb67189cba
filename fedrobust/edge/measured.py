"""Export a model, measure every file, and replace int8 where it changes too many answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedrobust.edge.about import About
from fedrobust.edge.choice import FALLBACKS, fallback
from fedrobust.edge.errors import NoIntegerFormError
from fedrobust.edge.export import export
from fedrobust.edge.interpreter import Images
from fedrobust.edge.result import EdgeResult, measure_export

if TYPE_CHECKING:
    import keras


def exported_and_measured(
    model: "keras.Model",
    folder: Path,
    formats: Sequence[str],
    calibration: Images,
    images: Images,
    labels: ArrayLike,
    model_logits: NDArray[np.floating],
    about: About,
    *,
    stem: str = "model",
    refused: Callable[[str], None] | None = None,
    **measuring: Any,
) -> tuple[EdgeResult, ...]:
    """Write a model in several formats, and return the figures of each file, in the order of writing.

    Args:
        model: takes float32 images (n, height, width, channels) in [0, 1], returns logits (n, classes).
        folder: where to write.
        formats: names of `fedrobust.edge.formats.FORMATS`; a fallback of int8 is added where it is needed.
        calibration: training images, for the ranges of int8 activations.
        images: test images, (n, height, width, channels) in [0, 1].
        labels: (n,) true classes, or label sets of a multi-label model.
        model_logits: the Keras model's logits of `images`, (n, classes).
        about: labels and input, written into every file.
        stem: first part of the file names.
        refused: told why a format with integer activations cannot be written, which is then replaced as one that
            changes too many answers is; None: that is an error.
        measuring: further arguments of `measure_export`, such as ``memory=True``.

    Raises:
        ExportError: a format cannot be written.
    """
    measured: list[EdgeResult] = []
    missing: list[str] = []
    waiting = list(dict.fromkeys(formats))
    while waiting:
        try:
            files = export(model, folder, waiting, calibration, stem=stem, about=about)
        except NoIntegerFormError as error:
            if refused is None:
                raise
            refused(str(error))
            missing.append(error.format)
            waiting = [each for each in waiting if each != error.format] or [FALLBACKS[0]]
            continue
        measured += [
            measure_export(path, model_logits, images, labels, about.multilabel, **measuring)
            for path in files.values()
        ]
        following = fallback(measured, "int8" in missing)
        waiting = [following] if following else []
    return tuple(measured)
