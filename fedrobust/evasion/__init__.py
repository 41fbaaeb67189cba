"""Attacks on the inputs of a trained model: one file an attack. Importing this package registers them."""

from fedrobust.evasion.attack import ATTACKS
from fedrobust.evasion.fgsm import FGSM

__all__ = ["ATTACKS", "FGSM"]
