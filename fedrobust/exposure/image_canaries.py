"""Canary images for the one-run audit of DP-SGD: each is in one hospital's training, or not, by a coin.

The audited hospital trains in as many rounds as the study has, by the study's own local training. The auditor is a
server that sees its updates and sends the initial model in every round, against which DP-SGD promises the same. The
canaries are images of other hospitals and of the server with a wrong label, whose gradients stay long.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.config.sections import Training
from fedrobust.data.dataset import Split
from fedrobust.evaluation.intervals import Interval
from fedrobust.exposure.dp_audit import deviation_interval
from fedrobust.leakage.confidence import Floats
from fedrobust.memoize import part
from fedrobust.models.layout import Weights
from fedrobust.privacy import DPSGD
from fedrobust.privacy.promise import Promise
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining
from fedrobust.training.batches import Batches
from fedrobust.training.image_gradients import ImageGradients
from fedrobust.training.private_update import PrivateUpdate
from fedrobust.training.steering import Trained

MOST_NUMBERS = 2**26
"""Values of the canaries' gradients that are held: 256 MB."""

LINEAR = 1e-3
"""Variance of what is not linear in an update, as a share of the mean squared effect of an image."""

OTHER = 10**6
"""Number of a client that no study has, whose random numbers are others than the audited client's."""


@dataclass(frozen=True)
class KnownSize(DPSGD):
    """DP-SGD of a client whose number of images is taken as known, as the promise does, whatever the coins say.

    Attributes:
        known: images.
    """

    known: int = 1

    def rate(self, images: int) -> float:
        """Return the probability that an image is in a batch."""
        return super().rate(self.known)

    def expected(self, images: int) -> float:
        """Return the expected size of a batch."""
        return super().expected(self.known)

    def steps(self, images: int) -> int:
        """Return the number of steps of a round."""
        return super().steps(self.known)


