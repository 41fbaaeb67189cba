"""`[training]`: what a client does with its images."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fedrobust.config.sections.section import LARGEST, MOST_BATCH, Section
from fedrobust.models.layers import Layers
from fedrobust.training.recipes.recipe import attacks_of


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
        "fedavg", description="federated algorithm, as in fedprox(mu=0.01), scaffold, or a dotted path"
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
    recipe_clients: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the clients that train with the recipe; the others plainly (fedrbn: calibrated)",
    )
    layers: str = Field(
        "all",
        description="layers that are trained and sent, the others are frozen: all, head, last-N (layers), blocks:K",
    )

    unfreeze: tuple[str, ...] = Field(
        (),
        description='more layers from rounds on, as in ["4: last-20", "8: all"]; all of them are exchanged',
    )
    backbone_rate: float = Field(
        1.0, gt=0, le=LARGEST, description="factor of the learning rate of all layers below the head"
    )
    cache_features: bool = Field(
        True,
        description="with layers = head and plain training, compute each image's features once; augmented copies "
        "(data.augment) are then drawn once",
    )

    @field_validator("layers")
    @classmethod
    def _known_layers(cls, value: str) -> str:
        Layers.parse(value)
        return value

    @property
    def attacks_used(self) -> tuple[str, ...]:
        """The evasion attacks on which the recipe trains; none for plain training."""
        return attacks_of(self.recipe)

    @field_validator("unfreeze")
    @classmethod
    def _rounds_and_layers(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            unfrozen(value)
        return values

    @model_validator(mode="after")
    def _more_and_more_layers(self) -> Self:
        before, layers = 1, self.layers
        for value in self.unfreeze:
            round, more = unfrozen(value)
            if round <= before or more == layers or not Layers.parse(layers).within(Layers.parse(more)):
                raise ValueError(
                    f'training.unfreeze = {list(self.unfreeze)}: "{value}" after "{layers}" from round {before} on: '
                    "rounds ascend, and each choice of layers holds the one before and more"
                )
            before, layers = round, more
        if self.backbone_rate != 1 and layers == "head":
            raise ValueError(
                f'training.backbone-rate = {self.backbone_rate} does nothing with training.layers = "head": take it '
                "out, or train more layers"
            )
        return self

    @property
    def trained_layers(self) -> str:
        """The layers that are trained in some round: those that are sent."""
        return unfrozen(self.unfreeze[-1])[1] if self.unfreeze else self.layers

    @property
    def features_are_cached(self) -> bool:
        """Whether the head is trained on features: no step changes an image, so they are the same in every step."""
        plain = self.recipe == "plain" and not self.augmentations
        return self.cache_features and self.trained_layers == "head" and plain

    @model_validator(mode="after")
    def _there_is_a_recipe_to_begin(self) -> Self:
        for name, value, default in (
            ("recipe-from", self.recipe_from, 1),
            ("recipe-clients", self.recipe_clients, 1.0),
        ):
            if self.recipe == "plain" and value != default:
                raise ValueError(
                    f'training.{name} = {value} does nothing with training.recipe = "plain": take it out, or choose '
                    "another recipe"
                )
        return self

    def in_round(self, round: int) -> "Training":
        """Return the training of a round: plain before the recipe begins, and of the layers that are not frozen."""
        begun = [layers for first, layers in map(unfrozen, self.unfreeze) if first <= round]
        changed = {"recipe": "plain"} if round < self.recipe_from else {}
        changed |= {"layers": begun[-1]} if begun else {}
        return self.model_copy(update=changed) if changed else self


def unfrozen(text: str) -> tuple[int, str]:
    """Return the round and the layers of a line of ``training.unfreeze``.

    Example:
        >>> unfrozen("4: last-20")
        (4, 'last-20')

    Raises:
        ValueError: it is no round and layers.
    """
    round, _, layers = (part.strip() for part in text.partition(":"))
    if not (round.isascii() and round.isdigit() and len(round) <= 7):
        raise ValueError(f'"{text}": "ROUND: LAYERS" is allowed, as in "4: last-20"')
    try:
        Layers.parse(layers)
    except ValueError as error:
        raise ValueError(f'"{text}": {error}') from error
    return int(round), layers
