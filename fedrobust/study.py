"""From an experiment to the things it names. Server and clients of one process share what is built here."""

import os
import sys
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset, Problem, Split
from fedrobust.data.drawing import Drawing
from fedrobust.data.load import load
from fedrobust.data.partition import Partition, partition
from fedrobust.data.roots import resolve
from fedrobust.errors import FedrobustError
from fedrobust.once import once
from fedrobust.randomness import Purpose, sequence
from fedrobust.registry import UnknownNameError
from fedrobust.shares import exact, round_half_up
from fedrobust.spec import build

if TYPE_CHECKING:
    from fedrobust.aggregation import Defence, ServerOptimizer
    from fedrobust.evasion import Threat
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.layout import Weights
    from fedrobust.poisoning import Attack
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
        images_per_client=data.images_per_client,
    )


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
        weights_file=resolve(model.weights, base_of(experiment), experiment.data.root) if is_file else None,
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
    from fedrobust.training.recipes import RECIPES

    training = experiment.training
    make_importable(experiment)
    try:
        recipe: Recipe = RECIPES[training.recipe](**training.recipe_settings)
    except (UnknownNameError, TypeError) as error:
        raise ConfigError(f'training.recipe = "{training.recipe}": {error}') from error
    return recipe


def defence_of(experiment: Experiment) -> "Defence":
    """Return the server's pre-aggregators and aggregation rule.

    Raises:
        ConfigError: there is no such rule, it wants settings that it has not got, or it cannot tolerate as many
            malicious clients among as many as take part in a round.
    """
    from fedrobust.aggregation import PRE_AGGREGATORS, RULES, Defence

    federation = experiment.federation
    make_importable(experiment)
    f, sampled = tolerated_of(experiment), sample_size(federation.participation, federation.clients)
    with _naming("federation.pre-aggregators", list(federation.pre_aggregators)):
        before = tuple(build(PRE_AGGREGATORS, each, f=f) for each in federation.pre_aggregators)
    with _naming("federation.aggregator", federation.aggregator):
        if federation.aggregator.startswith("flower:"):
            from fedrobust.flower.rule import flower_rule

            rule = flower_rule(federation.aggregator, f)
        else:
            rule = build(RULES, federation.aggregator, f=f)
        defence = Defence(rule, before)
    with _naming("federation.pre-aggregators", list(federation.pre_aggregators)):
        defence.check_order()
    with _naming("federation.tolerate", f"{f} of {sampled} clients of a round"):
        defence.check(sampled)
    return defence


def server_optimizer_of(experiment: Experiment) -> "ServerOptimizer | None":
    """Return what the server makes of an aggregated update, None for a plain step.

    Raises:
        ConfigError: there is no such optimiser, or it does not take the settings given.
    """
    from fedrobust.aggregation import SERVER_OPTIMIZERS

    name = experiment.federation.server_optimizer
    if name == "none":
        return None
    make_importable(experiment)
    with _naming("federation.server-optimizer", name):
        optimizer: ServerOptimizer = build(SERVER_OPTIMIZERS, name)
    return optimizer


def attack_of(experiment: Experiment) -> "Attack":
    """Return the study's poisoning attack; it is false where there is none.

    Raises:
        ConfigError: there is no such attack, or it does not take the settings given.
    """
    from fedrobust.poisoning import Attack

    make_importable(experiment)
    with _naming("poisoning.attack", experiment.poisoning.attack):
        return Attack.parse(experiment.poisoning.attack)


def malicious_of(experiment: Experiment) -> tuple[int, ...]:
    """Return the partitions of the clients that attack, ascending; none where the study has no attack.

    Raises:
        ConfigError: there are not as many clients.
    """
    from fedrobust.poisoning.roster import malicious_clients

    if experiment.poisoning.attack == "none":
        return ()
    return malicious_clients(experiment.poisoning, experiment.federation.clients, experiment.seed)


def tolerated_of(experiment: Experiment) -> int:
    """Return how many malicious clients of a round the server's defence reckons with.

    Not given, it is as many as there are on average in a round, rounded up: the defence is told the truth, as is
    usual in comparisons of rules. It is that of the same study without its attack, too. With participation below 1
    there are more in many rounds; ``federation.tolerate-quantile`` = 0.95 takes the smallest number that is enough in
    95 % of them: the quantile of Hypergeometric(N, m, n), for n of N clients a round and m malicious ones.
    """
    from fedrobust.poisoning.roster import malicious_clients

    federation = experiment.federation
    sampled = sample_size(federation.participation, federation.clients)
    wanted = federation.tolerate
    if isinstance(wanted, int):
        return wanted
    if wanted is not None:
        return round_half_up(exact(wanted) * sampled)
    malicious = len(malicious_clients(experiment.poisoning, federation.clients, experiment.seed))
    if federation.tolerate_quantile is None:
        return -(-malicious * sampled // federation.clients)
    from scipy.stats import hypergeom

    return int(hypergeom.ppf(federation.tolerate_quantile, federation.clients, malicious, sampled))


def sample_size(participation: float, clients: int) -> int:
    """Return how many of `clients` take part in a round: at least one."""
    return max(1, round_half_up(exact(participation) * clients))


def make_importable(experiment: Experiment) -> None:
    """Let dotted paths find modules beside the study file and in the current folder."""
    for folder in (experiment.base, os.getcwd()):
        if folder and folder not in sys.path:
            sys.path.append(folder)


@contextmanager
def _naming(key: str, value: object) -> Iterator[None]:
    """Say which setting was wrong."""
    try:
        yield
    except ConfigError:
        raise
    except (FedrobustError, TypeError, ValueError) as error:
        shown = f'"{value}"' if isinstance(value, str) else value
        raise ConfigError(f"{key} = {shown}: {error}") from error


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
    from fedrobust.training.optimizers import SGD, Adam

    training = experiment.training
    optimizer = (
        SGD(momentum=training.momentum, weight_decay=training.weight_decay)
        if training.optimizer == "sgd"
        else Adam(weight_decay=training.weight_decay)
    )
    recipe = recipe_of(experiment)
    classifier = classifier_of(experiment, problem)
    return LocalUpdate(
        classifier, recipe, optimizer, space=training.space, proximal=training.proximal
    ).compiled()


def base_of(experiment: Experiment) -> Path | None:
    """Return the folder that relative paths are resolved against first."""
    return Path(experiment.base) if experiment.base else None


def evasion_of(experiment: Experiment) -> "Threat":
    """Return the study's threat, having made each of its attacks once.

    Raises:
        SpecError, UnknownNameError: an attack cannot be made.
        ConfigError: an attack does not search in the study's norm.
    """
    from fedrobust.evasion import Threat, attack_named

    settings = experiment.evaluation
    threat = Threat(norm=settings.norm, space=settings.space, bits=settings.bits)
    make_importable(experiment)
    for spec in settings.attacks:
        with _naming("evaluation.attacks", spec):
            attack = attack_named(spec)
        if threat.norm not in attack.norms:
            raise ConfigError(
                f'evaluation.attacks = "{spec}": it searches in {", ".join(attack.norms)}, evaluation.norm = '
                f'"{threat.norm}"'
            )
    return threat
