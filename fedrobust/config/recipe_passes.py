"""The cost of a training recipe's step, in steps of plain training."""

from fedrobust.config.naming import make_importable, naming
from fedrobust.config.sections import Training
from fedrobust.spec import Spec, build
from fedrobust.training.recipes import RECIPES, AdversarialRecipe

FORWARD = 1 / 3
"""A forward pass: the backward one takes about twice as long."""

CRAFTING = {"trades": FORWARD}
"""What recipes compute beside their gradient steps before the loss."""

LOSS = {
    "trades": 2.0,
    "mart": 2.0,
    "logit-pairing": 2.0,
    "fedrbn": 2.0,
    "pseudo-noise": 2.0,
    "dbfat": 1 + FORWARD,
    "grad-align": 5 - 2 * FORWARD,
    "gradient-penalty": 4 - 2 * FORWARD,
    "gan-trainer": 4.0,
}
"""Passes of the loss and its gradient, where they are not one; the penalties have more backward than forward ones."""


def passes_of_recipe(training: Training, base: str = "") -> float:
    """Return the passes of one batch of a recipe, each a forward and a backward pass as in plain training.

    An own recipe counts as its gradient steps, if it extends `AdversarialRecipe`, and one pass more. The table in
    ``docs/studies.md`` has the same numbers.

    Args:
        training: names the recipe.
        base: folder of the study file, where a user's own recipe may be.

    Raises:
        ConfigError: there is no such recipe, or it does not take the settings given.

    Example:
        >>> passes_of_recipe(Training()), passes_of_recipe(Training(recipe="pgd(steps=5)"))
        (1.0, 6.0)
    """
    make_importable(base)
    with naming("training.recipe", training.recipe):
        return _passes(training.recipe)


def _passes(spec: str) -> float:
    name, recipe = Spec.parse(spec).name, build(RECIPES, spec)
    if name == "advprop":
        return _passes(recipe.recipe) + 1
    if name == "awp":
        return _passes(recipe.recipe) + LOSS.get(Spec.parse(recipe.recipe).name, 1.0)
    if name == "free":
        return float(recipe.replays)
    steps = recipe.steps if isinstance(recipe, AdversarialRecipe) else 0
    return steps + CRAFTING.get(name, 0.0) + LOSS.get(name, 1.0)
