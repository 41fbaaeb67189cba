"""A run's model as the base of randomised smoothing: with BatchNorm statistics of noisy images."""

from pathlib import Path
from typing import Any

from fedrobust.config import ConfigError
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

    A prediction-time defence that is a vote over noisy copies is left out: the certificate's own noise takes its place,
    and of the vote with noise added it would be a certificate of another classifier.

    Returns:
        The Keras model, from native images in [0, 1] to logits. Its statistics are the file's where there is nothing to
        move: without BatchNorm, with fewer than 64 validation images, and with another prediction-time defence, which
        the run's statistics are fitted to; the sentence is empty without BatchNorm.

    Raises:
        ModelFileError: the model is missing or damaged.
        ConfigError: the run's images have changed since, or the vote cannot be left out of another network.
        DataError: they are not on this machine.
    """
    model = run.model()
    # Starts TensorFlow, as opening the model does.
    from fedrobust.models.statistics_behind_defence import behind_defence

    study = study_of_run(run, data_root)
    defence, spec = study.prediction_defence, study.experiment.model.defence
    classifier = study.classifier.with_defence(None)
    weights = classifier.weights_of(model)
    notes = []
    if isinstance(defence, Smoothing):
        if weights is None:
            raise ConfigError(
                f'model.defence = "{spec}": model.keras is not of the network of the run\'s study, so that the vote '
                "cannot be left out; its certificate would be that of another classifier"
            )
        model = classifier.deployable(weights)
        notes.append(
            f"the vote of model.defence = {spec} is left out: the certificate's noise takes its place"
        )
    fitted = defence if isinstance(defence, Smoothing) else None
    validation = study.dataset.validation
    if not classifier.layout.statistics:
        pass
    elif defence is not None and fitted is None:
        notes.append(f"BatchNorm statistics are the run's, fitted to {spec}, without noise")
    elif len(validation) < FEWEST_IMAGES:
        shown = "images without noise" if fitted is None else f"images with that of {spec}"
        notes.append(
            f"BatchNorm statistics are the run's, of {shown}: {len(validation)} validation images are too few to "
            f"measure others, {FEWEST_IMAGES} are enough"
        )
    elif weights is None:
        notes.append("BatchNorm statistics are the file's: its network is not that of the run's study")
    else:
        images = calibration_sample(validation, study.seed).images
        noisy = classifier.with_defence(Smoothing(sigma=sigma))
        model = classifier.deployable(behind_defence(noisy, weights, images, fitted))
        notes.append(
            f"BatchNorm statistics are moved to those of {len(images)} validation images with noise of sigma {sigma:g}"
        )
    return model, "; ".join(notes)
