"""Removal of backdoors from a trained model, one file a method. Importing this package registers them."""

from fedrobust.removal.contract import REMOVALS, Removal, Removed, Suspect
from fedrobust.removal.fine_pruning import FinePruning
from fedrobust.removal.neural_cleanse import NeuralCleanse
from fedrobust.removal.super_fine_tuning import SuperFineTuning

__all__ = [
    "REMOVALS",
    "FinePruning",
    "NeuralCleanse",
    "Removal",
    "Removed",
    "SuperFineTuning",
    "Suspect",
]
