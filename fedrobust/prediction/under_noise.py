"""A run's model as the base of randomised smoothing: with BatchNorm statistics of noisy images."""

from pathlib import Path
from typing import Any

from fedrobust.data.calibration_sample import FEWEST_IMAGES, calibration_sample
from fedrobust.defences.smoothing import Smoothing
from fedrobust.runs.run import Run
from fedrobust.study.of_run import study_of_run


def under_noise(run: Run, sigma: float, data_root: str | Path = "") -> tuple[Any, str]:
    """Return a run's global model with BatchNorm statistics under Gaussian noise, and a sentence that says so.

    A run's statistics are those of images without noise, also where it trained with noise: under noise such a network
    may answer with one class. They are moved as noise moves those of the run's validation images; weights stay.

    Args:
        run: finished.
        sigma: standard deviation of the noise, pixels in [0, 1].
        data_root: folder that is searched first for the run's images.

    Returns:
        The Keras model, from native images in [0, 1] to logits. It is the file's where there is nothing to move:
        without BatchNorm, with fewer than 64 validation images, and with a prediction-time defence, which the run's
        statistics are fitted to; the sentence is empty without BatchNorm.

    Raises:
        ModelFileError: the model is missing or damaged.
        ConfigError: the run's images have changed since.
        DataError: they are not on this machine.
    """
    model = run.model()
    # Starts TensorFlow, as opening the model does.
    from fedrobust.models.statistics_behind_defence import behind_defence

    study = study_of_run(run, data_root)
    classifier = study.classifier
    if not classifier.layout.statistics:
        return model, ""
    if study.prediction_defence is not None:
        return (
            model,
            f"BatchNorm statistics are the run's, fitted to {study.experiment.model.defence}, without noise",
        )
    validation = study.dataset.validation
    if len(validation) < FEWEST_IMAGES:
        return model, (
            f"BatchNorm statistics are the run's, of images without noise: {len(validation)} validation images are too "
            f"few to measure others, {FEWEST_IMAGES} are enough"
        )
    weights = classifier.weights_of(model)
    if weights is None:
        return model, "BatchNorm statistics are the file's: its network is not that of the run's study"
    images = calibration_sample(validation, study.seed).images
    moved = behind_defence(classifier.with_defence(Smoothing(sigma=sigma)), weights, images)
    said = f"BatchNorm statistics are moved to those of {len(images)} validation images with noise of sigma {sigma:g}"
    return classifier.deployable(moved), said
