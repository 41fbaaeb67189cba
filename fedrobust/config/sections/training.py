"""`[training]`: what a client does with its images."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fedrobust.config.sections.section import LARGEST, MOST_BATCH, Section
from fedrobust.models.layers import Layers
from fedrobust.spec import Spec


class Training(Section):
    """What a client does with its images in a round."""

    epochs: int = Field(1, ge=1, le=100_000, description="passes over the shard in a round")
    batch_size: int = Field(32, ge=1, le=MOST_BATCH, description="largest batch size")
    optimizer: str = Field(
        "adam",
        description="local optimiser, reset in every round, as in sgd(momentum=0.9, nesterov=True), or a dotted path",
    )
    learning_rate: float = Field(0.001, gt=0, le=LARGEST, description="at the first step of the study")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="how the learning rate falls over all rounds"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the study over which the learning rate first rises from 0"
    )
    loss: str = Field(
        "cross-entropy",
        description="as in cross-entropy(label_smoothing=0.1), balanced-softmax, focal, or a dotted path",
    )
    augmentations: tuple[str, ...] = Field(
        (),
        description="random changes of every batch, in order, as in flip, affine(rotation=15), mixup, or dotted paths",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: class weights n / (classes * n_class)"
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
    recipe: str = Field(
        "plain",
        description="training recipe of a step, as in pgd(epsilon='8/255', steps=7), or a dotted path",
    )
    space: Literal["native", "prepared"] = Field("native", description="pixels that a recipe perturbs")
    recipe_from: int = Field(1, ge=1, description="round in which the recipe begins; plain training before")
    layers: str = Field(
        "all",
        description="layers that are trained and sent, the others are frozen: all, head, last-N (layers), blocks:K",
    )

    cache_features: bool = Field(
        True,
        description="with layers = head and plain training, compute what the head sees of an image once; moved copies "
        "(data.augment) are then drawn once",
    )

    @field_validator("layers")
    @classmethod
    def _known_layers(cls, value: str) -> str:
        Layers.parse(value)
        return value

    @property
    def attacks_used(self) -> tuple[str, ...]:
        """The attack that the recipe trains on, by the recipe's name; none for plain training."""
        name = Spec.parse(self.recipe).name
        return () if name == "plain" else (name,)

    @property
    def features_are_cached(self) -> bool:
        """Whether the head is trained on features: no step changes an image, so they are the same in every step."""
        plain = self.recipe == "plain" and not self.augmentations
        return self.cache_features and self.layers == "head" and plain

    @model_validator(mode="after")
    def _there_is_a_recipe_to_begin(self) -> Self:
        if self.recipe == "plain" and self.recipe_from > 1:
            raise ValueError(
                f'training.recipe-from = {self.recipe_from} does nothing with training.recipe = "plain": take it out, '
                "or choose another recipe"
            )
        return self

    def in_round(self, round: int) -> "Training":
        """Return the training of a round: plain before the recipe begins."""
        return self if round >= self.recipe_from else self.model_copy(update={"recipe": "plain"})
