"""Objects that the studies of one process share, cached by exactly the settings that they depend on.

TensorFlow is imported inside of functions: data and their partition do not need it.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.algorithms.contract import is_steered, proximal_of
from fedrobust.code_digest import code_digest
from fedrobust.config.model_parts import prediction_defence_of
from fedrobust.config.resolve_training import (
    algorithm_of,
    augmentations_of,
    loss_of,
    optimizer_of,
    recipe_of,
)
from fedrobust.config.sections import Data, Model, Training
from fedrobust.data.dataset import Dataset
from fedrobust.data.hospitals import joined
from fedrobust.data.load import load
from fedrobust.data.problem import Problem
from fedrobust.defences.contract import is_learned
from fedrobust.memoize import memoize
from fedrobust.models.network_file import is_network_file
from fedrobust.runs.environment import environment
from fedrobust.study.files import stamp, stamps_of_data

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.features import Features
    from fedrobust.models.layout import Weights
    from fedrobust.training.head_update import HeadGraph
    from fedrobust.training.local_update import LocalUpdate


def _source(data: Data, name: str, seed: int, base: Path | None) -> Hashable:
    """Return the settings that a data set depends on: the seed only for phantom images, which it draws."""
    drawn = (
        (seed, data.classes, data.channels, data.samples, data.multilabel)
        if name.lower() == "phantom"
        else None
    )
    return name, data.size, data.root, base, drawn, stamps_of_data(name, data, base)


@memoize(key=_source)
def loaded(data: Data, name: str, seed: int, base: Path | None) -> Dataset:
    """Return the data set `name`, with the size, root folder and phantom settings of `data`.

    Args:
        data: settings of ``[data]``.
        name: of the data set, or the path of an ``.npz`` file.
        seed: draws phantom images.
        base: folder that relative paths are resolved against first.

    Raises:
        DataError: it cannot be found or read, or is invalid.
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
        multilabel=data.multilabel,
    )


@memoize(key=lambda files: tuple(map(stamp, files)))
def hospitals(files: tuple[Path, ...]) -> Dataset:
    """Return the data set of several hospitals with a file each.

    Raises:
        DataError: a file cannot be read, or they do not fit together.
    """
    return joined(files)


