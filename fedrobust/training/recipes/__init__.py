"""Recipes: what one training step does with a batch. One file a recipe."""

from fedrobust.training.recipes.fgsm import FGSMTraining
from fedrobust.training.recipes.pgd import PGDTraining
from fedrobust.training.recipes.plain import Plain
from fedrobust.training.recipes.recipe import RECIPES, Batch, Recipe, StepLoss

__all__ = ["RECIPES", "Batch", "FGSMTraining", "PGDTraining", "Plain", "Recipe", "StepLoss"]
