"""The contract of training recipes, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from fedrobust.lazy import tf
from fedrobust.registry import Registry
from fedrobust.spec import Spec, build
from fedrobust.training.losses.contract import Objective

RECIPES = Registry("training recipe", "fedrobust.training.recipes")

FORWARD = 1 / 3
"""A forward pass, in passes: the backward one takes about twice as long."""


def no_other_weights(weights: Sequence[tf.Tensor]) -> Batch:
    """Raise NotImplementedError: the batch has a model with fixed weights."""
    raise NotImplementedError("this batch has a model with fixed weights")


def no_second_set(statistics: list[tf.Tensor]) -> Batch:
    """Raise NotImplementedError: the batch has a model with one set of BatchNorm."""
    raise NotImplementedError("this batch has a model with one set of BatchNorm")


def no_start(images: tf.Tensor) -> tf.Tensor:
    """Raise NotImplementedError: the batch has no model at the start of a local update."""
    raise NotImplementedError("this batch has no model at the start of a local update")


def no_encoder(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Raise NotImplementedError: the batch has a model whose last layer is not known."""
    raise NotImplementedError("this batch has a model whose last layer is not known")


def same(logits: tf.Tensor) -> tf.Tensor:
    """Return `logits`: the loss fits their softmax."""
    return logits


class Batch(NamedTuple):
    """One batch and the model, inside the graph.

    Attributes:
        images: (n, height, width, channels) float32, in the space that the recipe perturbs; in [0, 1], but for
            augmentations that leave it.
        targets: (n,) int32 labels, or other targets of the loss.
        example_weights: (n,) factors of the images' losses.
        seed: (2,) int32 of this step, for TensorFlow's stateless generators.
        objective: function from logits and targets to losses (n,).
        infer: images to logits in inference mode, for crafting adversarial images.
        train: images to (logits, statistics) in training mode, with BatchNorm's statistics after the batch.
        weights: the trained arrays, in the layout's order.
        at: the same batch with other trained arrays.
        statistics: BatchNorm's moving statistics before the batch, in the layout's order.
        start: images to logits, in inference mode, of the weights at the start of the local update: the global model,
            unless the algorithm starts from personal weights.
        progress: () float32 in [0, 1), the share of the training with the recipe that is over: of the rounds from
            ``training.recipe-from`` on, and of this round's steps.
        auxiliary: from BatchNorm's statistics to the same batch with the auxiliary set of BatchNorm, for recipes with
            ``two_batchnorms``; see `fedrobust.models.two_batchnorms`.
        encode: images to (features, logits, statistics) in training mode; features (n, d) are the last layer's input.
        carried: the tensors that the recipe carries from step to step, see `Recipe`.
        adjusted: logits to those whose softmax the loss fits to the client's images: the same, or with a loss that
            knows the client's class shares, adjusted by them, or with one that has a temperature, divided by it.
        without_shares: the same where the loss does not use class shares; else logits to themselves.
        classes: number of classes; further columns of the targets, as `fedrobust.training.class_logits` has them, do
            not count as such. None: all columns are classes.
    """

    images: tf.Tensor
    targets: tf.Tensor
    example_weights: tf.Tensor
    seed: tf.Tensor
    objective: Objective
    infer: Callable[[tf.Tensor], tf.Tensor]
    train: Callable[[tf.Tensor], tuple[tf.Tensor, list[tf.Tensor]]]
    weights: Sequence[tf.Tensor] = ()
    at: Callable[[Sequence[tf.Tensor]], Batch] = no_other_weights
    start: Callable[[tf.Tensor], tf.Tensor] = no_start
    statistics: Sequence[tf.Tensor] = ()
    progress: tf.Tensor | float = 1.0
    auxiliary: Callable[[list[tf.Tensor]], Batch] = no_second_set
    carried: Sequence[tf.Tensor] = ()
    encode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]] = no_encoder
    adjusted: Callable[[tf.Tensor], tf.Tensor] = same
    without_shares: Callable[[tf.Tensor], tf.Tensor] = same
    classes: int | None = None

    @property
    def labels(self) -> tf.Tensor:
        """(n,) int32: the class with the largest target."""
        if self.targets.shape.rank == 1:
            return self.targets
        return tf.argmax(self.targets[:, : self.classes], -1, tf.int32)


