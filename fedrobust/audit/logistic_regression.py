"""Whether the training of a run is logistic regression on fixed features by plain SGD, and what a certificate needs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fedrobust.aggregation import Mean
from fedrobust.config.resolve_training import (
    loss_named,
    optimizer_of,
)
from fedrobust.evaluation.parameter_smoothing import exposure
from fedrobust.models.layout import Weights
from fedrobust.privacy.crfl import ClippedAndNoisy
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.record import RunRecord
from fedrobust.study import Study
from fedrobust.training.losses.cross_entropy import CrossEntropy
from fedrobust.training.optimizers.sgd import SGD


def unlike(study: Study, record: RunRecord) -> Iterator[str]:
    """Yield in what a run differs from federated averaging of logistic regression by plain SGD with all clients.

    Args:
        study: of the run.
        record: of the run.
    """
    given = study.experiment
    training, federation, data = given.training, given.federation, given.data
    optimizer, loss, rule = (
        optimizer_of(training, given.base),
        loss_named(training, given.base),
        study.defence.rule,
    )
    plain = isinstance(optimizer, SGD) and not optimizer.momentum and not optimizer.weight_decay
    mean = isinstance(rule, Mean) and rule.streams and rule.weighting != "capped"
    allowed = [
        (
            training.features_are_cached and study.prediction_defence is None,
            f'training.layers = "{training.layers}": a network\'s loss is not convex in its weights; a head on fixed '
            'features is logistic regression: layers = "head", recipe = "plain", no augmentations and no defence',
        ),
        (plain, f'training.optimizer = "{training.optimizer}": allowed is "sgd(momentum=0)"'),
        (loss == CrossEntropy(), f'training.loss = "{training.loss}": allowed is "cross-entropy"'),
        (training.class_weights == "none", 'training.class-weights = "balanced": allowed is "none"'),
        (
            training.algorithm == "fedavg" and not training.proximal,
            f'training.algorithm = "{training.algorithm}", training.proximal = {training.proximal:g}: allowed is '
            '"fedavg" without',
        ),
        (
            not data.undersample and not data.augment,
            f"data.undersample = {data.undersample}, data.augment = {data.augment}: the images of a round are drawn "
            "anew",
        ),
        (
            mean and not study.defence.before,
            f'federation.aggregator = "{federation.aggregator}", pre-aggregators {list(federation.pre_aggregators)}: '
            "one client may change the weights of the others; allowed is a mean by examples or uniform",
        ),
        (
            federation.server_optimizer == "none",
            f'federation.server-optimizer = "{federation.server_optimizer}": allowed is "none"',
        ),
        (
            federation.participation == 1 and federation.sampling == "fixed" and not federation.availability,
            "federation.participation, sampling or availability: all clients take part in all rounds",
        ),
        (
            len(study.postprocessors) == 1 and study.dp_sgd is None,
            f"federation.postprocessors = {list(federation.postprocessors)}: crfl alone, and no DP-SGD",
        ),
        (
            len(record.rounds) == federation.rounds
            and not any(one.kept or one.clients.failed for one in record.rounds),
            "a round of the run was rejected, or lost a client's reply",
        ),
    ]
    yield from (why for holds, why in allowed if not holds)


@dataclass(frozen=True)
class Attackers:
    """Malicious clients as a certificate assumes them: they change images and labels, and boost their updates.

    Attributes:
        clients: R, their number; which they are is assumed for the worst.
        poisoned: share of their images that have the backdoor.
        boost: gamma, the factor of their updates, with and without the backdoor: the certificate compares with a run in
            which the same clients boost clean updates.
        rounds: rounds in which they attack.
    """

    clients: int = 1
    poisoned: float = 1.0
    boost: float = 1.0
    rounds: int = 1


@dataclass(frozen=True)
class LogisticRegression:
    """What a certificate needs of a run's training.

    Attributes:
        images: of each client, (clients,) int.
        shares: p of each client in the mean, (clients,).
        start: largest norm of the weights that clients were sent.
        features: largest length of the features of a training image, that of the constant 1 of the bias included.
        rate: largest learning rate.
        batch: largest batch.
        epochs: in a round.
    """

    images: np.ndarray
    shares: np.ndarray
    start: float
    features: float
    rate: float
    batch: int
    epochs: int

    @classmethod
    def of(cls, study: Study, server: ClippedAndNoisy, initial: Weights) -> "LogisticRegression":
        """Return the quantities of a study; the noise of its rounds is drawn again.

        Args:
            study: see `unlike`.
            server: clips and adds noise.
            initial: the first global model.
        """
        given, rule = study.experiment, study.defence.rule
        uniform = isinstance(rule, Mean) and rule.weighting == "uniform"
        shards = [study.shard(client) for client in range(given.federation.clients)]
        images = np.array([len(shard) for shard in shards])
        weights = np.ones(len(images)) if uniform else images
        lengths = [
            np.linalg.norm(study.features.of(one.images).astype(np.float64), axis=1).max() for one in shards
        ]
        size = len(initial.trainable)
        noise = [
            np.linalg.norm(
                server.noise(size, generator(study.seed, Purpose.MODEL_NOISE, round)).astype(np.float64)
            )
            for round in range(1, given.federation.rounds)
        ]
        sent = [float(np.linalg.norm(initial.trainable)), server.settings.norm + max(noise, default=0.0)]
        return cls(
            images,
            weights / weights.sum(),
            float(max(sent[: given.federation.rounds])),
            math.hypot(max(lengths), 1.0),
            given.training.learning_rate,
            given.training.batch_size,
            given.training.epochs,
        )

    @property
    def contracts(self) -> bool:
        """Whether a step of SGD brings no two models farther apart: eta <= 1 / beta, beta = features^2 / 2."""
        return self.rate * self.features**2 <= 2

    def moves(self, attackers: Attackers) -> list[float]:
        """Return p gamma tau eta q / n of the clients where it is largest, times the attacked rounds."""
        reach = [
            float(share) * exposure(int(count), self.batch, self.epochs, attackers.poisoned)
            for share, count in zip(self.shares, self.images, strict=True)
        ]
        worst = sorted(reach, reverse=True)[: attackers.clients]
        return [attackers.boost * self.rate * attackers.rounds * one for one in worst]

    def longest(self, features: float) -> float:
        """Return the largest norm of weights in local training on features up to `features`: start + tau eta |g|."""
        steps = self.epochs * -(-int(self.images.max()) // self.batch)
        return self.start + steps * self.rate * math.sqrt(2) * features
