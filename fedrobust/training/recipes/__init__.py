"""Recipes: what one training step does with a batch. One file a recipe; importing this package registers them."""

from fedrobust.training.recipes.adversarial import FGSMTraining, PGDTraining
from fedrobust.training.recipes.plain import Plain
from fedrobust.training.recipes.recipe import RECIPES, Batch, Recipe, StepLoss

__all__ = ["RECIPES", "Batch", "FGSMTraining", "PGDTraining", "Plain", "Recipe", "StepLoss"]
