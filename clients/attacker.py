"""What a malicious client does in a round in which it attacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.memoize import memoize
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Attack, AttackContext, Schedule
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.crafting import Crafting


@dataclass(frozen=True, eq=False)
class Attacker:
    """A poisoning attack in the hands of one client.

    Attributes:
        attack: the study's.
        schedule: the rounds in which it is active.
        context: returns what the client knows before the first round.
        classifier: the global model, whose gradients an attack may follow.
    """

    attack: Attack
    schedule: Schedule
    context: Callable[[], AttackContext]
    classifier: Classifier

    def train(
        self, shard: Split, training: LocalTraining, weights: Weights, round: int
    ) -> tuple[Weights, Mapping[str, Any]]:
        """Return what the client sends instead of its honest weights, and the metrics that it claims.

        Args:
            shard: its images.
            training: what an honest client does.
            weights: the global ones.
            round: from 1.
        """
        context = self.in_round(weights, round)
        metrics: Mapping[str, Any] = {"loss": float("nan"), "seconds": 0.0, "round": round}
        trained = weights
        if self.attack.trains:
            images, labels = self.attack.data(shard.images, shard.labels, context)
            changed = self.attack.training(context)
            trained, metrics = training(Split(images, labels), weights, round, context.client_id, changed)
        update = self.attack.update(trained.trainable - weights.trainable, context)
        sent = Weights(weights.trainable + update, self.attack.statistics(trained.statistics, context))
        return sent, {**metrics, "num-examples": self.attack.claim(len(shard))}

    def in_round(self, weights: Weights, round: int) -> AttackContext:
        """Return what the client knows in `round`, having been sent the global `weights`."""
        before = self.context()
        return replace(
            before,
            round=round,
            generator=generator(before.seed, Purpose.POISONING, round, before.client_id + 1),
            current=weights.trainable,
            statistics=weights.statistics,
            variances=self.classifier.layout.places("variance"),
            perturb=partial(self._perturb, weights),
        )

    def _perturb(self, weights: Weights, images: np.ndarray, labels: np.ndarray, **how: Any) -> np.ndarray:
        return crafting_of(self.classifier)(weights, images, labels, **how)


@memoize(keep=4)
def crafting_of(classifier: Classifier) -> Crafting:
    """Return what moves images by a model's gradient, shared by the clients of a process."""
    return Crafting(classifier)
