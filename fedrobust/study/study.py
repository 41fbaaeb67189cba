"""A study's parts, each built once from its settings and handed to those who need it.

TensorFlow is imported inside of functions: data and their partition need none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.aggregation import AggregationPipeline, ServerOptimizer
from fedrobust.algorithms import Algorithm
from fedrobust.config import ConfigError, Experiment, Training
from fedrobust.config.resolve import (
    algorithm_of,
    attack_of,
    defence_of,
    metrics_of,
    partition_of,
    postprocessors_of,
    prediction_defence_of,
    recipe_of,
    server_optimizer_of,
    threat_of,
)
from fedrobust.data.dataset import Dataset, Problem, Split
from fedrobust.data.partition import Drawing, Partition
from fedrobust.data.search_path import weights_file
from fedrobust.defences import PredictionDefence
from fedrobust.evaluation.scores import Metric
from fedrobust.evasion import Threat
from fedrobust.memoize import memoize, part
from fedrobust.models.layout import Part
from fedrobust.poisoning import Attack, AttackContext, Schedule
from fedrobust.privacy import Postprocessor
from fedrobust.randomness import Purpose, generator, sequence
from fedrobust.shares import sample_size
from fedrobust.study.shared import built, compiled, features, head_graph, loaded, network

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.features import Features
    from fedrobust.models.layout import Weights
    from fedrobust.study.group_training import GroupTraining
    from fedrobust.study.local_training import LocalTraining
    from fedrobust.training.head_update import HeadUpdate
    from fedrobust.training.local_update import LocalUpdate
    from fedrobust.training.part_update import PartUpdate
    from fedrobust.training.recipes import Recipe


@dataclass(frozen=True, eq=False)
class Study:
    """The composition root: from settings to parts.

    Checks, server and clients of one process share one `Study.of` the same settings, so that what is checked is what
    runs. A part is built when it is first asked for; a hospital never asks for the study's data set, which it has not
    got.

    Attributes:
        experiment: the settings.
        told: the shape of the images and the number of classes, as a server tells them; None where they are those of
            the study's own data set.

    Example:
        >>> study = Study.of(Experiment.of(federation__clients=4, data__samples=50))
        >>> study.dataset.image_shape, list(map(int, study.partition.sizes)), type(study.defence.rule).__name__
        ((28, 28, 1), [13, 13, 12, 12], 'Mean')
    """

    experiment: Experiment
    told: Problem | None = None

    @staticmethod
    def of(experiment: Experiment, told: Problem | None = None) -> "Study":
        """Return the study of `experiment`, the same one for everybody in this process who asks."""
        return _study(experiment, told)

    @property
    def seed(self) -> int:
        """What everything random derives from."""
        return self.experiment.seed

    @property
    def base(self) -> Path | None:
        """The folder that relative paths are resolved against first."""
        return Path(self.experiment.base) if self.experiment.base else None

    @part
    def dataset(self) -> Dataset:
        """The images.

        Raises:
            DataError: they cannot be had, or are not what they should be.
        """
        return loaded(self.experiment.data, self.experiment.data.name, self.seed, self.base)

    @part
    def public(self) -> Dataset | None:
        """The public set whose images teach the student; None where the study names none.

        Raises:
            DataError: it cannot be had, or is not what it should be.
        """
        name = self.experiment.distillation.public
        return loaded(self.experiment.data, name, self.seed, self.base) if name else None

    @part
    def problem(self) -> Problem:
        """The shape of the images and the number of classes."""
        problem = self.told or Problem.of(self.dataset)
        # Clients of this process, who are told the problem, get the server's own object.
        _study.offer(self, self.experiment, problem)
        return problem

    @part
    def partition(self) -> Partition | Drawing:
        """Which client has which training images.

        Raises:
            DataError: the images do not go round as asked.
        """
        labels, clients = self.dataset.train.labels, self.experiment.federation.clients
        return partition_of(self.experiment.data, labels, clients, self.seed, self.experiment.base)

    def shard(self, client: int) -> Split:
        """Return the training images of one simulated client: copies of its rows of the shared array.

        Raises:
            ConfigError: there is no such client.
        """
        shards = self.partition.shards
        if not 0 <= client < len(shards):
            raise ConfigError(f"partition-id = {client}: the study has clients 0 to {len(shards) - 1}")
        train, rows = self.dataset.train, shards[client]
        return Split(train.images[rows], train.labels[rows])

    @part
    def classifier(self) -> "Classifier":
        """The model as a function of its weights; the weights it was built with are nobody's, but the frozen ones.

        Raises:
            ModelError: the architecture, the layers, the weights or the image size do not fit.
        """
        return self.frozen_but(self.experiment.training.trained_layers)

    def frozen_but(self, layers: str) -> "Classifier":
        """Return the model as a function of the weights of some of its layers.

        Raises:
            ModelError: the architecture, the layers, the weights or the image size do not fit.
        """
        model, base = self.experiment.model, self.experiment.base
        return network(model, self.problem, self.weights_seed(), base, layers, self.weights_file)

    def trained_part(self, round: int) -> Part | None:
        """Return what is trained in `round` of the weights that travel; None for all of them."""
        training = self.experiment.training
        layers = training.in_round(round).layers
        if layers == training.trained_layers:
            return None
        return Part.of(self.classifier.layout, self.frozen_but(layers).layout)

    @property
    def weights_file(self) -> Path | None:
        """The file that ``model.weights`` names; None where it names none, or Keras is to download it."""
        model = self.experiment.model
        return weights_file(model.name, model.weights, self.base, self.experiment.data.root)

    @part
    def prediction_defence(self) -> PredictionDefence | None:
        """What the model does to an image before its network sees it; None where it does nothing.

        Raises:
            ConfigError: there is no such defence, or it does not take the settings given.
        """
        return prediction_defence_of(self.experiment.model, self.experiment.base)

    def initial(self) -> "tuple[Classifier, Weights]":
        """Return the global model and the weights that it starts from.

        Raises:
            ModelError: the architecture, its weights or the image size do not fit.
        """
        experiment = self.experiment
        return built(
            experiment.model,
            self.problem,
            self.weights_seed(),
            experiment.base,
            experiment.training.trained_layers,
            self.weights_file,
        )

    def weights_seed(self, model: int = 0) -> int:
        """Return the seed of random weights; `model` tells several models of a study apart (1 is the student)."""
        return int(sequence(self.seed, Purpose.WEIGHTS, partition=model).generate_state(1)[0])

    @part
    def recipe(self) -> "Recipe":
        """The clients' training recipe.

        Raises:
            ConfigError: there is no such recipe, or it does not take the settings given.
        """
        return recipe_of(self.experiment.training, self.experiment.base)

    @part
    def algorithm(self) -> Algorithm:
        """What a client does with the global weights, and the server with the aggregate.

        Raises:
            ConfigError: there is no such algorithm, or it does not take the settings given.
        """
        return algorithm_of(self.experiment.training, self.experiment.base)

    @part
    def postprocessors(self) -> tuple[Postprocessor, ...]:
        """What is done to updates at clients and at the server.

        Raises:
            ConfigError: there is no such postprocessor, or it does not take the settings given.
        """
        return postprocessors_of(self.experiment.federation, self.experiment.base)

    @part
    def local_training(self) -> "LocalTraining":
        """What a client does with its images in a round."""
        # TensorFlow.
        from fedrobust.study.local_training import LocalTraining

        experiment = self.experiment
        return LocalTraining(
            experiment.training,
            experiment.data,
            rounds=experiment.federation.rounds,
            classes=self.problem.classes,
            seed=self.seed,
            update=self.update_of,
        )

    def update_of(self, training: Training) -> "LocalUpdate | HeadUpdate | PartUpdate":
        """Return the compiled local update of settings that may be a malicious client's own."""
        experiment = self.experiment
        if not training.features_are_cached:
            of, base = (experiment.model, self.problem), experiment.base
            if training.layers == training.trained_layers:
                return compiled(training, self.classifier, of, base)
            # TensorFlow.
            from fedrobust.training.part_update import PartUpdate

            update = compiled(training, self.frozen_but(training.layers), of, base)
            return PartUpdate(self.classifier, update)
        # TensorFlow.
        from fedrobust.training.head_update import HeadUpdate

        graph = head_graph(training, self.classifier, experiment.base)
        return HeadUpdate(self.classifier, self.features, graph)

    def trains_groups(self, round: int) -> bool:
        """Whether honest simulated clients of `round` are trained many at a time.

        They are where the head alone is trained on features of the study's own images, the algorithm is nothing to a
        client, and no client's time is limited.
        """
        experiment, algorithm = self.experiment, self.algorithm
        return (
            experiment.training.in_round(round).features_are_cached
            and not experiment.data.augment
            and not experiment.data.undersample
            and not experiment.engine.client_timeout
            and not any(hasattr(algorithm, trait) for trait in ("client", "sends", "tells"))
        )

    @part
    def group_training(self) -> "GroupTraining":
        """What many honest clients do with their images in a round; see `trains_groups`."""
        # TensorFlow.
        from fedrobust.study.group_training import GroupTraining
        from fedrobust.training.head_update import HeadUpdate

        dataset, training = self.dataset, self.experiment.training.model_copy(update={"recipe": "plain"})
        update = self.update_of(training)
        assert isinstance(update, HeadUpdate)
        return GroupTraining(
            self.local_training, update, dataset.train.labels, self.partition.shards.__getitem__
        )

    @part
    def features(self) -> "Features":
        """What the head sees of images, where all else is frozen: those of the training split are known.

        A hospital, which never asks for the study's data set, has its own images alone.
        """
        dataset = self.dataset if "dataset" in vars(self) else None
        return features(self.classifier, (self.experiment.model, self.problem), dataset)

    @property
    def sampled(self) -> int:
        """How many clients take part in a round."""
        federation = self.experiment.federation
        return sample_size(federation.participation, federation.clients)

    @property
    def tolerated(self) -> int:
        """How many malicious clients of a round the server's rules are given."""
        return self.experiment.tolerated

    @part
    def defence(self) -> AggregationPipeline:
        """Pre-aggregators and aggregation rule.

        Raises:
            ConfigError: there is no such rule, or it cannot tolerate as many malicious clients; see `defence_of`.
        """
        return defence_of(self.experiment.federation, self.tolerated, self.experiment.base)

    @part
    def server_optimizer(self) -> ServerOptimizer | None:
        """What the server makes of an aggregated update; None for a plain step.

        Raises:
            ConfigError: there is no such optimiser, or it does not take the settings given.
        """
        return server_optimizer_of(self.experiment.federation, self.experiment.base)

    @part
    def attack(self) -> Attack:
        """The poisoning attack; it is false where there is none.

        Raises:
            ConfigError: there is no such attack, or it does not take the settings given.
        """
        return attack_of(self.experiment.poisoning, self.experiment.base)

    @part
    def schedule(self) -> Schedule:
        """Which clients are malicious, and in which rounds they attack.

        Raises:
            ConfigError: there are not as many clients.
        """
        poisoning = self.experiment.poisoning
        return Schedule(
            self.experiment.malicious, poisoning.first_round, poisoning.last_round, poisoning.every
        )

    def attack_context(self, client: int) -> AttackContext:
        """Return what a malicious client knows before the first round, with the draws that are the same in all rounds.

        Args:
            client: one of ``schedule.malicious``.
        """
        malicious = self.schedule.malicious
        return AttackContext(
            client_id=client,
            rank=malicious.index(client),
            malicious=len(malicious),
            clients=self.experiment.federation.clients,
            sampled=self.sampled,
            classes=self.problem.classes,
            seed=self.seed,
            # Rounds count from 1: no round's numbers are those that stay.
            fixed=generator(self.seed, Purpose.POISONING, 0, client + 1),
        )

    @part
    def metrics(self) -> dict[str, Metric]:
        """Further scores that the study asks for, by name.

        Raises:
            ConfigError: there is no such metric, or it does not take the settings given.
        """
        return metrics_of(self.experiment.evaluation, self.experiment.base)

    @part
    def threat(self) -> Threat:
        """The norm, the space and the file format of evasion attacks.

        Every attack that the study names has been made once.

        Raises:
            ConfigError: an attack cannot be made, or does not search in the study's norm.
        """
        return threat_of(self.experiment.evaluation, self.experiment.base)


@memoize(keep=4)
def _study(experiment: Experiment, told: Problem | None) -> Study:
    return Study(experiment, told)
