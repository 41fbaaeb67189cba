"""`[training]`: what a client does with its images."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fedrobust.config.sections.section import LARGEST, MOST_BATCH, PixelEpsilon, Section
from fedrobust.epsilon import epsilon_value
from fedrobust.registry import did_you_mean

RECIPE_SETTINGS: dict[str, set[str]] = {
    "plain": set(),
    "fgsm": {"epsilon", "step_size", "random_start", "share"},
    "pgd": {"epsilon", "steps", "step_size", "random_start", "share"},
}
"""The recipes, and the keys of ``[training]`` that each takes; the family itself needs TensorFlow."""


class Training(Section):
    """What a client does with its images in a round."""

    epochs: int = Field(1, ge=1, le=100_000, description="passes over the shard in a round")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="largest batch")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="local optimiser, fresh in every round")
    learning_rate: float = Field(0.001, gt=0, le=LARGEST, description="at the first step of the study")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="how the learning rate falls over all rounds"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: momentum")
    weight_decay: float = Field(0.0, ge=0, le=LARGEST, description="decoupled weight decay")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: n / (classes * n_class)"
    )
    algorithm: str = Field(
        "fedavg", description="federated algorithm: fedavg, fedprox(mu=0.01), or a dotted path"
    )
    proximal: float = Field(
        0.0,
        ge=0,
        le=LARGEST,
        description="the same as algorithm = fedprox(mu=...): weight of half the squared distance to the global model",
    )
    recipe: str = Field("plain", description="plain, fgsm, pgd, or a dotted path")
    epsilon: PixelEpsilon | None = Field(None, description="adversarial recipes: largest change of a pixel")
    steps: int | None = Field(None, ge=1, le=100_000, description="pgd: gradient steps")
    step_size: float | None = Field(
        None, ge=0, le=1, description="adversarial recipes: 0 for the recipe's own choice"
    )
    random_start: bool | None = Field(None, description="adversarial recipes: begin at a random point")
    share: float | None = Field(
        None, gt=0, le=1, description="adversarial recipes: share of a batch attacked"
    )
    space: Literal["native", "prepared"] = Field("native", description="which pixels a recipe perturbs")
    recipe_from: int = Field(1, ge=1, description="round in which the recipe begins; plain training before")

    @property
    def recipe_settings(self) -> dict[str, Any]:
        """The settings of the recipe that the study gives; the recipe's own defaults hold for the others."""
        names = ("epsilon", "steps", "step_size", "random_start", "share")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "epsilon" in given:
            given["epsilon"] = epsilon_value(given["epsilon"])
        return given

    @model_validator(mode="after")
    def _settings_fit_the_recipe(self) -> Self:
        allowed = RECIPE_SETTINGS
        if ":" in self.recipe:
            return self
        if self.recipe not in allowed:
            raise ValueError(
                f'training.recipe = "{self.recipe}"{did_you_mean(self.recipe, allowed)}: choose one of: '
                f"{', '.join(allowed)}; or give a dotted path"
            )
        for name in self.recipe_settings:
            if name not in allowed[self.recipe]:
                raise ValueError(
                    f'training.{name.replace("_", "-")} does nothing with training.recipe = "{self.recipe}": '
                    "take it out, or choose another recipe"
                )
        if self.recipe == "plain" and self.recipe_from > 1:
            raise ValueError(
                f'training.recipe-from = {self.recipe_from} does nothing with training.recipe = "plain": take it out, '
                "or choose another recipe"
            )
        return self

    def in_round(self, round: int) -> "Training":
        """Return the training of a round: plain before the recipe begins."""
        if round >= self.recipe_from:
            return self
        nothing = dict.fromkeys(("epsilon", "steps", "step_size", "random_start", "share"))
        return self.model_copy(update={"recipe": "plain", **nothing})
