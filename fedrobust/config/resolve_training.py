"""Resolve the names in the settings of ``[training]`` to objects; errors begin with the key."""

from fedrobust.algorithms import ALGORITHMS, Algorithm, FedProx
from fedrobust.config.naming import make_importable, naming
from fedrobust.config.sections import Training
from fedrobust.errors import ConfigError
from fedrobust.spec import build
from fedrobust.training.augmentations import AUGMENTATIONS, Augmentation
from fedrobust.training.losses import LOSSES, BinaryCrossEntropy, CrossEntropy, Loss
from fedrobust.training.losses.contract import uses_shares
from fedrobust.training.optimizers import OPTIMIZERS, Optimizer
from fedrobust.training.recipes import RECIPES, Recipe


def recipe_of(training: Training, base: str = "") -> Recipe:
    """Return the clients' training recipe.

    Raises:
        ConfigError: there is no such recipe, or it does not take the settings given.
    """
    make_importable(base)
    with naming("training.recipe", training.recipe):
        recipe: Recipe = build(RECIPES, training.recipe)
    return recipe


def optimizer_of(training: Training, base: str = "") -> Optimizer:
    """Return the clients' local optimiser.

    Raises:
        ConfigError: there is no such optimiser, or it does not take the settings given.
    """
    make_importable(base)
    with naming("training.optimizer", training.optimizer):
        optimizer: Optimizer = build(OPTIMIZERS, training.optimizer)
    return optimizer


def loss_named(training: Training, base: str = "") -> Loss:
    """Return the loss that a study names, see `loss_of`.

    Raises:
        ConfigError: there is no such loss, or it does not take the settings given.
    """
    make_importable(base)
    with naming("training.loss", training.loss):
        loss: Loss = build(LOSSES, training.loss)
    return loss


def loss_of(training: Training, base: str = "", multilabel: bool = False) -> Loss:
    """Return the clients' loss; cross-entropy of multi-label data is binary, of each finding.

    Args:
        training: names it.
        base: folder of the study file, where a user's own loss may be.
        multilabel: whether an image may have several findings, or none.

    Raises:
        ConfigError: there is no such loss, it does not take the settings given, or it is one of other labels.
    """
    loss = loss_named(training, base)
    if multilabel and isinstance(loss, CrossEntropy):
        return BinaryCrossEntropy(label_smoothing=loss.label_smoothing)
    if multilabel != getattr(loss, "multilabel", False):
        kinds = ("one class an image", "several findings an image (multi-label)")
        raise ConfigError(
            f'training.loss = "{training.loss}": a loss of {kinds[not multilabel]}, the data have {kinds[multilabel]}; '
            f'choose "{"binary-cross-entropy" if multilabel else "cross-entropy"}"'
        )
    return loss


def loss_by_shares(training: Training, base: str = "", multilabel: bool = False) -> Loss | None:
    """Return the clients' loss if it depends on their class shares, else None.

    Arguments and errors are those of `loss_of`.

    Example:
        >>> loss_by_shares(Training(loss="balanced-softmax")), loss_by_shares(Training(loss="focal"))
        (BalancedSoftmax(tau=1.0, label_smoothing=0.0), None)
    """
    loss = loss_of(training, base, multilabel)
    return loss if uses_shares(loss) else None


def augmentations_of(training: Training, base: str = "") -> tuple[Augmentation, ...]:
    """Return the augmentations of every batch, in order.

    Raises:
        ConfigError: there is no such augmentation, or it does not take the settings given.
    """
    make_importable(base)
    with naming("training.augmentations", list(training.augmentations)):
        return tuple(build(AUGMENTATIONS, each) for each in training.augmentations)


def algorithm_of(training: Training, base: str = "") -> Algorithm:
    """Return the federated algorithm; ``training.proximal`` is an alternative to fedprox.

    Raises:
        ConfigError: there is no such algorithm, it does not take the settings given, or both are given.
    """
    if training.proximal:
        if training.algorithm != "fedavg":
            raise ConfigError(
                f'training.proximal = {training.proximal} with training.algorithm = "{training.algorithm}": give one '
                f'of them, as in training.algorithm = "fedprox(mu={training.proximal})"'
            )
        return FedProx(mu=training.proximal)
    make_importable(base)
    with naming("training.algorithm", training.algorithm):
        return build(ALGORITHMS, training.algorithm)
