"""Training recipes: the loss of a batch in one step. One file a recipe."""

from fedrobust.training.recipes.adversarial import AdversarialRecipe
from fedrobust.training.recipes.fgsm import FGSMTraining
from fedrobust.training.recipes.pgd import PGDTraining
from fedrobust.training.recipes.plain import Plain
from fedrobust.training.recipes.recipe import RECIPES, Batch, Recipe, StepLoss

__all__ = [
    "RECIPES",
    "AdversarialRecipe",
    "Batch",
    "FGSMTraining",
    "PGDTraining",
    "Plain",
    "Recipe",
    "StepLoss",
]
