"""The server's parts that the federation's model is compared with: local, personal and central models."""

from dataclasses import dataclass

import numpy as np

from fedrobust.engines.grid import SimulatedGrid
from fedrobust.errors import ConfigError
from fedrobust.memoize import part
from server.client_images import class_counts, known_here
from server.model_parts import ModelParts
from server.stages.central import CentralBaseline
from server.stages.clients import ClientComparison, LocalBaseline, spread
from server.weight_average import WeightAverage

MOST_COMPARED = 10_000
"""Most clients for which class distributions are computed."""


@dataclass(frozen=True, eq=False)
class BaselineParts(ModelParts):
    """What is known of the clients' images, and the training that the federation is compared with.

    See `ModelParts` for its attributes.
    """

    @part
    def class_counts(self) -> np.ndarray | None:
        """Number of images of each class at each client, (clients, classes).

        None for very many clients, for multi-label images, which have no one class, and in a deployment.
        """
        if not known_here(self.study, MOST_COMPARED):
            return None
        return class_counts(self.study)

    @part
    def mixes(self) -> np.ndarray | None:
        """The class distribution of each client, (clients, classes); None where classes are not counted."""
        counts = self.class_counts
        return None if counts is None else counts / counts.sum(axis=1, keepdims=True)

    @part
    def client_comparison(self) -> ClientComparison | None:
        """The comparison of clients' models; None without personal or local models.

        Raises:
            ConfigError: local models are set, but the clients' images are not on this machine.
        """
        study, wanted = self.study, self.study.experiment.evaluation
        local = "local" in wanted.baselines
        if not local and not hasattr(study.algorithm, "personal"):
            return None
        if not isinstance(self.grid, SimulatedGrid) or self.class_counts is None:
            if not local:
                return None
            raise ConfigError(
                f"evaluation.baselines = {list(wanted.baselines)}: local models are trained in a simulation of at "
                f"most {MOST_COMPARED} clients; leave it out"
            )
        malicious = set(study.schedule.malicious)
        honest = [client for client in range(len(self.class_counts)) if client not in malicious]
        return ClientComparison(
            self.evaluator,
            study.algorithm,
            self.class_counts,
            spread(honest, wanted.clients),
            len(honest),
            self.local_baseline if local else None,
            self.recalibrated_locally,
            lambda client, split: study.site_shifts.tested(client, split, study.problem.classes, study.seed),
            study.site_shifts.scanner,
        )

    @property
    def local_baseline(self) -> LocalBaseline:
        """The training of local models."""
        study = self.study
        return LocalBaseline(
            study.local_training, study.shard, self.initial[1], self.taken_part, study.changed_alone
        )

    @part
    def central_baseline(self) -> CentralBaseline | None:
        """The training on all images in one place; None unless it is set.

        Raises:
            ConfigError: it is set, but the server does not have the images.
        """
        study, wanted = self.study, self.study.experiment.evaluation.baselines
        if "central" not in wanted:
            return None
        if not isinstance(self.grid, SimulatedGrid):
            raise ConfigError(
                f"evaluation.baselines = {list(wanted)}: the central model is trained in a simulation, where all "
                'images are in one place; take "central" out'
            )
        return CentralBaseline(
            study.local_training,
            study.dataset.train,
            self.initial[1],
            self.taken_part,
            self.evaluator,
            self.weight_average,
            self.recalibrate,
        )

    @property
    def taken_part(self) -> list[int]:
        """The rounds in which a client takes part: their mean number, spread over the study.

        A single one is not before the recipe begins.
        """
        federation, begins = self.study.experiment.federation, self.study.experiment.training.recipe_from
        rounds = range(1, federation.rounds + 1)
        found = spread(rounds, max(1, round(federation.participation * len(rounds))))
        return found if len(found) > 1 else [max(found[0], begins)]

    @property
    def weight_average(self) -> WeightAverage | None:
        """The average of the weights over rounds; None where each round's own are evaluated."""
        decay = self.study.experiment.federation.average
        return WeightAverage(decay) if decay else None
