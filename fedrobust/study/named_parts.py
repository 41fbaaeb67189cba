"""The parts of a study that are named in its settings, each built once, without images and without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.aggregation import AggregationPipeline, ServerOptimizer
from fedrobust.algorithms import Algorithm
from fedrobust.availability import Availability
from fedrobust.config import Experiment
from fedrobust.config.model_parts import detector_of, prediction_defence_of, removal_of
from fedrobust.config.resolve import (
    attack_of,
    availability_of,
    defence_of,
    distillation_method_of,
    metrics_of,
    postprocessors_of,
    server_optimizer_of,
    site_shifts_of,
    threat_of,
)
from fedrobust.config.resolve_training import (
    algorithm_of,
    recipe_of,
)
from fedrobust.data.search_path import weights_file
from fedrobust.data.shifts import SiteShifts
from fedrobust.defences import PredictionDefence
from fedrobust.detectors import Detector
from fedrobust.evaluation.scores import Metric
from fedrobust.evaluation.surrogate_file import with_surrogate_file
from fedrobust.evasion import Attack as EvasionAttack
from fedrobust.evasion import Threat
from fedrobust.memoize import part
from fedrobust.models.network_file import pinned
from fedrobust.poisoning import Attack, Schedule
from fedrobust.privacy import DPSGD, Postprocessor, Promise, promise_of
from fedrobust.randomness import Purpose, generator
from fedrobust.removal import Removal
from fedrobust.shares import sample_size
from fedrobust.training.recipes.recipe import others_of

if TYPE_CHECKING:
    from fedrobust.training.distillation_methods import DistillationMethod
    from fedrobust.training.recipes import Recipe


@dataclass(frozen=True, eq=False)
class NamedParts:
    """Recipe, algorithm, defences, attack, metrics and other named parts of one study.

    Attributes:
        experiment: the study's settings.
    """

    experiment: Experiment

    @property
    def seed(self) -> int:
        """The study's seed, from which all random numbers derive."""
        return self.experiment.seed

    @property
    def base(self) -> Path | None:
        """The folder that relative paths are resolved against first."""
        return Path(self.experiment.base) if self.experiment.base else None

    @part
    def site_shifts(self) -> SiteShifts:
        """What differs at the simulated clients' hospitals.

        Raises:
            ConfigError: there is no such shift or client.
        """
        experiment = self.experiment
        return site_shifts_of(experiment.data, experiment.federation.clients, experiment.base)

    @part
    def availability(self) -> Availability:
        """Who takes part in which round, whose replies are lost, and who is slow.

        Raises:
            ConfigError: there is no such name or client.
        """
        experiment = self.experiment
        return availability_of(experiment.federation, experiment.base, experiment.malicious)

    def work(self, round: int, client: int) -> float:
        """Return the share of its batches on which `client` trains in `round`."""
        return self.availability.work(round, client, self.seed)

    def network_name(self, name: str) -> str:
        """Return the name of a network, with path and digest of its file if it is in one.

        Raises:
            DataError: there is no such file.
        """
        return pinned(name, self.base, self.experiment.data.root)

    @property
    def weights_file(self) -> Path | None:
        """The file that ``model.weights`` names; None where it names no file, or one that Keras downloads."""
        model = self.experiment.model
        return weights_file(model.name, model.weights, self.base, self.experiment.data.root)

    @part
    def prediction_defence(self) -> PredictionDefence | None:
        """The prediction-time defence: a transformation of each image before the network; None if there is none.

        Raises:
            ConfigError: there is no such defence, or it does not take the settings given.
        """
        return prediction_defence_of(self.experiment.model, self.experiment.base)

    @part
    def detector(self) -> Detector | None:
        """The detector of attacked images on which the trained model abstains; None if there is none.

        Raises:
            ConfigError: there is no such detector, or it does not take the settings given.
        """
        return detector_of(self.experiment.model, self.experiment.base)

    @part
    def removal(self) -> Removal | None:
        """The removal of backdoors after the last round; None if there is none.

        Raises:
            ConfigError: there is no such removal, or it does not take the settings given.
        """
        return removal_of(self.experiment.model, self.experiment.base)

    @part
    def recipe(self) -> "Recipe":
        """The clients' training recipe.

        Raises:
            ConfigError: there is no such recipe, or it does not take the settings given.
        """
        return recipe_of(self.experiment.training, self.experiment.base)

    @part
    def distillation_method(self) -> "DistillationMethod":
        """The method by which the student learns from its teacher.

        Raises:
            ConfigError: there is no such method, or it does not take the settings given.
        """
        return distillation_method_of(self.experiment.distillation, self.experiment.base)

    @part
    def plain_clients(self) -> frozenset[int]:
        """The clients that do not train with the recipe: they train plainly, unless it names another for them."""
        federation, share = self.experiment.federation, self.experiment.training.recipe_clients
        count = sample_size(share, federation.clients)
        order = generator(self.seed, Purpose.RECIPE_CLIENTS).permutation(federation.clients)
        return frozenset(int(client) for client in order[count:])

    def changed(self, client: int) -> Mapping[str, Any]:
        """Return the settings of ``[training]`` that differ at a client."""
        return {"recipe": others_of(self.recipe)} if client in self.plain_clients else {}

    def changed_alone(self, client: int) -> Mapping[str, Any]:
        """Return them where it trains alone, and receives nothing that the recipe of others might need."""
        return {"recipe": "plain"} if client in self.plain_clients else {}

    @part
    def algorithm(self) -> Algorithm:
        """The federated algorithm: its client side and its server side.

        Raises:
            ConfigError: there is no such algorithm, or it does not take the settings given.
        """
        return algorithm_of(self.experiment.training, self.experiment.base)

    @part
    def postprocessors(self) -> tuple[Postprocessor, ...]:
        """The postprocessors of updates at clients, and of the aggregate at the server.

        Raises:
            ConfigError: there is no such postprocessor, or it does not take the settings given.
        """
        experiment = self.experiment
        most = max(len(experiment.malicious), experiment.tolerated)
        return postprocessors_of(experiment.federation, most, experiment.base, experiment.privacy.delta)

    @property
    def promise(self) -> Promise | None:
        """The promise of client-level differential privacy; None if there is none."""
        return promise_of(self.postprocessors)

    @part
    def dp_sgd(self) -> DPSGD | None:
        """The clients' training with example-level differential privacy; None without."""
        experiment, given = self.experiment, self.experiment.privacy
        if not given.protects_examples:
            return None
        return DPSGD(
            given.example_clip,
            given.example_noise,
            given.example_epsilon,
            given.delta,
            experiment.training.batch_size,
            experiment.training.epochs,
            experiment.federation.rounds,
        )

    @property
    def sampled(self) -> int:
        """Number of clients sampled in a round."""
        federation = self.experiment.federation
        return sample_size(federation.participation, federation.clients)

    @property
    def tolerated(self) -> int:
        """Number of malicious clients in a round that the aggregation rule is set to tolerate (f)."""
        return self.experiment.tolerated

    @part
    def defence(self) -> AggregationPipeline:
        """The aggregation pipeline: pre-aggregators and aggregation rule.

        Raises:
            ConfigError: there is no such rule, or it cannot tolerate as many malicious clients; see `defence_of`.
        """
        return defence_of(self.experiment.federation, self.tolerated, self.experiment.base)

    @part
    def server_optimizer(self) -> ServerOptimizer | None:
        """The server optimiser; None: the aggregate is added as it is.

        Raises:
            ConfigError: there is no such optimiser, or it does not take the settings given.
        """
        return server_optimizer_of(self.experiment.federation, self.experiment.base)

    @part
    def attack(self) -> Attack:
        """The poisoning attack; falsy if there is none.

        Raises:
            ConfigError: there is no such attack, or it does not take the settings given.
        """
        return attack_of(self.experiment.poisoning, self.experiment.base)

    @part
    def schedule(self) -> Schedule:
        """Which clients are malicious, and in which rounds they attack.

        Raises:
            ConfigError: more malicious clients than clients.
        """
        poisoning = self.experiment.poisoning
        return Schedule(
            self.experiment.malicious, poisoning.first_round, poisoning.last_round, poisoning.every
        )

    @part
    def metrics(self) -> dict[str, Metric]:
        """Further metrics named in ``evaluation.metrics``, by name.

        Raises:
            ConfigError: there is no such metric, or it does not take the settings given.
        """
        return metrics_of(self.experiment.evaluation, self.experiment.base)

    def evasion(self, spec: str) -> str | EvasionAttack:
        """Return one of ``evaluation.attacks`` with the file of its surrogate, if it names one.

        Raises:
            DataError: there is no such file.
        """
        return with_surrogate_file(spec, self.base, self.experiment.data.root)

    @part
    def threat(self) -> Threat:
        """The threat model of evasion attacks: norm, space and bit depth.

        Building it also builds, and thereby checks, every evasion attack of the study.

        Raises:
            ConfigError: an attack has a wrong setting, or does not support the study's norm.
        """
        return threat_of(self.experiment.evaluation, self.experiment.base)
