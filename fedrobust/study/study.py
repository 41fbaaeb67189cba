"""A study's parts, each built once from its settings.

TensorFlow is imported inside of functions: data and their partition do not need it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedrobust.config import ConfigError, Experiment, Training
from fedrobust.config.resolve import partition_of
from fedrobust.config.sections import Model
from fedrobust.data.dataset import Dataset, Split
from fedrobust.data.held_out import without_sites
from fedrobust.data.partition import Drawing, Partition
from fedrobust.data.problem import Problem
from fedrobust.data.search_path import resolve
from fedrobust.data.train_share import with_share
from fedrobust.data.transfer_set import TransferSet, transfer_set
from fedrobust.memoize import memoize, part
from fedrobust.models.layout import Part
from fedrobust.models.network_file import pinned_parts
from fedrobust.poisoning import AttackContext
from fedrobust.randomness import Purpose, generator, sequence
from fedrobust.study.files import Stamps, stamps_of
from fedrobust.study.named_parts import NamedParts
from fedrobust.study.private import private_update
from fedrobust.study.shared import built, compiled, features, head_graph, hospitals, loaded, network
from fedrobust.training.recipes.recipe import two_batchnorms

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.features import Features
    from fedrobust.models.layout import Weights
    from fedrobust.study.group_training import GroupTraining
    from fedrobust.study.local_training import LocalTraining
    from fedrobust.training.head_update import HeadUpdate
    from fedrobust.training.local_update import LocalUpdate
    from fedrobust.training.part_update import PartUpdate
    from fedrobust.training.private_update import PrivateUpdate


@dataclass(frozen=True, eq=False)
class Study(NamedParts):
    """The composition root: builds a study's parts from its settings.

    Checks, server and clients of one process share one `Study` of the same settings, so that the objects that are
    checked are those that run. Each part is built on first use; in a deployment a client never uses the study's data
    set, which it does not have.

    Attributes:
        experiment: the study's settings.
        received: image shape and number of classes as sent by the server; None: those of the study's data set.
        stamps: of the files that it reads, when it was built.

    Example:
        >>> study = Study.of(Experiment.of(federation__clients=4, data__samples=50))
        >>> study.dataset.image_shape, list(map(int, study.partition.sizes)), type(study.defence.rule).__name__
        ((28, 28, 1), [13, 13, 12, 12], 'Mean')
    """

    received: Problem | None = None
    stamps: Stamps = ()

    @staticmethod
    def up_to_date(experiment: Experiment) -> "Study":
        """Return `of`, built anew if a file that it reads has changed since: for the start of a run or a command.

        During a run `of` returns the study that the run began with.
        """
        study = Study.of(experiment)
        if study.stamps != stamps_of(experiment):
            _study.forget(lambda kept: kept.experiment == experiment)
            study = Study.of(experiment)
        return study

    @staticmethod
    def of(experiment: Experiment, received: Problem | None = None) -> "Study":
        """Return the study of `experiment`: one object for equal settings in this process."""
        return _study(experiment, received)

    @part
    def dataset(self) -> Dataset:
        """The images.

        Raises:
            DataError: they cannot be found or read, or are invalid.
        """
        data = self.experiment.data
        if data.clients:
            whole = hospitals(tuple(resolve(file, self.base, data.root) for file in data.clients))
        else:
            whole = loaded(data, data.name, self.seed, self.base)
        return with_share(without_sites(whole, data.held_out_sites), data.train_share, data.train_draw)

    @part
    def model(self) -> Model:
        """The settings of ``[model]``, with path and digest of the file if the network is in one.

        The recipe may need a second set of BatchNorm (``two_batchnorms``), which is then part of the model.

        Raises:
            DataError: there is no such file.
        """
        model = self.experiment.model
        changed = {"name": self.network_name(model.name)}
        if two_batchnorms(self.recipe):
            changed["normalization"] = "two-batch"
        return model.model_copy(update=changed)

    @property
    def network_digest(self) -> str:
        """The first digits of the SHA-256 of the file that the network is in; empty if it is in none.

        Raises:
            DataError: there is no such file.
        """
        return pinned_parts(self.model.name)[1]

    @part
    def public(self) -> TransferSet | None:
        """The public images for distillation, with or without labels; None if the study names none.

        Raises:
            DataError: it cannot be found or read, or is invalid.
        """
        name, data = self.experiment.distillation.public, self.experiment.data
        if not name:
            return None
        file = resolve(name, self.base, data.root) if name.lower().endswith(".npz") else None
        return transfer_set(file, lambda: loaded(data, name, self.seed, self.base))

    @part
    def problem(self) -> Problem:
        """The image shape and the number of classes."""
        problem = self.received or Problem.of(self.dataset)
        # Clients of this process, which are sent the problem, get the server's own study.
        _study.offer(self, self.experiment, problem)
        return problem

    @part
    def partition(self) -> Partition | Drawing:
        """The partition of the training images over clients.

        Raises:
            DataError: there are too few images for it.
        """
        dataset, clients = self.dataset, self.experiment.federation.clients
        return partition_of(self.experiment.data, dataset, clients, self.seed, self.experiment.base)

    def shard(self, client: int) -> Split:
        """Return a copy of the training images of one simulated client.

        Raises:
            ConfigError: there is no such client.
        """
        shards = self.partition.shards
        if not 0 <= client < len(shards):
            raise ConfigError(f"partition-id = {client}: the study has clients 0 to {len(shards) - 1}")
        own = self.dataset.train.of_rows(shards[client])
        return self.site_shifts.trained(client, own, self.problem.classes, self.seed)

    @part
    def classifier(self) -> "Classifier":
        """The model as a function of its weights; of the weights that it was built with, only frozen ones are used.

        Raises:
            ModelError: the architecture, the layers, the weights or the image size do not fit.
        """
        return self.frozen_but(self.experiment.training.trained_layers)

    def frozen_but(self, layers: str) -> "Classifier":
        """Return the model as a function of the weights of `layers`, the others frozen.

        Raises:
            ModelError: the architecture, the layers, the weights or the image size do not fit.
        """
        model, base = self.model, self.experiment.base
        return network(model, self.problem, self.weights_seed(), base, layers, self.weights_file)

    def trained_part(self, round: int) -> Part | None:
        """Return the part of the exchanged weights that is trained in `round`; None: all."""
        training = self.experiment.training
        layers = training.in_round(round).layers
        if layers == training.trained_layers:
            return None
        return Part.of(self.classifier.layout, self.frozen_but(layers).layout)

    def initial(self) -> "tuple[Classifier, Weights]":
        """Return the global model and its initial weights.

        Raises:
            ModelError: the architecture, its weights or the image size do not fit.
        """
        base, layers = self.experiment.base, self.experiment.training.trained_layers
        return built(self.model, self.problem, self.weights_seed(), base, layers, self.weights_file)

    def weights_seed(self, model: int = 0) -> int:
        """Return the seed of random weights; `model` distinguishes several models of a study (1: the student)."""
        return int(sequence(self.seed, Purpose.WEIGHTS, partition=model).generate_state(1)[0])

    @part
    def local_training(self) -> "LocalTraining":
        """The local training of clients."""
        # Starts TensorFlow.
        from fedrobust.study.local_training import LocalTraining

        experiment = self.experiment
        return LocalTraining(
            experiment.training,
            experiment.data,
            rounds=experiment.federation.rounds,
            problem=self.problem,
            seed=self.seed,
            update=self.update_of,
            privacy=self.dp_sgd,
        )

    def update_of(
        self, training: Training, steered: bool = False
    ) -> "LocalUpdate | HeadUpdate | PartUpdate | PrivateUpdate":
        """Return the compiled local update of `training`, which an attacker may have changed and may steer."""
        experiment = self.experiment
        if self.dp_sgd is not None:
            own = self.features if training.features_are_cached else None
            of, clip = (self.model, self.problem), self.dp_sgd.clip
            return private_update(training, self.classifier, own, of, experiment.base, clip)
        if not training.features_are_cached:
            of, base = (self.model, self.problem), experiment.base
            if training.layers == training.trained_layers:
                return compiled(training, self.classifier, of, base, steered)
            # Starts TensorFlow.
            from fedrobust.training.part_update import PartUpdate

            update = compiled(training, self.frozen_but(training.layers), of, base, steered)
            return PartUpdate(self.classifier, update)
        # Starts TensorFlow.
        from fedrobust.training.head_update import HeadUpdate

        graph = head_graph(training, self.classifier, experiment.base, steered)
        return HeadUpdate(self.classifier, self.features, graph)

    def trains_groups(self, round: int) -> bool:
        """Return whether honest simulated clients of `round` are trained in groups.

        They are if only the head is trained, on precomputed features of the study's own images, the algorithm has no
        client side, and there is no time limit for clients.
        """
        experiment, algorithm = self.experiment, self.algorithm
        return (
            experiment.training.in_round(round).features_are_cached
            and not experiment.data.augment
            and not experiment.privacy.protects_examples
            and not (experiment.data.undersample or experiment.data.site_shifts)
            and not experiment.engine.client_timeout
            and not any(hasattr(algorithm, trait) for trait in ("client", "sends", "broadcasts"))
        )

    @part
    def group_training(self) -> "GroupTraining":
        """The local training of many honest clients at once; see `trains_groups`."""
        # Starts TensorFlow.
        from fedrobust.study.group_training import GroupTraining
        from fedrobust.training.head_update import HeadUpdate

        update = self.update_of(self.experiment.training.model_copy(update={"recipe": "plain"}))
        assert isinstance(update, HeadUpdate)
        shard = self.partition.shards.__getitem__
        return GroupTraining(self.local_training, update, self.dataset.train, shard, self.work)

    @part
    def features(self) -> "Features":
        """The head's input features of images, where all other layers are frozen.

        In a simulation those of the training split are computed first; in a deployment those of the client's images.
        """
        dataset = self.dataset.undivided if "dataset" in vars(self) else None
        return features(self.classifier, (self.model, self.problem), dataset)

    def attack_context(self, client: int) -> AttackContext:
        """Return the knowledge of a malicious client before the first round, with its random numbers of all rounds.

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
            # Round 0, whose random numbers no round uses: rounds count from 1.
            fixed=generator(self.seed, Purpose.POISONING, 0, client + 1),
        )


@memoize(keep=4)
def _study(experiment: Experiment, received: Problem | None) -> Study:
    return Study(experiment, received, stamps_of(experiment))
