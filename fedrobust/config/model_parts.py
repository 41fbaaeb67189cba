"""Resolve the names in `[model]` that are applied to a trained model; errors begin with the key."""

from typing import Any

from fedrobust.config.naming import make_importable, naming
from fedrobust.config.sections import Model
from fedrobust.defences import DEFENCES, PredictionDefence
from fedrobust.detectors import DETECTORS, Detector
from fedrobust.registry import Registry
from fedrobust.removal import REMOVALS, Removal
from fedrobust.spec import build


def prediction_defence_of(model: Model, base: str = "") -> PredictionDefence | None:
    """Return the prediction-time defence applied to images before the network; None without one.

    Raises:
        ConfigError: there is no such defence, or it does not take the settings given.
    """
    defence: PredictionDefence | None = _named(DEFENCES, "model.defence", model.defence, base)
    return defence


def detector_of(model: Model, base: str = "") -> Detector | None:
    """Return the detector of attacked images on which the trained model abstains; None without one.

    Raises:
        ConfigError: there is no such detector, or it does not take the settings given.
    """
    detector: Detector | None = _named(DETECTORS, "model.detector", model.detector, base)
    return detector


def removal_of(model: Model, base: str = "") -> Removal | None:
    """Return the removal of backdoors that the server applies after the last round; None without one.

    Raises:
        ConfigError: there is no such removal, or it does not take the settings given.
    """
    removal: Removal | None = _named(REMOVALS, "model.removal", model.removal, base)
    return removal


def _named(family: Registry, key: str, spec: str, base: str) -> Any:
    """Return what `spec` names among a family, told of under `key`; None for "none"."""
    if spec == "none":
        return None
    make_importable(base)
    with naming(key, spec):
        return build(family, spec)
