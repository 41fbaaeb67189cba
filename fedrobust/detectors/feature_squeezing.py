"""Feature squeezing as a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fedrobust.bounds import Count
from fedrobust.defences.bit_depth import BitDepth
from fedrobust.defences.median import Median
from fedrobust.detectors.contract import DETECTORS, Score, Seen
from fedrobust.lazy import tf


@DETECTORS.register("feature-squeezing")
@dataclass(frozen=True, kw_only=True)
class FeatureSqueezing:
    """Compare the model's answers to the image and to squeezed copies (Xu et al., 2018, arXiv:1704.01155, section IV).

    The score is the largest l1 distance between the softmax probabilities of the image and of a copy: of fewer grey
    levels, and smoothed by a median. Non-local means, the paper's third squeezer, is left out. Attacks replace the
    gradient of the rounding by that of the identity (BPDA).

    Attributes:
        bits: of the grey levels.
        size: side of the median's neighbourhood in pixels, 3 or 5.

    Example:
        >>> images = tf.constant([0.2, 0.4], shape=(2, 1, 1, 1))
        >>> def answers(shown):
        ...     return tf.concat([shown[:, 0, 0], -shown[:, 0, 0]], axis=1)
        >>> score = FeatureSqueezing(bits=1).fitted(Seen(images, [0, 0], answers, answers))
        >>> [round(float(value), 3) for value in score(images)]  # tanh(0.2) and tanh(0.4): both are rounded to 0
        [0.197, 0.38]
    """

    bits: Count = 4
    size: Literal[3, 5] = 3

    def fitted(self, to: Seen) -> Score:
        """Return the score; nothing of it is fitted."""
        # Imports TensorFlow.
        from fedrobust.models.defended import defended

        squeezers = (BitDepth(bits=self.bits), Median(size=self.size))

        def score(images: Any) -> Any:
            plain = tf.nn.softmax(to.answers(images))
            distances = [
                tf.reduce_sum(tf.abs(plain - tf.nn.softmax(to.answers(defended(squeeze, images)))), axis=1)
                for squeeze in squeezers
            ]
            return tf.reduce_max(tf.stack(distances), axis=0)

        return score
