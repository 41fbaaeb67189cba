"""From an experiment to the things it names. Server and clients of one process share what is built here."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.data.load import load
from fedrobust.data.partition import Partition, partition
from fedrobust.data.roots import resolve
from fedrobust.once import once
from fedrobust.randomness import Purpose, sequence
from fedrobust.registry import UnknownNameError

if TYPE_CHECKING:
    from fedrobust.aggregation.rule import Rule
    from fedrobust.models.classifier import Classifier
    from fedrobust.training.local_update import LocalUpdate, TrainingData
    from fedrobust.training.recipes import Recipe


@once()
def dataset_of(experiment: Experiment) -> Dataset:
    """Return the study's data set.

    Raises:
        DataError: it cannot be had, or is not what it should be.
    """
    data = experiment.data
    return load(
        data.name,
        data.size,
        data.root,
        seed=experiment.seed,
        base=_base(experiment),
        classes=data.classes,
        channels=data.channels,
        samples=data.samples,
    )


@once()
def partition_of(experiment: Experiment) -> Partition:
    """Return which client has which training images.

    Raises:
        DataError: the images do not go round as asked.
    """
    data = experiment.data
    return partition(
        dataset_of(experiment).train.labels,
        experiment.federation.clients,
        data.partition,
        seed=experiment.seed,
        alpha=data.alpha,
        min_size=data.min_size,
        classes_per_client=data.classes_per_client,
        shards_per_client=data.shards_per_client,
        skew=data.skew,
    )


@once()
def classifier_of(experiment: Experiment) -> "Classifier":
    """Return the global model as a function of its weights.

    Raises:
        ModelError: the architecture, its weights or the image size do not fit.
    """
    from fedrobust.models.classifier import build_classifier

    model, dataset = experiment.model, dataset_of(experiment)
    is_file = model.weights not in ("random", "imagenet")
    return build_classifier(
        model.name,
        dataset.image_shape,
        dataset.classes,
        image_size=model.image_size,
        momentum=model.batchnorm_momentum,
        weights=model.weights,
        weights_file=resolve(model.weights, _base(experiment), experiment.data.root) if is_file else None,
        seed=weights_seed(experiment),
    )


def weights_seed(experiment: Experiment, model: int = 0) -> int:
    """Return the seed of random weights; `model` tells several models of a study apart (1 is the student)."""
    return int(sequence(experiment.seed, Purpose.WEIGHTS, partition=model).generate_state(1)[0])


def recipe_of(experiment: Experiment) -> "Recipe":
    """Return the clients' training recipe.

    Raises:
        ConfigError: there is no such recipe, or it does not take the settings given.
    """
    from fedrobust.training.recipes import RECIPES

    training = experiment.training
    try:
        recipe: Recipe = RECIPES[training.recipe](**training.recipe_settings)
    except (UnknownNameError, TypeError) as error:
        raise ConfigError(f'training.recipe = "{training.recipe}": {error}') from error
    return recipe


def rule_of(experiment: Experiment) -> "Rule":
    """Return the server's aggregation rule.

    Raises:
        ConfigError: there is no such rule, or it wants settings that it has not got.
    """
    from fedrobust.aggregation import RULES

    name = experiment.federation.aggregator
    try:
        rule: Rule = RULES[name]()
    except (UnknownNameError, TypeError) as error:
        raise ConfigError(f'federation.aggregator = "{name}": {error}') from error
    return rule


@once()
def local_update_of(experiment: Experiment) -> "LocalUpdate":
    """Return the compiled local update of the study's clients."""
    from fedrobust.training.local_update import LocalUpdate
    from fedrobust.training.optimizers import SGD, Adam

    training = experiment.training
    optimizer = (
        SGD(momentum=training.momentum, weight_decay=training.weight_decay)
        if training.optimizer == "sgd"
        else Adam(weight_decay=training.weight_decay)
    )
    recipe = recipe_of(experiment)
    return LocalUpdate(classifier_of(experiment), recipe, optimizer, space=training.space).compiled()


@once()
def training_data_of(experiment: Experiment) -> "TrainingData":
    """Return the training split as tensors, shared by all clients of this process."""
    from fedrobust.training.local_update import TrainingData

    train = dataset_of(experiment).train
    return TrainingData.of(train.images, train.labels)


def _base(experiment: Experiment) -> Path | None:
    return Path(experiment.base) if experiment.base else None
