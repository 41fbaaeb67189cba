"""Losses of logits and targets, one value an image. One file a loss."""

from fedrobust.training.losses.balanced_softmax import BalancedSoftmax
from fedrobust.training.losses.binary_cross_entropy import BinaryCrossEntropy
from fedrobust.training.losses.contract import LOSSES, Loss, Objective
from fedrobust.training.losses.cross_entropy import CrossEntropy
from fedrobust.training.losses.distillation import Distillation, MultilabelDistillation
from fedrobust.training.losses.focal import Focal

__all__ = [
    "LOSSES",
    "BalancedSoftmax",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Distillation",
    "Focal",
    "Loss",
    "MultilabelDistillation",
    "Objective",
]
