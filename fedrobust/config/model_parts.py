"""Resolve the names in `[model]` that are applied to a trained model; errors begin with the key."""

from fedrobust.config.naming import make_importable, naming
from fedrobust.config.sections import Model
from fedrobust.defences import DEFENCES, PredictionDefence
from fedrobust.detectors import DETECTORS, Detector
from fedrobust.removal import REMOVALS, Removal
from fedrobust.spec import build


def prediction_defence_of(model: Model, base: str = "") -> PredictionDefence | None:
    """Return the prediction-time defence applied to images before the network; None without one.

    Raises:
        ConfigError: there is no such defence, or it does not take the settings given.
    """
    if model.defence == "none":
        return None
    make_importable(base)
    with naming("model.defence", model.defence):
        defence: PredictionDefence = build(DEFENCES, model.defence)
    return defence


def detector_of(model: Model, base: str = "") -> Detector | None:
    """Return the detector of attacked images on which the trained model abstains; None without one.

    Raises:
        ConfigError: there is no such detector, or it does not take the settings given.
    """
    if model.detector == "none":
        return None
    make_importable(base)
    with naming("model.detector", model.detector):
        detector: Detector = build(DETECTORS, model.detector)
    return detector


def removal_of(model: Model, base: str = "") -> Removal | None:
    """Return the removal of backdoors that the server applies after the last round; None without one.

    Raises:
        ConfigError: there is no such removal, or it does not take the settings given.
    """
    if model.removal == "none":
        return None
    make_importable(base)
    with naming("model.removal", model.removal):
        removal: Removal = build(REMOVALS, model.removal)
    return removal