@dataclass(frozen=True, eq=False)
class ImageCanaries:
    """A hospital's DP-SGD with canary images; audited as a `fedrobust.exposure.dp_audit.Mechanism` is.

    Attributes:
        training: the study's local training, whose batches and noise come from the audit's seed.
        start: the initial global model.
        real: the hospital's own images beside the canaries.
        canaries: images with wrong labels.
        client: the hospital's number.
        gradients: function from weights and images to the clipped gradients of single images.
    """

    training: LocalTraining
    start: Weights
    real: Split | None
    canaries: Split
    client: int
    gradients: ImageGradients

    @classmethod
    def of(cls, study: Study, wanted: int, seed: int) -> "ImageCanaries":
        """Return the largest honest hospital of a study, with `wanted` canaries, or as many as there are images for.

        Half of them, as many as the coins include on average, take the place of its own images: it draws an image into
        a batch as often as the study's hospital does, with the same noise. So they are at most twice its images.

        Args:
            study: with DP-SGD.
            wanted: number of canaries.
            seed: of labels, batches and noise.
        """
        given, sizes = study.dp_sgd, study.partition.sizes
        assert given is not None
        honest = [client for client in range(len(sizes)) if client not in study.schedule.malicious]
        client = max(honest, key=lambda one: int(sizes[one]))
        others = [one for one in range(len(sizes)) if one != client]
        strange = Split.joined([*map(study.shard, others), study.dataset.validation])
        own = study.shard(client)
        held = max(2, MOST_NUMBERS // study.classifier.layout.parameters)
        most = min(wanted, len(strange), held, 2 * len(own))
        draw = np.random.default_rng([seed, 3])
        update = study.update_of(study.experiment.training)
        assert isinstance(update, PrivateUpdate)
        chosen = strange.of_rows(np.sort(draw.permutation(len(strange))[:most]))
        wrong = (chosen.labels + draw.integers(1, study.problem.classes, most)) % study.problem.classes
        left = len(own) - most // 2
        known = KnownSize(**vars(given), known=len(own))
        return cls(
            replace(study.local_training, privacy=known, seed=seed),
            study.initial()[1],
            own.of_rows(np.arange(left)) if left > 0 else None,
            Split(chosen.images, wrong.astype(np.int32)),
            client,
            ImageGradients(update),
        )

    @property
    def privacy(self) -> KnownSize:
        """DP-SGD at the hospital."""
        assert isinstance(self.training.privacy, KnownSize)
        return self.training.privacy

    @part
    def promise(self) -> Promise:
        """What the hospital promises to each of its images."""
        return self.privacy.promise(self.privacy.known)

    @property
    def rate(self) -> float:
        """Probability that an image is in a batch."""
        return self.promise.releases.rate

    @property
    def claimed_noise(self) -> float:
        """The noise of a step's sum that the promise implies, in clipping norms."""
        return self.promise.releases.noise_multiplier

    def sums(self, canaries: int, included: NDArray[np.bool_], draw: np.random.Generator) -> Floats:
        """Return the scores of the canaries: how often each was added to a round's sum, estimated from the updates.

        The update of a round is a sum of gradients along the way; they are taken halfway, at the mean of the weights
        that were sent and those that came back, both of which a server knows. How often each image was added, the
        canaries and the real ones, is estimated by ridge regression over all rounds: the best linear estimate for these
        variances and the measured noise, or the claimed one where none can be measured.

        Args:
            canaries: their number m.
            included: whether each is in the training, (m,).
            draw: not used: the training has random numbers of its own.
        """
        trained = [] if self.real is None else [self.real]
        if included.any():
            trained.append(self.canaries.of_rows(included))
        # Without any image there is nothing to train on: so the coins of m canaries fall once in 2^m.
        ends = self.ends(Split.joined(trained)) if trained else []
        known = self.canaries if self.real is None else Split.joined([self.canaries, self.real])
        steps = self.privacy.steps(0)
        drawn, times = np.arange(len(known)) < canaries, steps * self.rate
        shares = np.where(drawn, 0.5, 1.0)
        # Of real images in whole batches nothing is random.
        varies = np.maximum(times * (1 - self.rate) / max(1, len(ends)) * shares + drawn * times**2 / 4, 1e-9)
        gram, along = np.zeros((len(known), len(known))), np.zeros(len(known))
        for end in ends:
            halfway = (self.start.trainable + end.trainable) / 2
            slopes = self.gradients(halfway, known) * np.sqrt(varies, dtype=np.float32)[:, None]
            moved = self.start.trainable - end.trainable.astype(np.float64)
            rest = moved * self.privacy.expected(0) * steps / end.accumulated
            rest = rest - times * (shares / np.sqrt(varies)) @ slopes
            gram += slopes @ slopes.T
            along += slopes @ rest
        deviation = self.claimed_noise if self.measured is None else self.measured[0]
        ridge = steps * (deviation * self.privacy.clip) ** 2 + LINEAR * float(np.trace(gram)) / len(known)
        found = np.linalg.solve(gram + (ridge + 1e-12) * np.eye(len(known)), along)
        return np.asarray(found[:canaries], np.float64)

    def ends(self, shard: Split) -> list[Trained]:
        """Return the hospital's weights after each round, which it begins with the same model."""
        rounds = range(1, self.privacy.rounds + 1)
        found = [self.training(shard, self.start, round, self.client)[0] for round in rounds]
        return [one for one in found if isinstance(one, Trained)]

    def noise(self, draw: np.random.Generator) -> tuple[float, Interval] | None:
        """Return `measured`.

        Args:
            draw: not used: the training has random numbers of its own.
        """
        return self.measured

    @part
    def measured(self) -> tuple[float, Interval] | None:
        """The standard deviation of the noise in one step's sum, in clipping norms, and its interval.

        It is measured in two steps on batches without images, which differ in their noise alone. None with a local
        optimiser other than SGD, which does not pass it on in proportion, or with a learning rate of its own below the
        head.
        """
        settings = self.training.training
        proportional = settings.optimizer.startswith("sgd") and "nesterov" not in settings.optimizer
        if not proportional or settings.backbone_rate != 1:
            return None

        def one_step(changed: Training) -> Any:
            return EmptyStep(self.training.update(changed))

        emptied = replace(self.training, update=one_step)
        steps = [
            emptied(self.canaries, self.start, 1, client)[0].trainable.astype(np.float64)
            for client in (self.client, OTHER)
        ]
        plan = emptied.plan(self.canaries.labels, 1, self.client, settings.in_round(1))
        moved = (steps[0] - steps[1]) / math.sqrt(2) / float(plan.learning_rates[0])
        return deviation_interval(moved * self.privacy.expected(0) / self.privacy.clip)


@dataclass(frozen=True, eq=False)
class EmptyStep:
    """A local update whose first step, on no image, is its only one.

    Attributes:
        update: the whole one.
    """

    update: Any

    def __call__(
        self, weights: Weights, data: Any, batches: Batches, learning_rates: Any, **more: Any
    ) -> tuple[Weights, Mapping[str, Any]]:
        """Return the weights after the step; for the arguments see `fedrobust.training.private_update`."""
        empty = Batches(np.zeros((1, 1), np.int32), np.zeros(1, np.int32))
        after: tuple[Weights, Mapping[str, Any]] = self.update(
            weights, data, empty, learning_rates=learning_rates[:1], **more
        )
        return after
