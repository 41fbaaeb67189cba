"""Defensive distillation: a student of the teacher's own network, at a high temperature."""

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.training.distillation_methods.contract import DISTILLATION_METHODS
from fedrobust.training.distillation_methods.soft_labels import SoftLabels


@DISTILLATION_METHODS.register("defensive")
@dataclass(frozen=True)
class Defensive(SoftLabels):
    """Distil a network of the same architecture at temperature T, used at 1 (Papernot et al., 2015, arXiv:1511.04508).

    The teacher is trained at the same T: ``training.loss = "tempered-cross-entropy(temperature=T)"``. The loss is that
    of `SoftLabels`: T^2 times the student's cross-entropy with the teacher's softened predictions, less their entropy,
    which has no gradient. The paper has no factor T^2, which scales all gradients alike. At temperature 1 the student's
    logits are about T times larger, so that the gradient of its cross-entropy underflows: gradients are masked, and the
    network is not robust (Carlini and Wagner, 2016, arXiv:1607.04311).
    """

    one_class: ClassVar[bool] = True
    same_network: ClassVar[bool] = True
    teacher_softened: ClassVar[bool] = True