class StepLoss(NamedTuple):
    """Result of a recipe: the loss () to minimise, the logits (n, classes), the new BatchNorm statistics."""

    loss: tf.Tensor
    logits: tf.Tensor
    statistics: list[tf.Tensor]


class Recipe(Protocol):
    """A frozen dataclass of settings that is called under a gradient tape that watches the weights.

    It may have an attribute ``attacks``: names of the evasion attacks on which it trains, which the audit does not
    count as unseen; without it, its own name. Adversarial recipes extend `AdversarialRecipe`. With the class attribute
    ``one_class = True`` it is refused for multi-label data: it uses the logits' softmax. With ``shares_statistics =
    True`` its BatchNorm statistics are not those of clean images: the server averages them over the clients that
    changed them, and does not measure its own. An attribute ``others`` is the spec of the recipe of the clients that
    ``training.recipe-clients`` leaves out; without it they train plainly. A registered name works at every hospital, a
    dotted path only where its module is allowed (``own-modules``).

    An attribute ``passes`` is the cost of a batch in forward and backward passes, all replays together, for forecasts;
    without it, 1.

    With the class attribute ``two_batchnorms = True`` the model has a second set of BatchNorm (`Batch.auxiliary`).

    With a setting ``replays`` above 1 every batch is trained that many times in a row, each time a step of the
    optimiser.

    A recipe with a state of its own has two more methods. ``carry(size, shape, seed)`` returns its tensors at the start
    of each local update; `size` is the largest batch's, `shape` (height, width, channels) the images', `seed` (2,)
    int32. A step finds them in `Batch.carried`; after it, ``moved(carried, gradients)`` returns the next ones, from the
    loss' gradients by them, which come from the same backward pass as those by the weights.
    """

    def __call__(self, batch: Batch) -> StepLoss:
        """Return the loss of `batch`."""
        ...


def weighted_mean(losses: tf.Tensor, example_weights: tf.Tensor) -> tf.Tensor:
    """Return sum(weight * loss) / n, as Keras reduces weighted losses."""
    return tf.reduce_mean(losses * example_weights)


def shares_statistics(recipe: Recipe) -> bool:
    """Return whether the server takes BatchNorm statistics only from clients that changed them."""
    return bool(getattr(recipe, "shares_statistics", False))


def passes_of_batch(recipe: Recipe) -> float:
    """Return the passes of a batch, each a forward and a backward pass as in plain training.

    Example:
        >>> from fedrobust.training.recipes import PGDTraining, Plain
        >>> passes_of_batch(Plain()), passes_of_batch(PGDTraining(steps=5))
        (1.0, 6.0)
    """
    return float(getattr(recipe, "passes", 1.0))


def others_of(recipe: Recipe) -> str:
    """Return the spec of the recipe of clients that do not train with `recipe`."""
    return str(getattr(recipe, "others", "plain"))


def two_batchnorms(recipe: Recipe) -> bool:
    """Return whether a recipe needs a model with a second set of BatchNorm."""
    return bool(getattr(recipe, "two_batchnorms", False))


def carries(recipe: Recipe) -> bool:
    """Return whether a recipe carries tensors from step to step."""
    return hasattr(recipe, "carry")


def replays_of(recipe: Recipe) -> int:
    """Return how many times in a row a recipe trains on each batch."""
    return int(getattr(recipe, "replays", 1))


def attacks_of(recipe: str) -> tuple[str, ...]:
    """Return the names of the evasion attacks on which a recipe trains, from its spec.

    Example:
        >>> attacks_of("plain"), attacks_of("trades(beta=6.0)"), attacks_of("my_module:Own")
        ((), ('pgd',), ('my_module:Own',))
    """
    name = Spec.parse(recipe).name
    if ":" in name:
        return (name,)
    attacks: tuple[str, ...] = build(RECIPES, recipe).attacks
    return attacks
