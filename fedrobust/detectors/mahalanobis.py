"""The Mahalanobis detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedrobust.bounds import Positive
from fedrobust.detectors.contract import DETECTORS, Score, Seen
from fedrobust.lazy import tf


@DETECTORS.register("mahalanobis")
@dataclass(frozen=True, kw_only=True)
class Mahalanobis:
    """Measure how far an image's features are from those of every class (Lee et al., 2018, arXiv:1807.03888).

    The score is the smallest squared Mahalanobis distance to a class mean, with one covariance for all classes
    (equations 1 and 2), in the inputs of the last Dense layer. Without the paper's preprocessing of the image and its
    ensemble of layers, whose weights are fitted to attacked images. A multiple of the identity is added to the
    covariance, which few images do not determine.

    Attributes:
        ridge: of the mean variance, added to the diagonal of the covariance.

    Example:
        >>> def features(shown):
        ...     return tf.reshape(shown, (-1, 2))
        >>> images = np.array([[0, 0], [2, 0], [0, 2], [2, 2]], np.float32)[:, None, :, None]
        >>> score = Mahalanobis(ridge=1e-6).fitted(Seen(images, np.zeros(4, np.int32), features, features))
        >>> score(np.array([[1, 1], [4, 1]], np.float32)[:, None, :, None]).numpy().round(3).tolist()
        [0.0, 9.0]
    """

    needs_features: ClassVar[bool] = True

    ridge: Positive = 0.01

    def fitted(self, to: Seen) -> Score:
        """Return the score, with means and covariance of the clean images."""
        parts = np.array_split(to.images, -(-len(to.images) // 64))
        values = np.concatenate([np.asarray(to.features(part)) for part in parts]).astype(np.float64)
        classes = np.unique(to.labels)
        means = np.stack([values[to.labels == label].mean(axis=0) for label in classes])
        apart = values - means[np.searchsorted(classes, to.labels)]
        covariance = apart.T @ apart / len(apart)
        spread = max(float(np.trace(covariance)) / len(covariance), 1e-12)
        factor = np.linalg.cholesky(np.linalg.inv(covariance + self.ridge * spread * np.eye(len(covariance))))
        whitening, centres = tf.constant(factor, tf.float32), tf.constant(means @ factor, tf.float32)

        def score(images: Any) -> Any:
            white = tf.matmul(to.features(images), whitening)
            return tf.reduce_min(tf.reduce_sum((white[:, None] - centres) ** 2, axis=2), axis=1)

        return score
