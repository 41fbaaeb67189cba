"""Augmentations: random transformations of a batch inside the training graph, drawn in every step. One file each."""

from fedrobust.training.augmentations.affine import Affine
from fedrobust.training.augmentations.blur import Blur
from fedrobust.training.augmentations.contract import AUGMENTATIONS, Augmentation, augmented
from fedrobust.training.augmentations.contrast import Contrast
from fedrobust.training.augmentations.cutout import Cutout
from fedrobust.training.augmentations.flip import Flip
from fedrobust.training.augmentations.jpeg import JPEGCompression
from fedrobust.training.augmentations.mixup import Mixup
from fedrobust.training.augmentations.noise import Noise

__all__ = [
    "AUGMENTATIONS",
    "Affine",
    "Augmentation",
    "Blur",
    "Contrast",
    "Cutout",
    "Flip",
    "JPEGCompression",
    "Mixup",
    "Noise",
    "augmented",
]