def _network(
    model: Model,
    problem: Problem,
    seed: int = 0,
    base: str = "",
    layers: str = "all",
    file: Path | None = None,
) -> Hashable:
    """Return the settings that a network depends on: of its weights, which are an argument, only the frozen ones."""
    # Frozen weights come from the file, if there is one; the seed draws the head, which is always trained.
    drawn = seed if model.weights == "random" else 0
    frozen = () if layers == "all" else (layers, model.weights, file and stamp(file), drawn)
    return (
        model.name,
        model.image_size,
        model.scaling,
        model.batchnorm_momentum,
        model.norm,
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
    """Return a model as a function of its weights; of the weights that it was built with, only frozen ones are used.

    Args:
        model: settings of ``[model]``.
        problem: image shape, and classes or findings.
        seed: of random weights.
        base: folder of the study file, where a user's own network or defence may be.
        layers: the trained layers, see ``training.layers``.
        file: weights file named by ``model.weights``, from which frozen weights are read; None: no file.

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
        model: settings of ``[model]``.
        problem: image shape, and classes or findings.
        seed: of random weights.
        base: folder of the study file.
        layers: the trained layers, see ``training.layers``.
        file: weights file named by ``model.weights``; None: no file.

    Raises:
        ModelError: the architecture, the layers, the weights or the image size do not fit.
    """
    start = _built if ":" in model.name or is_network_file(model.name) else _shared
    new, weights = start(model, problem, seed, base, layers, file)
    # Clients of this process, and later studies that differ only in their seed, reuse it.
    return network.offer(new, model, problem, seed, base, layers, file), weights


def _started(
    model: Model, problem: Problem, seed: int, base: str, layers: str, file: Path | None
) -> Hashable:
    """Return what a network and its initial weights depend on, with the size of their file and its last change."""
    start = model.weights, model.head, seed, file and stamp(file)
    return _network(model, problem, seed, base, layers, file), start


def _built(
    model: Model, problem: Problem, seed: int, base: str, layers: str, file: Path | None
) -> "tuple[Classifier, Weights]":
    new = _classifier(model, problem, seed, base, layers, model.weights, file)
    return new, new.initial_weights()


_shared = memoize(keep=2, key=_started)(_built)
"""The same, for networks that no user can change meanwhile: cells of a sweep with the same start share it."""


def _classifier(
    model: Model,
    problem: Problem,
    seed: int,
    base: str,
    layers: str,
    weights: str = "random",
    file: Path | None = None,
) -> "Classifier":
    # Starts TensorFlow.
    from fedrobust.models.remembered import remembered_classifier
    from fedrobust.models.two_batchnorms import TwoBatchNorms

    defence = prediction_defence_of(model, base)
    classifier = remembered_classifier(
        model.name,
        problem.image_shape,
        problem.classes,
        image_size=model.image_size,
        momentum=model.batchnorm_momentum,
        scaling=model.scaling,
        weights=weights,
        weights_file=file,
        seed=seed,
        defence=None if is_learned(defence) else defence,
        layers=layers,
        normalization="batch" if model.norm == "two-batch" else model.norm,
        head=model.head,
        multilabel=problem.multilabel,
    )
    return TwoBatchNorms(classifier) if model.norm == "two-batch" else classifier


def _graph(
    training: Training, classifier: Any, of: tuple[Model, Problem], base: str, steered: bool = False
) -> Hashable:
    """Return the settings that a compiled update depends on: not seed, learning rate or number of epochs."""
    recipe = (training.recipe, training.space, training.loss, training.augmentations)
    optimizer, layout = training.optimizer, classifier.layout.digest
    rates = training.proximal, training.backbone_rate
    return _network(*of), layout, recipe, optimizer, training.algorithm, rates, steered


@memoize(keep=4, key=_graph)  # a malicious client may have two beside the others' one
def compiled(
    training: Training, classifier: "Classifier", of: tuple[Model, Problem], base: str, steered: bool = False
) -> "LocalUpdate":
    """Return the compiled local update of `training`.

    Args:
        training: settings of ``[training]``: recipe, optimiser, loss.
        classifier: the model.
        of: the settings and the problem that it was built from: the key of the cache.
        base: folder of the study file, where a user's own recipe may be.
        steered: whether a client steers it although the algorithm does not.
    """
    # Starts TensorFlow.
    from fedrobust.training.local_update import LocalUpdate

    algorithm = algorithm_of(training, base)
    return LocalUpdate(
        classifier,
        recipe_of(training, base),
        optimizer_of(training, base),
        loss=loss_of(training, base, classifier.multilabel),
        space=training.space,
        proximal=proximal_of(algorithm),
        augmentations=augmentations_of(training, base),
        backbone_rate=training.backbone_rate,
        steered=steered or is_steered(algorithm),
    ).compiled()


def _backbone(classifier: Any, of: tuple[Model, Problem], dataset: Dataset | None) -> Hashable:
    return _network(*of), classifier.layout.digest, None if dataset is None else dataset.digest


@memoize(keep=4, key=_backbone)
def features(classifier: "Classifier", of: tuple[Model, Problem], dataset: Dataset | None) -> "Features":
    """Return the frozen backbone's features of images, shared by clients, rounds, seeds and cells of a sweep.

    Args:
        classifier: a model whose layers are frozen except the head.
        of: the settings and the problem that it was built from: the key of the cache.
        dataset: the data set whose training images' features are computed first; None in a deployment, where a client
            has only its own images.
    """
    # Starts TensorFlow.
    from fedrobust.models.features import Features

    settings = {"scaling": of[0].scaling, "code": code_digest(), **environment(0)}
    return Features(classifier, None if dataset is None else dataset.train.images, settings)


def _head(training: Training, classifier: Any, base: str, steered: bool = False) -> Hashable:
    shapes = tuple(entry.shape for entry in classifier.layout.entries)
    return (
        shapes,
        training.loss,
        classifier.multilabel,
        training.optimizer,
        training.algorithm,
        training.proximal,
        base,
        steered,
    )


@memoize(key=_head)
def head_graph(training: Training, classifier: "Classifier", base: str, steered: bool = False) -> "HeadGraph":
    """Return the compiled update of the head, for the loss, optimiser and algorithm of `training`; see `compiled`."""
    # Starts TensorFlow.
    from fedrobust.training.head_update import HeadGraph

    algorithm = algorithm_of(training, base)
    return HeadGraph(
        int(classifier.layout.entries[0].shape[0]),
        classifier.classes,
        loss_of(training, base, classifier.multilabel),
        optimizer_of(training, base),
        proximal_of(algorithm),
        steered or is_steered(algorithm),
    )
