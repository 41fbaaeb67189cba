"""The confidences of a study's models in the labels of images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.lazy import tf
from fedrobust.leakage import confidence
from fedrobust.leakage.confidence import Floats
from fedrobust.memoize import part
from fedrobust.models.features import head_logits
from fedrobust.models.layout import Weights
from fedrobust.study import Study

BATCH = 128
"""Images in a call of the model."""


@dataclass(frozen=True, eq=False)
class Confidences:
    """The models of a study by their weights, asked for the confidence in images' own labels.

    Where only the head is trained, on features that are computed once, so are these.

    Attributes:
        study: of the models.
    """

    study: Study

    def __call__(self, weights: Weights, split: Split) -> Floats:
        """Return the confidences (n,) of the model with `weights`; see `fedrobust.leakage.confidence`."""
        return confidence(self.logits(weights, split.images), split.labels)

    def logits(self, weights: Weights, images: np.ndarray) -> np.ndarray:
        """Return the logits (n, classes) of stored images, uint8 (n, height, width, channels)."""
        classifier = self.study.classifier
        if self.study.experiment.training.features_are_cached and classifier.defence is None:
            return head_logits(self.study.features.of(images), classifier, weights.trainable)
        arrays = classifier.arrays(weights)
        parts = [
            np.asarray(self._answers(*arrays, tf.constant(images[at : at + BATCH])))
            for at in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts)

    @part
    def _answers(self) -> Any:
        classifier = self.study.classifier

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def answers(trainable: Any, statistics: Any, stored: Any) -> Any:
            return classifier.answers(trainable, statistics, tf.cast(stored, tf.float32) / 255.0)

        return answers
