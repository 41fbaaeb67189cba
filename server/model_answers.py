"""Answers of models near the global one: on noise, and on the server's own images."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from fedrobust.aggregation.answers import Fusion, Sent
from fedrobust.data.label_sets import unpacked
from fedrobust.evaluation.metrics import log_softmax
from fedrobust.models.layout import Weights
from fedrobust.training.fusion import fuse
from server.root_update import root_images
from server.stages.evaluation import Evaluator


@dataclass(frozen=True, eq=False)
class StudyAnswers:
    """The answers of a study's models in one round; see `fedrobust.aggregation.answers.ModelAnswers`.

    Colluding clients evaluate the defence many times, with the same honest updates: answers are computed once.

    Attributes:
        evaluator: of the global model, with the server's images.
        current: the global weights that clients were sent.
        seed: the study's.
        recalibrate: measures a model's BatchNorm statistics anew, if the study recalibrates the global model's:
            a client's moving ones fit its weights badly after a few steps. None: models answer with those sent.
    """

    evaluator: Evaluator
    current: Weights
    seed: int
    recalibrate: Callable[[Weights], Weights] | None = None
    _known: dict[tuple[bytes, str, int, int], np.ndarray] = field(default_factory=dict, repr=False)
    _statistics: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)

    def on_noise(self, update: np.ndarray, statistics: np.ndarray, images: int, seed: int) -> np.ndarray:
        """Return the probabilities (images, classes) of a model on uniform noise of 256 grey levels."""

        def answered(model: Weights) -> np.ndarray:
            draw = np.random.default_rng([self.seed, seed])
            shape = self.evaluator.dataset.validation.images.shape[1:]
            logits = self._logits(model, draw.integers(0, 256, (images, *shape), np.uint8))
            if self.evaluator.dataset.multilabel:
                return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
            return np.exp(log_softmax(logits))

        return self._once(update, statistics, ("noise", images, seed), answered)

    def class_losses(self, update: np.ndarray, statistics: np.ndarray, images: int) -> np.ndarray:
        """Return a model's mean loss on the server's images of each class, (classes,); NaN for classes without any.

        Where an image has several labels, the mean loss of each label on all images.
        """

        def answered(model: Weights) -> np.ndarray:
            own = root_images(self.evaluator.dataset.validation, images, self.seed)
            logits = self._logits(model, own.images)
            if self.evaluator.dataset.multilabel:
                present = unpacked(own.labels, logits.shape[1])
                return np.logaddexp(0, np.where(present, -logits, logits)).mean(0)
            losses = -log_softmax(logits)[np.arange(len(logits)), own.labels]
            sums = np.bincount(own.labels, losses, logits.shape[1])
            counts = np.bincount(own.labels, minlength=logits.shape[1])
            return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)

        return self._once(update, statistics, ("losses", images, 0), answered)

    def fused(self, models: Iterable[Sent], start: Sent, fusion: Fusion, round: int) -> np.ndarray:
        """Return the update of the model that is trained from `start` on the mean logits of `models`."""
        validation = self.evaluator.dataset.validation
        own = root_images(validation, fusion.images, self.seed) if fusion.images else validation

        def logits(model: Weights) -> np.ndarray:
            return self._logits(model, own.images)

        asked = ("logits", fusion.images, 0)
        each = [self._once(update, statistics, asked, logits) for update, statistics in models]
        first = Weights(self.current.trainable + start[0], np.asarray(start[1], np.float32))
        trained = fuse(
            self.evaluator.classifier, first, own.images, np.mean(each, axis=0), fusion, self.seed, round
        )
        return trained.trainable - self.current.trainable

    def _logits(self, model: Weights, images: np.ndarray) -> np.ndarray:
        # With frozen layers their features of these images, the same in every round, are computed once.
        logits = self.evaluator.clean_logits(self._measured(model), images).astype(np.float64)
        # A client may send a model that overflows; what it answers must not stop the round.
        return np.nan_to_num(logits, nan=0.0, posinf=1e30, neginf=-1e30)

    def _measured(self, model: Weights) -> Weights:
        if self.recalibrate is None:
            return model
        # Rules ask a model several times, and measuring takes many more images than they ask about.
        key = hashlib.blake2b(model.trainable.tobytes()).digest()
        if key not in self._statistics:
            self._statistics[key] = self.recalibrate(model).statistics
        return Weights(model.trainable, self._statistics[key])

    def _once(
        self,
        update: np.ndarray,
        statistics: np.ndarray,
        asked: tuple[str, int, int],
        answered: Callable[[Weights], np.ndarray],
    ) -> np.ndarray:
        model = Weights(self.current.trainable + update, np.asarray(statistics, np.float32))
        digest = hashlib.blake2b(model.trainable.tobytes())
        digest.update(model.statistics.tobytes())
        key = (digest.digest(), *asked)
        if key not in self._known:
            self._known[key] = answered(model)
        return self._known[key]
