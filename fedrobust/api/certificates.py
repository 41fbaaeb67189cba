"""Certified accuracy of trained models of any origin.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.api.model_request import data_of, interfaces_of, progress_teller, run_of, workers_map
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.evaluation.smoothing import Smoothing
from fedrobust.runs.events import Listener, listening
from fedrobust.runtime import start_tensorflow

if TYPE_CHECKING:
    import keras

    from fedrobust.evasion.models.predictor import Predict
    from fedrobust.models.interfaces import Texts


def certify_model(
    model: "str | Path | keras.Model | Predict",
    data: str = "",
    sigma: float = 0.25,
    *listeners: Listener,
    samples: int = 1000,
    selection: int = 100,
    alpha: float = 0.001,
    radii: Iterable[float] = (),
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    input: "Texts" = "",
    labels: "Texts" = "",
    head: "Texts" = "",
    name: str = "",
    data_root: str | Path = "",
) -> dict[str, Any]:
    """Return the accuracy that randomised smoothing certifies: no change of the image within the radius changes it.

    The certificate holds for the smoothed classifier, which answers with the class that is most frequent under noise
    (Cohen et al., 2019, arXiv:1902.02918), not for the model itself. A model that was not trained with noise of about
    the same sigma is rarely right under it. A constant classifier is certified at every radius.

    A run's BatchNorm statistics are of images without noise, under which its network may answer with one class: those
    of a run folder are moved as the noise moves them on its validation images. Those of a file are taken as they are.

    Args:
        model: a ``.keras``, ``.onnx`` or ``.tflite`` file, a run folder, a Keras model, `torch_model` of a PyTorch
            module; or a function from images (n, height, width, channels) float32 in [0, 1] to logits or probabilities
            (n, classes).
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder, the run's own if empty.
        sigma: standard deviation of the noise, pixels in [0, 1].
        listeners: called with every event.
        samples: noisy images that estimate the probability of an image's class. They limit the radius.
        selection: noisy images that select the class.
        alpha: probability that a certificate is wrong.
        radii: l2, in units of [0, 1]; by default 0, 1/4, 1/2, 1, 1.5, 2, 2.5 and 3 times sigma, up to the largest that
            the samples can certify.
        split: of the data set.
        images: number of images of the split, stratified by class; 0 for all.
        seed: of the noise.
        input: the images that the model takes; see `attack_model`.
        labels: the data's label of each of its outputs; see `attack_model`.
        head: name or number of the output, of a model with several.
        name: of a function.
        data_root: folder that is searched first for data.

    Returns:
        ``certified``: for each radius ``accuracy`` (``value``, ``successes``, ``n``, ``interval``) and
        ``balanced-accuracy``; ``smoothed`` and ``unsmoothed`` accuracy; ``abstains``; ``majority``: the constant
        classifier; ``images``: label, answer (-1: abstains) and radius of each.

    Raises:
        ModelFileError, PredictorError, DataError, ConfigError: an argument cannot be used.
        MisreadModelError: another pixel range or class order gives significantly more correct predictions.

    Example:
        >>> found = fedrobust.certify_model("runs/breast", sigma=0.12, images=50)  # doctest: +SKIP
        >>> found["certified"][2]["accuracy"]["value"]  # doctest: +SKIP
        0.68
    """
    radii = sorted(radii)
    if radii and radii[0] < 0:
        raise ConfigError(f"radii = {radii}: choose numbers from 0")
    smoothing = Smoothing(sigma, selection, samples, alpha)
    interfaces = interfaces_of(input, labels, head)
    start_tensorflow(cores())
    from fedrobust.audit.certified import certified
    from fedrobust.prediction.under_noise import under_noise

    usual = [sigma * times for times in (0, 0.25, 0.5, 1, 1.5, 2, 2.5, 3)]
    radii = radii or [radius for radius in usual if radius <= smoothing.largest_radius]
    dataset, run = data_of(model, data, data_root), run_of(model)
    base = (None, "") if run is None else under_noise(run, sigma, data_root)
    with listening(*listeners), ThreadPoolExecutor(cores()) as pool:
        return certified(
            model,
            dataset,
            smoothing,
            radii,
            split=split,
            images=images,
            seed=seed,
            interfaces=interfaces,
            name=name,
            base=base,
            map=workers_map(pool),
            report=progress_teller(),
        )
