"""The local training and update of a malicious client in a round in which it attacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from clients.guided_round import GuidedRound
from fedrobust.algorithms import Algorithm, State
from fedrobust.algorithms.contract import (
    NOTHING,
    Sent,
    divisor_of,
    normalises,
    sends_of,
    sent_by_client,
)
from fedrobust.data.calibration_sample import calibration_sample
from fedrobust.data.dataset import Split
from fedrobust.memoize import memoize
from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features, head_logits
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import recalibration_of
from fedrobust.poisoning import Attack, AttackContext, AttackerTools, AttackMemory, Schedule
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import LocalRound, LocalTraining
from fedrobust.training.crafting import Crafting
from fedrobust.training.probe import Probe


@dataclass(frozen=True, eq=False)
class Attacker:
    """A poisoning attack at one client.

    Attributes:
        attack: the study's.
        schedule: the rounds in which it is active.
        context: returns the client's knowledge before the first round.
        classifier: the global model, whose gradients an attack may use.
        training: its local training, if an attack's masks steer it; None: that of the honest clients.
        features: returns a frozen backbone's features, by which success is measured; None: through the whole network.
    """

    attack: Attack
    schedule: Schedule
    context: Callable[[], AttackContext]
    classifier: Classifier
    training: LocalTraining | None = None
    features: Callable[[], Features] | None = None

    def train(
        self,
        honest: LocalRound,
        weights: Weights,
        algorithm: Algorithm,
        state: State,
        measure: Callable[[Weights], Weights] | None = None,
        memory: State = NOTHING,
    ) -> tuple[Sent, Mapping[str, Any]]:
        """Return the weights and metrics that the client sends instead of its honest ones.

        If the attack trains, the client follows the study's algorithm on poisoned images: it keeps the algorithm's
        state and sends its arrays. If it does not train, those arrays are zero; with an algorithm that normalises they
        are those of an honest client, by which its update is divided, too.

        Args:
            honest: the local update on its images.
            weights: the global weights.
            algorithm: the study's.
            state: the client's state of the algorithm.
            measure: returns weights with BatchNorm statistics of all of its images; None: moving statistics are sent.
            memory: what the attack kept of its last round.
        """
        if self.training is not None:
            honest = replace(honest, training=self.training)
        context = self.in_round(weights, honest.round, memory)
        context = self.attack.prepared(replace(context, tools=self._tools(honest)))
        success = partial(self._success, honest.shard, context)
        context = replace(context, tools=replace(context.tools, success=success))
        metrics: Mapping[str, Any] = {"loss": float("nan"), "seconds": 0.0, "round": honest.round}
        sends = sends_of(algorithm, self.classifier.layout)
        sent = Sent(weights, state, {name: np.zeros(size, np.float32) for name, size in sends.items()})
        if self.attack.trains:
            images, labels = self.attack.data(honest.shard.images, honest.shard.labels, context)
            poisoned = Split(images, labels)
            train = replace(honest, shard=poisoned, attacked=self.attack.training(context))
            tools = replace(context.tools, poisoned=poisoned)
            guided = GuidedRound(train, self.attack, replace(context, tools=tools))
            sent = sent_by_client(algorithm, weights, state, guided if self.attack.guides else train)
            metrics = {**metrics, **train.metrics}
            if measure is not None:
                sent = replace(sent, weights=measure(sent.weights))
        elif normalises(algorithm):
            beside = sent_by_client(algorithm, weights, state, honest.untrained).arrays
            sent = replace(sent, arrays=beside)
            context = replace(context, divisor=divisor_of(algorithm, beside))
        if measure is not None:  # the server averages second moments
            context = replace(context, means=self.classifier.layout.places("moving_mean"))
        update = self.attack.update(sent.weights.trainable - weights.trainable, context)
        replaced = Weights(
            weights.trainable + update, self.attack.statistics(sent.weights.statistics, context)
        )
        claims = {
            "num-examples": self.attack.claim(len(honest.shard)),
            "loss": self.attack.claimed_loss(metrics["loss"]),
        }
        kept = self._kept(context, weights, update)
        return replace(sent, weights=replaced, memory=kept), {**metrics, **claims}

    def observed(self, sent: Sent, weights: Weights, round: int, memory: State) -> Sent:
        """Return what an honest round's client `sent`, with what it remembers of a round in which it does not attack.

        Args:
            sent: its weights and state.
            weights: the global weights.
            round: from 1.
            memory: what the attack kept of its last round.
        """
        context = self.in_round(weights, round, memory)
        update = sent.weights.trainable - weights.trainable
        return replace(sent, memory=self._kept(context, weights, update))

    def _kept(self, context: AttackContext, weights: Weights, update: np.ndarray) -> State:
        if not self.attack.remembers:
            return NOTHING
        return self.attack.kept(context, weights.trainable, update).arrays()

    def in_round(self, weights: Weights, round: int, memory: State = NOTHING) -> AttackContext:
        """Return the client's knowledge in `round` with the global `weights` and its `memory`."""
        before = self.context()
        return replace(
            before,
            round=round,
            generator=generator(before.seed, Purpose.POISONING, round, before.client_id + 1),
            current=weights.trainable,
            statistics=weights.statistics,
            variances=self.classifier.layout.places("variance"),
            perturb=partial(self._perturb, weights),
            layout=self.classifier.layout,
            memory=AttackMemory.of(memory),
        )

    def _tools(self, honest: LocalRound) -> AttackerTools:
        """Return the client's images and functions of weights."""

        def measured(weights: Weights) -> Weights:
            if not self.classifier.layout.statistics:
                return weights
            sample = calibration_sample(honest.shard, honest.training.seed)
            return recalibration_of(self.classifier)(weights, sample.images)

        def update(
            start: Weights,
            split: Split,
            trained: np.ndarray | None = None,
            epochs: int | None = None,
            **changed: Any,
        ) -> Weights:
            made: Weights = replace(honest)(
                start, trained=trained, epochs=epochs, shard=split, changed=changed
            )
            return made

        return AttackerTools(
            honest.shard,
            honest.shard,
            update,
            lambda weights, images: probe_of(self.classifier).logits(weights, images),
            lambda weights, images, labels: probe_of(self.classifier).gradients(weights, images, labels),
            measured=measured,
        )

    def _success(self, shard: Split, context: AttackContext, weights: Weights) -> float:
        """Return the attack success rate of `weights` on the client's own images, NaN without a criterion."""
        criterion = self.attack.criterion(shard, context)
        if criterion is None:
            return float("nan")
        weights = context.tools.measured(weights)
        if self.features is None:
            logits = probe_of(self.classifier).logits(weights, criterion.images)
        else:
            # An attack asks for the success of several models on the same images.
            features = self.features().of(criterion.images)
            logits = head_logits(features, self.classifier, weights.trainable)
        return float((logits.argmax(1) == criterion.target_labels).mean())

    def _perturb(self, weights: Weights, images: np.ndarray, labels: np.ndarray, **how: Any) -> np.ndarray:
        return crafting_of(self.classifier)(weights, images, labels, **how)


@memoize(keep=4)
def crafting_of(classifier: Classifier) -> Crafting:
    """Return the crafting of adversarial images for a model, shared by the clients of a process."""
    return Crafting(classifier)


@memoize(keep=4)
def probe_of(classifier: Classifier) -> Probe:
    """Return the logits and input gradients of a model, shared by the clients of a process."""
    return Probe(classifier)
