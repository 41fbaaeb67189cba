"""What one hospital does in a round: one local update on its images, or what its attacker makes of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.config.resolve import attack_of
from fedrobust.data.dataset import Problem, Split
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.once import once
from fedrobust.poisoning import Scene, attacks_in
from fedrobust.randomness import Purpose, generator
from fedrobust.shares import sample_size
from fedrobust.study import classifier_of
from fedrobust.study.local_training import train_locally
from fedrobust.training.crafting import Crafting


@dataclass(frozen=True, eq=False)
class Hospital:
    """One client of a study.

    Attributes:
        experiment: the study.
        partition: which client it is.
        shard: its training images.
        problem: the shape of the study's images, and its classes.
    """

    experiment: Experiment
    partition: int
    shard: Split
    problem: Problem

    def train(self, weights: Weights, round: int) -> tuple[Weights, Mapping[str, Any]]:
        """Return the weights after one local update in `round` (from 1), and its metrics.

        A malicious client does what the study's poisoning attack says, in the rounds in which it attacks.
        """
        malicious = self.experiment.malicious
        if self.partition in malicious and attacks_in(self.experiment.poisoning, round):
            return self._attacked(weights, round, malicious)
        return train_locally(self.experiment, self.problem, self.shard, weights, round, self.partition)

    def _attacked(
        self, weights: Weights, round: int, malicious: tuple[int, ...]
    ) -> tuple[Weights, Mapping[str, Any]]:
        attack = attack_of(self.experiment.poisoning, self.experiment.base)
        scene = self._scene(weights, round, malicious)
        metrics: Mapping[str, Any] = {"loss": float("nan"), "seconds": 0.0, "round": round}
        trained = weights
        if attack.trains:
            settings = {"training": self.experiment.training.model_copy(update=dict(attack.training(scene)))}
            images, labels = attack.data(self.shard.images, self.shard.labels, scene)
            trained, metrics = train_locally(
                self.experiment.model_copy(update=settings),
                self.problem,
                Split(images, labels),
                weights,
                round,
                self.partition,
            )
        update = attack.update(trained.trainable - weights.trainable, scene)
        sent = Weights(weights.trainable + update, attack.statistics(trained.statistics, scene))
        return sent, {**metrics, "num-examples": attack.claim(len(self.shard))}

    def _scene(self, weights: Weights, round: int, malicious: tuple[int, ...]) -> Scene:
        federation, seed = self.experiment.federation, self.experiment.seed
        return Scene(
            partition=self.partition,
            rank=malicious.index(self.partition),
            malicious=len(malicious),
            clients=federation.clients,
            sampled=sample_size(federation.participation, federation.clients),
            classes=self.problem.classes,
            round=round,
            seed=seed,
            # Rounds count from 1: no round's numbers are those that stay.
            fixed=generator(seed, Purpose.POISONING, 0, self.partition + 1),
            generator=generator(seed, Purpose.POISONING, round, self.partition + 1),
            current=weights.trainable,
            statistics=weights.statistics,
            variances=classifier_of(self.experiment, self.problem).layout.places("variance"),
            perturb=partial(self._perturb, weights),
        )

    def _perturb(self, weights: Weights, images: np.ndarray, labels: np.ndarray, **how: Any) -> np.ndarray:
        return crafting_of(classifier_of(self.experiment, self.problem))(weights, images, labels, **how)


@once(keep=4)
def crafting_of(classifier: Classifier) -> Crafting:
    """Return what moves images by a model's gradient, shared by the clients of a process."""
    return Crafting(classifier)
