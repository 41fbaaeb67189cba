"""What studies of one process share, remembered by the settings that it depends on and by no others.

TensorFlow is imported inside of functions: data and their partition need none.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.algorithms.contract import is_steered, proximal_of
from fedrobust.code_digest import code_digest
from fedrobust.config.resolve import (
    algorithm_of,
    augmentations_of,
    loss_of,
    optimizer_of,
    prediction_defence_of,
    recipe_of,
)
from fedrobust.config.sections import Data, Model, Training
from fedrobust.data.dataset import Dataset, Problem
from fedrobust.data.load import load
from fedrobust.memoize import memoize
from fedrobust.runs.environment import environment

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.features import Features
    from fedrobust.models.layout import Weights
    from fedrobust.training.head_update import HeadGraph
    from fedrobust.training.local_update import LocalUpdate


def _source(data: Data, name: str, seed: int, base: Path | None) -> Hashable:
    """Return what a data set depends on: the seed draws phantom images, and no others."""
    drawn = (seed, data.classes, data.channels, data.samples) if name.lower() == "phantom" else None
    return name, data.size, data.root, base, drawn


@memoize(key=_source)
def loaded(data: Data, name: str, seed: int, base: Path | None) -> Dataset:
    """Return the data set `name`, with the size, the folder and the phantom settings of `data`.

    Raises:
        DataError: it cannot be had, or is not what it should be.
    """
    return load(
        name,
        data.size,
        data.root,
        seed=seed,
        base=base,
        classes=data.classes,
        channels=data.channels,
        samples=data.samples,
    )


def _network(
    model: Model,
    problem: Problem,
    seed: int = 0,
    base: str = "",
    layers: str = "all",
    file: Path | None = None,
) -> Hashable:
    """Return what a network depends on: not its weights, of which it is a function, but those that are frozen."""
    # What is frozen comes from the file, if there is one; the seed draws the head, and that is always trained.
    frozen = (
        () if layers == "all" else (layers, model.weights, file, seed if model.weights == "random" else 0)
    )
    return (
        model.name,
        model.image_size,
        model.scaling,
        model.batchnorm_momentum,
        model.normalization,
        model.defence,
        problem,
        frozen,
    )


@memoize(keep=8, key=_network)
def network(
    model: Model,
    problem: Problem,
    seed: int = 0,
    base: str = "",
    layers: str = "all",
    file: Path | None = None,
) -> "Classifier":
    """Return a model as a function of its weights; the weights it was built with are nobody's, but the frozen ones.

    Args:
        model: its settings.
        problem: the images and classes.
        seed: of its random weights.
        base: folder of the study file, beside which a user's own network or defence may lie.
        layers: which of its layers are trained.
        file: of the weights that ``model.weights`` names, if it names a file; what is frozen comes from it.

    Raises:
        ModelError: the architecture, the layers, the weights or the image size do not fit.
        ConfigError: there is no such prediction-time defence.
    """
    if layers == "all":
        return _classifier(model, problem, seed, base, layers)
    return _classifier(model, problem, seed, base, layers, model.weights, file)


def built(
    model: Model, problem: Problem, seed: int, base: str, layers: str, file: Path | None
) -> "tuple[Classifier, Weights]":
    """Return the `network` of these settings, and the weights that it starts from.

    Args:
        model: its settings.
        problem: the images and classes.
        seed: of random weights.
        base: folder of the study file.
        layers: which of its layers are trained.
        file: of the weights that ``model.weights`` names, if it names a file.

    Raises:
        ModelError: the architecture, the layers, the weights or the image size do not fit.
    """
    new = _classifier(model, problem, seed, base, layers, model.weights, file)
    # Clients of this process, and later studies that differ in their seed alone, need not build it again.
    return network.offer(new, model, problem, seed, base, layers, file), new.initial_weights()


def _classifier(
    model: Model,
    problem: Problem,
    seed: int,
    base: str,
    layers: str,
    weights: str = "random",
    file: Path | None = None,
) -> "Classifier":
    # TensorFlow.
    from fedrobust.models.remembered import remembered_classifier

    return remembered_classifier(
        model.name,
        problem.image_shape,
        problem.classes,
        image_size=model.image_size,
        momentum=model.batchnorm_momentum,
        scaling=model.scaling,
        weights=weights,
        weights_file=file,
        seed=seed,
        defence=prediction_defence_of(model, base),
        layers=layers,
        normalization=model.normalization,
    )


def _graph(training: Training, classifier: Any, of: tuple[Model, Problem], base: str) -> Hashable:
    """Return what a compiled update depends on: not the seed, the learning rate or the number of epochs."""
    recipe = (training.recipe, training.space, training.loss, training.augmentations)
    optimizer, layout = training.optimizer, classifier.layout.digest
    rates = training.proximal, training.backbone_rate
    return _network(*of), layout, recipe, optimizer, training.algorithm, rates


@memoize(key=_graph)
def compiled(
    training: Training, classifier: "Classifier", of: tuple[Model, Problem], base: str
) -> "LocalUpdate":
    """Return the compiled local update of `training`.

    Args:
        training: recipe, optimiser and objective.
        classifier: the network that is trained.
        of: the settings and the problem that it was built from, by which updates are remembered.
        base: folder of the study file, beside which a user's own recipe may lie.
    """
    # TensorFlow.
    from fedrobust.training.local_update import LocalUpdate

    algorithm = algorithm_of(training, base)
    return LocalUpdate(
        classifier,
        recipe_of(training, base),
        optimizer_of(training, base),
        loss=loss_of(training, base),
        space=training.space,
        proximal=proximal_of(algorithm),
        augmentations=augmentations_of(training, base),
        backbone_rate=training.backbone_rate,
        steered=is_steered(algorithm),
    ).compiled()


def _backbone(classifier: Any, of: tuple[Model, Problem], dataset: Dataset | None) -> Hashable:
    return _network(*of), classifier.layout.digest, None if dataset is None else dataset.digest


@memoize(keep=4, key=_backbone)
def features(classifier: "Classifier", of: tuple[Model, Problem], dataset: Dataset | None) -> "Features":
    """Return the features of images under a frozen backbone, shared by clients, rounds, seeds and cells of a sweep.

    Args:
        classifier: all but whose head is frozen.
        of: the settings and the problem that it was built from.
        dataset: whose training images are known from the beginning; None at a hospital, which has its own.
    """
    # TensorFlow.
    from fedrobust.models.features import Features

    settings = {"scaling": of[0].scaling, "code": code_digest(), **environment(0)}
    return Features(classifier, None if dataset is None else dataset.train.images, settings)


def _head(training: Training, classifier: Any, base: str) -> Hashable:
    shapes = tuple(entry.shape for entry in classifier.layout.entries)
    return shapes, training.loss, training.optimizer, training.algorithm, training.proximal, base


@memoize(key=_head)
def head_graph(training: Training, classifier: "Classifier", base: str) -> "HeadGraph":
    """Return the compiled update of the head alone, for the loss, the optimiser and the algorithm of `training`."""
    # TensorFlow.
    from fedrobust.training.head_update import HeadGraph

    algorithm = algorithm_of(training, base)
    return HeadGraph(
        int(classifier.layout.entries[0].shape[0]),
        classifier.classes,
        loss_of(training, base),
        optimizer_of(training, base),
        proximal_of(algorithm),
        is_steered(algorithm),
    )
