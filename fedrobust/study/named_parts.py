"""The parts that a study names, each built once from its settings: they need neither images nor TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.aggregation import AggregationPipeline, ServerOptimizer
from fedrobust.algorithms import Algorithm
from fedrobust.config import Experiment
from fedrobust.config.resolve import (
    algorithm_of,
    attack_of,
    defence_of,
    metrics_of,
    postprocessors_of,
    prediction_defence_of,
    recipe_of,
    server_optimizer_of,
    threat_of,
)
from fedrobust.defences import PredictionDefence
from fedrobust.evaluation.scores import Metric
from fedrobust.evasion import Threat
from fedrobust.memoize import part
from fedrobust.poisoning import Attack, Schedule
from fedrobust.privacy import Postprocessor
from fedrobust.shares import sample_size

if TYPE_CHECKING:
    from fedrobust.training.recipes import Recipe


@dataclass(frozen=True, eq=False)
class NamedParts:
    """Recipe, algorithm, defences, attack, metrics and the like of one study.

    Attributes:
        experiment: the settings.
    """

    experiment: Experiment

    @property
    def seed(self) -> int:
        """What everything random derives from."""
        return self.experiment.seed

    @property
    def base(self) -> Path | None:
        """The folder that relative paths are resolved against first."""
        return Path(self.experiment.base) if self.experiment.base else None

    @part
    def prediction_defence(self) -> PredictionDefence | None:
        """What the model does to an image before its network sees it; None where it does nothing.

        Raises:
            ConfigError: there is no such defence, or it does not take the settings given.
        """
        return prediction_defence_of(self.experiment.model, self.experiment.base)

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
