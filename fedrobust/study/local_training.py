"""One client's local training in one round, from the study's settings and the compiled local update."""

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from fedrobust.algorithms import State
from fedrobust.config.sections import Data, Training
from fedrobust.data.dataset import Split, digest
from fedrobust.data.problem import Problem
from fedrobust.data.resampling import augmented, undersampled
from fedrobust.memoize import memoize
from fedrobust.models.layout import Layout, Weights
from fedrobust.privacy import DPSGD
from fedrobust.randomness import Purpose, generator, graph_seed, noise_seed
from fedrobust.study.local_plan import Plan
from fedrobust.training.batches import draw_steps, poisson_batches
from fedrobust.training.head_update import HeadUpdate
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.part_update import PartUpdate
from fedrobust.training.private_update import PrivateUpdate
from fedrobust.training.schedule import balanced_class_weights, learning_rates, progress
from fedrobust.training.steering import Steering, Trained
from fedrobust.training.training_data import TrainingData

UNCHANGED: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class LocalTraining:
    """The local training of a client in a round; it keeps no state between calls.

    Attributes:
        training: settings of ``[training]``: epochs, batches, recipe, optimiser.
        data: settings of ``[data]``: undersampling and augmentation.
        rounds: number of rounds, over which the learning rate decays.
        problem: classes or findings of the labels.
        seed: the study's.
        update: function from settings to the compiled local update.
        privacy: of DP-SGD, which has batches and noise of its own; None: ordinary training.
        secret: whether batches and noise of DP-SGD come from the system's randomness, not from the study's seed.
    """

    training: Training
    data: Data
    rounds: int
    problem: Problem
    seed: int
    update: Callable[[Training], LocalUpdate | HeadUpdate | PartUpdate | PrivateUpdate]
    privacy: DPSGD | None = None
    secret: bool = False

    def __call__(
        self,
        shard: Split,
        weights: Weights,
        round: int,
        client: int,
        changed: Mapping[str, Any] = UNCHANGED,
        steering: Steering | None = None,
        work: float = 1.0,
        attacked: Mapping[str, Any] = UNCHANGED,
        like: float | None = None,
    ) -> tuple[Weights, Mapping[str, Any]]:
        """Return the weights after one local update on `shard`, and its metrics.

        The metrics are those of `LocalUpdate`, plus ``num-examples`` (images of the shard), ``seconds`` and ``round``.
        Undersampling and augmentation are drawn anew in every round; they do not change ``num-examples``, by which the
        server weights the client.

        Args:
            shard: the client's images.
            weights: initial weights.
            round: from 1.
            client: the client's number, which selects its random numbers.
            changed: settings of ``[training]`` that differ at the client; its recipe begins in the study's round.
            steering: correction, proximal term and mask that the algorithm adds to every step; None: none.
            work: share of the batches on which the client trains, above 0 and at most 1.
            attacked: settings of ``[training]`` that a malicious client or an algorithm changes, in whatever round.
            like: train for as many steps as a client with so many images; None: as its own images give.
        """
        training = self._settings(round, changed, attacked)
        claimed, shard = len(shard), self.resampled(shard, round, client, training.features_are_cached)
        # Undersampling and augmentation change the numbers of images of both alike.
        most = None if like is None else math.ceil(like * len(shard) / claimed)
        plan = self.plan(shard.labels, round, client, training, work, most)
        update = self.update(training)
        if isinstance(update, PartUpdate):
            update.check(weights)
        more: dict[str, Any] = {**({} if steering is None else {"steering": steering}), **plan.noise}
        started = time.perf_counter()
        trained, metrics = update(
            weights,
            TrainingData.of(shard.images, shard.labels),
            plan.batches,
            learning_rates=plan.learning_rates,
            seed=self.graph_seed(round, client),
            class_weights=plan.class_weights,
            prior=plan.prior,
            progress=plan.progress,
            **more,
        )
        seconds = time.perf_counter() - started
        return trained, {**metrics, "num-examples": claimed, "seconds": seconds, "round": round}

    def untrained(
        self,
        shard: Split,
        weights: Weights,
        round: int,
        client: int,
        changed: Mapping[str, Any] = UNCHANGED,
        work: float = 1.0,
    ) -> Trained:
        """Return `weights` as they came, with learning rates and optimiser of the steps that an honest client makes.

        For the arguments see `__call__`.
        """
        training = self._settings(round, changed)
        shard = self.resampled(shard, round, client, training.features_are_cached)
        update = self.update(training)
        rates = self.plan(shard.labels, round, client, training, work).learning_rates
        rates = np.repeat(np.asarray(rates, np.float32), update.replays)
        return Trained(weights.trainable, weights.statistics, rates, update.optimizer)

    def _settings(
        self, round: int, changed: Mapping[str, Any], attacked: Mapping[str, Any] = UNCHANGED
    ) -> Training:
        training = self.training.model_copy(update=dict(changed)).in_round(round)
        return training.model_copy(update=dict(attacked)) if attacked else training

    def plan(
        self,
        labels: np.ndarray,
        round: int,
        client: int,
        training: Training,
        work: float = 1.0,
        like: int | None = None,
    ) -> Plan:
        """Return the batches, learning rates and class weights of a client with `labels` (n,) in `round`.

        There are as many batches as a client with `like` images has; None: as its own images give. Of these the first
        are kept: their share `work`, rounded up.
        """
        images, private = len(labels), self.privacy
        count = self._steps(images if like is None else like, training)
        draw = generator(self.seed, Purpose.TRAINING, round, client)
        noise: Mapping[str, float] = UNCHANGED
        if private is None:
            batches = draw_steps(np.arange(images), count, training.batch_size, draw)
        else:
            own = generator(self.noise_seed, Purpose.TRAINING, round, client)
            draw = np.random.default_rng() if self.secret else own
            batches = poisson_batches(images, count, private.rate(images), draw)
            noise = {"noise": private.noise(images), "expected": private.expected(images)}
        rates = learning_rates(
            training.learning_rate,
            training.schedule,
            len(batches.sizes),
            round,
            self.rounds,
            training.warmup,
        )
        balanced = training.class_weights == "balanced"
        weights = balanced_class_weights(labels, self.problem.classes) if balanced else None
        steps = math.ceil(work * len(batches.sizes))
        shares = (self.problem.counts(labels) / len(labels)).astype(np.float32)
        # Of the rounds with the recipe; before them the training is plain.
        before = training.recipe_from - 1
        over = progress(len(batches.sizes), max(1, round - before), self.rounds - before)[:steps]
        return Plan(batches.first(steps), rates[:steps], over.astype(np.float32), weights, shares, noise)

    def _steps(self, images: int, training: Training) -> int:
        """Return the number of batches of a client with so many images in a round."""
        if self.privacy is not None:
            return self.privacy.steps(images)
        return training.epochs * -(-images // training.batch_size)

    def graph_seed(self, round: int, client: int) -> Any:
        """Return the (2,) int32 seed of a client's random numbers inside the graph in `round`."""
        if self.secret:
            return np.random.default_rng().integers(0, 2**31 - 1, 2).astype(np.int32)
        seed = self.seed if self.privacy is None else self.noise_seed
        return graph_seed(seed, Purpose.TRAINING, round, client)

    @property
    def noise_seed(self) -> int:
        """The seed of noise of differential privacy; see `fedrobust.randomness.noise_seed`."""
        return noise_seed(self.seed, self.data.train_share, self.data.train_draw)

    def resampled(self, shard: Split, round: int, client: int, views: bool = False) -> Split:
        """Return a client's images of a round: undersampled, then augmented, by the study's settings.

        Args:
            shard: its images.
            round: from 1.
            client: the client's number, which selects its random numbers.
            views: augmented copies are the same in every round, so that their features are computed once.
        """
        draw = generator(self.seed, Purpose.RESAMPLING, round, client)
        if views and self.data.augment:
            shard = views_of(shard, self.data.augment, self.seed, client)
            return undersampled(shard, draw) if self.data.undersample else shard
        if self.data.undersample:
            shard = undersampled(shard, draw)
        return augmented(shard, self.data.augment, draw) if self.data.augment else shard


SUMMED = ("examples", "steps", "seconds")
"""Metrics that are summed over the calls of a round; of the others the last call's value is kept."""


@dataclass(eq=False)
class LocalRound:
    """A client's local update in a round; see `fedrobust.algorithms.Train`.

    Attributes:
        training: the study's local training.
        shard: the client's images.
        client: the client's number, which selects its random numbers.
        round: from 1.
        layout: of the model's weights.
        broadcast: arrays that the server sends beside the weights.
        changed: settings of ``[training]`` that differ at the client.
        work: share of its batches on which the client trains.
        metrics: of the calls so far.
        attacked: settings of ``[training]`` that a malicious client changes.
    """

    training: LocalTraining
    shard: Split
    client: int
    round: int
    layout: Layout
    broadcast: State = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    work: float = 1.0
    metrics: Mapping[str, Any] = field(default_factory=dict)
    attacked: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self,
        start: Weights,
        correction: np.ndarray | None = None,
        pull: float = 0.0,
        trained: np.ndarray | None = None,
        epochs: int | None = None,
        shard: Split | None = None,
        changed: Mapping[str, Any] = UNCHANGED,
    ) -> Any:
        """Return the weights after training from `start`; for the first arguments see `fedrobust.algorithms.Train`.

        A malicious client may give other images in `shard`, and in `changed` further settings of ``[training]``.
        """
        attacked = {**self.attacked, **({} if epochs is None else {"epochs": epochs}), **changed}
        steers = correction is not None or pull or trained is not None
        steering = Steering(correction, pull, trained) if steers else None
        after, metrics = self.training(
            self.shard if shard is None else shard,
            start,
            self.round,
            self.client,
            self.changed,
            steering,
            self.work,
            attacked,
        )
        before = {name: self.metrics[name] for name in SUMMED if name in self.metrics}
        self.metrics = {**metrics, **{name: metrics[name] + value for name, value in before.items()}}
        return after

    def untrained(self, start: Weights) -> Trained:
        """Return `start` as after steps that moved nothing; see `LocalTraining.untrained`."""
        return self.training.untrained(self.shard, start, self.round, self.client, self.changed, self.work)


def _viewed(shard: Split, copies: int, seed: int, client: int) -> Hashable:
    return digest(shard), copies, seed, client


@memoize(keep=128, key=_viewed)
def views_of(shard: Split, copies: int, seed: int, client: int) -> Split:
    """Return a client's images followed by `copies` augmented copies of each, the same in every round."""
    # Round 0, whose random numbers no round uses: rounds count from 1.
    return augmented(shard, copies, generator(seed, Purpose.RESAMPLING, 0, client))
