"""Distillation methods: the loss by which a student learns from its teacher. One file a method."""

from fedrobust.training.distillation_methods.adversarial import AdversarialMethod
from fedrobust.training.distillation_methods.contract import (
    DISTILLATION_METHODS,
    DistillationMethod,
    Teacher,
)
from fedrobust.training.distillation_methods.soft_labels import SoftLabels

__all__ = ["DISTILLATION_METHODS", "AdversarialMethod", "DistillationMethod", "SoftLabels", "Teacher"]
