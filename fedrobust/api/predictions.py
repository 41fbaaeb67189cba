"""Predictions on single images."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.evaluation.smoothing import Smoothing

if TYPE_CHECKING:
    from fedrobust.prediction import Predictions


def predict(
    model: str | Path,
    *images: Any,
    fit: str = "",
    window: tuple[float, float] | None = None,
    split: str = "test",
    sigma: float = 0.0,
    samples: int = 1000,
    alpha: float = 0.001,
    seed: int | None = None,
    skip_unreadable: bool = False,
) -> "Predictions":
    """Classify single images with a run's model.

    Images are prepared as `import_images` does: grey or colour as the model takes them, resampled bicubically to its
    size with the aspect ratio kept.

    Args:
        model: a run folder (its global model), or a ``.keras`` or ``.tflite`` file in one.
        images: paths of image files (PNG, JPEG, DICOM, ...), of folders, and of ``.npz`` files; arrays of one image,
            uint8 (height, width) or (height, width, 1 or 3); images of Pillow; or lists of these.
        fit: "pad": the whole image, centred on black; "crop": its largest centred square; empty: as an import made the
            model's images, else "pad".
        window: values of black and white, of pixels deeper than 8 bits; None: those of the model's images, where an
            import recorded them.
        split: of ``.npz`` files: "train", "validation" or "test".
        sigma: standard deviation of Gaussian noise, pixels in [0, 1]: the answers are the smoothed model's, each with
            a certified radius, or it abstains (see `certify_model`); 0: the model itself.
        samples: noisy copies of an image that estimate the probability of its class; another 100 select the class.
        alpha: probability that a certificate is wrong, an image.
        seed: of the noise; None: the system's random numbers, which nobody can know when an image is made.

        skip_unreadable: whether images that cannot be read are left out; ``.unreadable`` names them.

    Returns:
        A sequence of `Prediction`: ``image``, ``name``, ``label``, ``probability``, ``probabilities``, ``changes``,
        ``radius``; as a table: ``.table``. Probabilities are the softmax of the logits and not calibrated, or shares of
        the noisy copies.

    Raises:
        ModelFileError, LiteRTFileError, RunFolderError: the model cannot be used.
        DataError: an image cannot be read, a setting is wrong, or a multi-label model is to be smoothed.
        ConfigError: sigma, samples or alpha is outside of its range.

    Example:
        >>> fedrobust.predict("runs/breast", "scan.png")[0].name  # doctest: +SKIP
        'malignant'
    """
    # Pillow and what decodes images are not needed by other commands.
    from fedrobust.prediction import predict as classified

    smoothing = draw = None
    if not sigma and (samples, alpha) != (1000, 0.001):
        raise ConfigError(
            f"samples = {samples}, alpha = {alpha}: they are of the smoothed model; set sigma, too"
        )
    if sigma:
        smoothing, draw = Smoothing(sigma, samples=samples, alpha=alpha), np.random.default_rng(seed)
    return classified(
        model,
        _flat(images),
        fit=fit,
        window=window,
        split=split,
        smoothing=smoothing,
        draw=draw,
        skip_unreadable=skip_unreadable,
    )


def _flat(images: Iterable[Any]) -> Iterable[Any]:
    for each in images:
        if isinstance(each, list | tuple):
            yield from each
        else:
            yield each
