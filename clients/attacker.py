"""The local training and update of a malicious client in a round in which it attacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fedrobust.algorithms import Algorithm, State
from fedrobust.algorithms.contract import Sent, sends_of, sent_by_client
from fedrobust.data.dataset import Split
from fedrobust.memoize import memoize
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Attack, AttackContext, Schedule
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import LocalRound
from fedrobust.training.crafting import Crafting


@dataclass(frozen=True, eq=False)
class Attacker:
    """A poisoning attack at one client.

    Attributes:
        attack: the study's.
        schedule: the rounds in which it is active.
        context: returns the client's knowledge before the first round.
        classifier: the global model, whose gradients an attack may use.
    """

    attack: Attack
    schedule: Schedule
    context: Callable[[], AttackContext]
    classifier: Classifier

    def train(
        self,
        honest: LocalRound,
        weights: Weights,
        algorithm: Algorithm,
        state: State,
        measure: Callable[[Weights], Weights] | None = None,
    ) -> tuple[Sent, Mapping[str, Any]]:
        """Return the weights and metrics that the client sends instead of its honest ones.

        If the attack trains, the client follows the study's algorithm on poisoned images: it keeps the algorithm's
        state and sends its arrays. If it does not train, those arrays are zero.

        Args:
            honest: the local update on its images.
            weights: the global weights.
            algorithm: the study's.
            state: the client's state of the algorithm.
            measure: returns weights with BatchNorm statistics of all of its images; None: moving statistics are sent.
        """
        context = self.in_round(weights, honest.round)
        metrics: Mapping[str, Any] = {"loss": float("nan"), "seconds": 0.0, "round": honest.round}
        sends = sends_of(algorithm, self.classifier.layout)
        sent = Sent(weights, state, {name: np.zeros(size, np.float32) for name, size in sends.items()})
        if self.attack.trains:
            images, labels = self.attack.data(honest.shard.images, honest.shard.labels, context)
            changed = {**honest.changed, **self.attack.training(context)}
            train = replace(honest, shard=Split(images, labels), changed=changed)
            sent = sent_by_client(algorithm, weights, state, train)
            metrics = train.metrics
            if measure is not None:
                sent = replace(sent, weights=measure(sent.weights))
        update = self.attack.update(sent.weights.trainable - weights.trainable, context)
        poisoned = Weights(
            weights.trainable + update, self.attack.statistics(sent.weights.statistics, context)
        )
        claims = {
            "num-examples": self.attack.claim(len(honest.shard)),
            "loss": self.attack.claimed_loss(metrics["loss"]),
        }
        return replace(sent, weights=poisoned), {**metrics, **claims}

    def in_round(self, weights: Weights, round: int) -> AttackContext:
        """Return the client's knowledge in `round` with the global `weights`."""
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
    """Return the crafting of adversarial images for a model, shared by the clients of a process."""
    return Crafting(classifier)
