"""What an attack is given: whether images, labels and epsilons fit the model, the attack and the threat model."""

import numpy as np

from fedrobust.evasion.contract import Attack
from fedrobust.evasion.models.protocol import Labels, TargetModel
from fedrobust.evasion.threat import Images, Threat, ThreatError


def check_arguments(
    target: TargetModel,
    images: Images,
    labels: Labels,
    chosen: Attack,
    threat: Threat,
    epsilons: list[float],
    known: int,
) -> None:
    """Refuse images, labels or epsilons that do not fit the target, the attack or the threat model.

    Args:
        target: the model.
        images: (n, height, width, channels) float32.
        labels: (n,) int32.
        chosen: the attack.
        threat: the threat model.
        epsilons: bounds of the perturbation's norm.
        known: number of classes; of a multi-label model of label sets.

    Raises:
        ThreatError: one of them does not fit.
    """
    name = type(chosen).__name__
    if threat.norm not in chosen.norms:
        raise ThreatError(f"norm = {threat.norm!r}: {name} supports {', '.join(chosen.norms)}")
    if images.shape[1:] != target.shape or len(images) == 0:
        expected = ("n", *target.shape)
        raise ThreatError(
            f"images have shape {images.shape}: the model takes ({', '.join(map(str, expected))}), n >= 1"
        )
    if labels.shape != (len(images),):
        raise ThreatError(f"labels have shape {labels.shape}: expected ({len(images)},), one an image")
    if labels.min() < 0 or labels.max() >= known:
        raise ThreatError(
            f"labels run from {labels.min()} to {labels.max()}: the model has classes 0 to {known - 1}"
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise ThreatError(f"images run from {images.min()} to {images.max()}: give images in [0, 1]")
    if threat.bits and np.abs(images * 255 - np.rint(images * 255)).max() > 1e-3:
        raise ThreatError(
            f"bits = {threat.bits}: images are not grey levels of 0 to 255; give images as files hold them, or bits = 0"
        )
    if not epsilons or not all(epsilon > 0 for epsilon in epsilons):
        raise ThreatError(f"epsilons = {epsilons}: give at least one, each above 0")
    if threat.norm == "l0" and any(epsilon != int(epsilon) for epsilon in epsilons):
        raise ThreatError(f"epsilons = {epsilons}: with norm l0 they count pixels; give whole numbers")
    if chosen.target_class is not None and not 0 <= chosen.target_class < target.classes:
        raise ThreatError(f"target = {chosen.target_class}: the model has classes 0 to {target.classes - 1}")
