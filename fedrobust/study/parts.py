"""From a study to the parts that it names. Server and clients of one process share what is built here.

TensorFlow is imported inside of functions: data and their partition need none.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.config import ConfigError, Experiment, resolve
from fedrobust.data.dataset import Dataset, Problem, Split
from fedrobust.data.load import load
from fedrobust.data.partition import Partition
from fedrobust.data.partition.drawn import Drawing
from fedrobust.data.search_path import resolve as find_file
from fedrobust.once import once
from fedrobust.randomness import Purpose, sequence

if TYPE_CHECKING:
    from fedrobust.evasion import Threat
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.layout import Weights
    from fedrobust.training.local_update import LocalUpdate
    from fedrobust.training.recipes import Recipe


def _source(experiment: Experiment) -> Hashable:
    return experiment.data, experiment.seed, experiment.base


@once(key=_source)
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
        base=base_of(experiment),
        classes=data.classes,
        channels=data.channels,
        samples=data.samples,
    )


@once(key=lambda experiment: (_source(experiment), experiment.federation.clients))
def partition_of(experiment: Experiment) -> Partition | Drawing:
    """Return which client has which training images.

    Raises:
        DataError: the images do not go round as asked.
    """
    labels, clients = dataset_of(experiment).train.labels, experiment.federation.clients
    return resolve.partition_of(experiment.data, labels, clients, experiment.seed, experiment.base)


def shard_of(experiment: Experiment, client: int) -> Split:
    """Return the training images of one simulated client: copies of its rows of the shared array.

    Raises:
        DataError: there is no such client.
    """
    shards = partition_of(experiment).shards
    if not 0 <= client < len(shards):
        raise ConfigError(f"partition-id = {client}: the study has clients 0 to {len(shards) - 1}")
    train, rows = dataset_of(experiment).train, shards[client]
    return Split(train.images[rows], train.labels[rows])


def _network(experiment: Experiment, problem: Problem) -> Hashable:
    model = experiment.model
    return model.name, model.image_size, model.scaling, model.batchnorm_momentum, problem


@once(keep=4, key=_network)
def classifier_of(experiment: Experiment, problem: Problem) -> "Classifier":
    """Return the study's model as a function of its weights; the weights it was built with are nobody's.

    Raises:
        ModelError: the architecture or the image size does not fit.
    """
    from fedrobust.models.classifier import build_classifier

    model = experiment.model
    return build_classifier(
        model.name,
        problem.image_shape,
        problem.classes,
        image_size=model.image_size,
        momentum=model.batchnorm_momentum,
        scaling=model.scaling,
        seed=weights_seed(experiment),
    )


def initial_model(experiment: Experiment) -> "tuple[Classifier, Weights]":
    """Return the global model and the weights that it starts from.

    Raises:
        ModelError: the architecture, its weights or the image size do not fit.
    """
    from fedrobust.models.classifier import build_classifier

    model, problem = experiment.model, Problem.of(dataset_of(experiment))
    is_file = model.weights not in ("random", "imagenet")
    built = build_classifier(
        model.name,
        problem.image_shape,
        problem.classes,
        image_size=model.image_size,
        momentum=model.batchnorm_momentum,
        scaling=model.scaling,
        weights=model.weights,
        weights_file=find_file(model.weights, base_of(experiment), experiment.data.root) if is_file else None,
        seed=weights_seed(experiment),
    )
    # Clients of this process, and later studies that differ in their seed alone, need not build it again.
    return classifier_of.offer(built, experiment, problem), built.initial_weights()


def weights_seed(experiment: Experiment, model: int = 0) -> int:
    """Return the seed of random weights; `model` tells several models of a study apart (1 is the student)."""
    return int(sequence(experiment.seed, Purpose.WEIGHTS, partition=model).generate_state(1)[0])


def recipe_of(experiment: Experiment) -> "Recipe":
    """Return the clients' training recipe.

    Raises:
        ConfigError: there is no such recipe, or it does not take the settings given.
    """
    return resolve.recipe_of(experiment.training, experiment.base)


def _graph(experiment: Experiment, problem: Problem) -> Hashable:
    """Return what the compiled update depends on: not the seed, the learning rate or the number of epochs."""
    training = experiment.training
    settings = tuple(sorted(training.recipe_settings.items()))
    optimizer = (training.optimizer, training.momentum, training.weight_decay)
    recipe = (training.recipe, settings, training.space)
    return _network(experiment, problem), recipe, optimizer, training.proximal


@once(key=_graph)
def local_update_of(experiment: Experiment, problem: Problem) -> "LocalUpdate":
    """Return the compiled local update of the study's clients."""
    from fedrobust.training.local_update import LocalUpdate

    training = experiment.training
    return LocalUpdate(
        classifier_of(experiment, problem),
        recipe_of(experiment),
        resolve.optimizer_of(training, experiment.base),
        space=training.space,
        proximal=training.proximal,
    ).compiled()


def base_of(experiment: Experiment) -> Path | None:
    """Return the folder that relative paths are resolved against first."""
    return Path(experiment.base) if experiment.base else None


def evasion_of(experiment: Experiment) -> "Threat":
    """Return the study's threat, having made each of its attacks once.

    Raises:
        ConfigError: an attack cannot be made, or does not search in the study's norm.
    """
    return resolve.threat_of(experiment.evaluation, experiment.base)
