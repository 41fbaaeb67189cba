"""Predictions on single images."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedrobust.prediction import Predictions


def predict(
    model: str | Path,
    *images: Any,
    fit: str = "pad",
    window: tuple[float, float] | None = None,
    split: str = "test",
) -> "Predictions":
    """Classify single images with a run's model.

    Images are prepared as `import_images` does: grey or colour as the model takes them, resampled bicubically to its
    size with the aspect ratio kept.

    Args:
        model: a run folder (its global model), or a ``.keras`` or ``.tflite`` file in one.
        images: paths of image files (PNG, JPEG, DICOM, ...), of folders, and of ``.npz`` files; arrays of one image,
            uint8 (height, width) or (height, width, 1 or 3); images of Pillow; or lists of these.
        fit: "pad": the whole image, centred on black; "crop": its largest centred square.
        window: values of black and white, of pixels deeper than 8 bits.
        split: of ``.npz`` files: "train", "validation" or "test".

    Returns:
        A sequence of `Prediction`: ``image``, ``name``, ``label``, ``probability``, ``probabilities``, ``changes``;
        as a table: ``.table``. Probabilities are the softmax of the logits and not calibrated.

    Raises:
        ModelFileError, LiteRTFileError, RunFolderError: the model cannot be used.
        DataError: an image cannot be read, or a setting is wrong.

    Example:
        >>> fedrobust.predict("runs/breast", "scan.png")[0].name  # doctest: +SKIP
        'malignant'
    """
    # Pillow and what decodes images are not needed by other commands.
    from fedrobust.prediction import predict as classified

    return classified(model, _flat(images), fit=fit, window=window, split=split)


def _flat(images: Iterable[Any]) -> Iterable[Any]:
    for each in images:
        if isinstance(each, list | tuple):
            yield from each
        else:
            yield each
