"""What a malicious client computes with its model and its images, beside arithmetic on vectors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.spec import SpecError

NO_IMAGES = Split(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int32))
"""Stands in for a client's images outside of a study: a split has at least one."""


def _no_model(*_: Any, **__: Any) -> Any:
    raise SpecError("this attack needs the global model and a client's images: it runs in a study only")


def _as_they_are(weights: Weights) -> Weights:
    return weights


@dataclass(frozen=True, eq=False)
class AttackerTools:
    """A malicious client's images, and functions of weights.

    Attributes:
        clean: its images and labels as they are.
        poisoned: as the attack poisons them in this round; those of `clean` while the attack prepares the round.
        update: ``update(start, split, trained=None, epochs=None, **changed)``: the weights after a local update from
            `start` on the images of `split`, as the study trains; `trained` (parameters,) bool is the mask of the
            parameters that steps change, `epochs` the passes over the images, `changed` other settings of
            ``[training]`` that differ. The order of the images is that of the round.
        logits: ``logits(weights, images)``: (n, classes) float32 of uint8 images, in inference mode.
        gradients: ``gradients(weights, images, labels)``: cross-entropy's gradients by `images`, float32 in [0, 1]
            (n, height, width, channels), each image's own.
        measured: ``measured(weights)``: `weights` with BatchNorm statistics of `clean` images; after a few steps,
            moving statistics fit no weights.
        success: ``success(weights)``: the share of `clean` images to which the attack's success criterion applies, and
            that are classified as the attacker wants, statistics being `measured`; NaN where there are none.
    """

    clean: Split = field(default_factory=lambda: NO_IMAGES)
    poisoned: Split = field(default_factory=lambda: NO_IMAGES)
    update: Callable[..., Weights] = _no_model
    logits: Callable[[Weights, np.ndarray], np.ndarray] = _no_model
    gradients: Callable[[Weights, np.ndarray, np.ndarray], np.ndarray] = _no_model
    success: Callable[[Weights], float] = _no_model
    measured: Callable[[Weights], Weights] = _as_they_are
