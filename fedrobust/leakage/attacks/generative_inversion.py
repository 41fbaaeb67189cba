"""Reconstruction of images from one update by an untrained generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fedrobust.bounds import Count, NonNegative, Positive
from fedrobust.lazy import tf
from fedrobust.leakage.captured import CapturedUpdate, Reconstruction
from fedrobust.leakage.contract import LEAKAGE, InversionAttack
from fedrobust.leakage.labels import restored_labels
from fedrobust.leakage.matching import Match, variation

CODE = 32
"""Channels of the generator's fixed input."""

SLOPE = 0.1
"""Of the generator's leaky ReLU."""


@LEAKAGE.register("generative-inversion")
@dataclass(frozen=True, kw_only=True)
class GenerativeInversion(InversionAttack):
    """Search weights of an untrained generator whose images have the update's gradient (Zhang et al., 2023, Generative
    Gradient Inversion via Over-Parameterized Networks in Federated Learning, ICCV).

    A convolutional generator turns fixed noise, a quarter as high and wide, into the images; Adam trains its weights,
    from random ones, to minimise 1 - cosine(gradient of the images, captured gradient) + total_variation * TV(images).
    Such a generator gives images with structure long before noise (Ulyanov, Vedaldi and Lempitsky, 2018,
    arXiv:1711.10925): the search passes by the minima in which one over pixels ends. Labels are restored first; the
    images of the best match are kept. The paper's generator is deeper; it has no total variation.

    Attributes:
        images: of the attacked client; the fewer, the easier.
        steps: of the search.
        learning_rate: of Adam at the first step; it falls to 0 along half a cosine.
        total_variation: weight of the mean absolute difference of neighbouring pixels.
        moments: weight of the BatchNorm statistics that the client sent, see `fedrobust.leakage.matching.Match`.
        filters: of the generator's layers.
        restarts: searches from other noise and weights; the best match is kept.
        trials: clients that are attacked, one update each.
        round: of the attacked updates, see `output.keep-every`; in the first the model is untrained, which is easiest.
    """  # noqa: D205

    steps: Count = 1000
    learning_rate: Positive = 0.01
    total_variation: NonNegative = 3e-3
    moments: NonNegative = 1.0
    filters: Count = 64
    restarts: Count = 1

    def __call__(self, captured: CapturedUpdate) -> Reconstruction:
        """Return the reconstruction with the best match."""
        classifier = captured.classifier
        slope = captured.gradient[-classifier.classes :]
        labels = restored_labels(slope, captured.answers, captured.images)
        shape = (captured.images, *classifier.preparation.native)
        search, found = self._search(Match(captured, labels, self.moments), shape), []
        for restart in range(self.restarts):
            draw = np.random.default_rng([captured.seed, restart])
            found.append(search(code(draw, shape), weights(draw, self.filters, shape[-1])))
        images, matched, _ = min(found, key=lambda each: each[2])
        return Reconstruction(images, labels, matched)

    def _search(
        self, match: Match, shape: tuple[int, ...]
    ) -> Callable[[np.ndarray, list[np.ndarray]], tuple[np.ndarray, float, float]]:
        """Return the compiled search from a code and weights to images, their cosine and their distance."""

        def body(step: Any, best: tuple[Any, ...], code: Any, weights: Any, mean: Any, square: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                images = generated(code, weights, shape[1:3])
                distance, cosine = match(images)
                objective = distance + self.total_variation * variation(images)
            better = distance < best[0]
            best = tuple(
                tf.where(better, now, before)
                for now, before in zip((distance, cosine, images), best, strict=True)
            )
            time = tf.cast(step + 1, tf.float32)
            rate = self.learning_rate * 0.5 * (1 + tf.cos(np.pi * (time - 1) / self.steps))
            slopes = tape.gradient(objective, weights)
            mean = [0.9 * old + 0.1 * slope for old, slope in zip(mean, slopes, strict=True)]
            square = [0.999 * old + 0.001 * slope**2 for old, slope in zip(square, slopes, strict=True)]
            weights = [
                each - rate * (m / (1 - 0.9**time)) / (tf.sqrt(s / (1 - 0.999**time)) + 1e-8)
                for each, m, s in zip(weights, mean, square, strict=True)
            ]
            return step + 1, best, code, weights, mean, square

        @tf.function  # type: ignore[untyped-decorator]
        def search(code: Any, weights: Any) -> Any:
            zeros = [tf.zeros_like(each) for each in weights]
            best = (tf.constant(np.inf, tf.float32), tf.constant(-1.0), tf.zeros(shape))
            start = (tf.constant(0), best, code, weights, zeros, zeros)
            return tf.while_loop(lambda step, *_: step < self.steps, body, start, parallel_iterations=1)[1]

        def searched(code: np.ndarray, weights: list[np.ndarray]) -> tuple[np.ndarray, float, float]:
            distance, cosine, images = search(tf.constant(code), [tf.constant(each) for each in weights])
            return np.asarray(images), float(cosine), float(distance)

        return searched


def code(draw: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Return the generator's input for images of a shape (n, height, width, channels): a quarter as high and wide."""
    images, height, width = shape[:3]
    return draw.normal(size=(images, -(-height // 4), -(-width // 4), CODE)).astype(np.float32)


def weights(draw: np.random.Generator, filters: int, channels: int) -> list[np.ndarray]:
    """Return random weights of the generator: of each layer a kernel (He et al., 2015), a scale and a shift.

    The last layer has a kernel and a shift.
    """
    sizes, found = (CODE, filters, filters, max(filters // 2, 1), max(filters // 2, 1), channels), []
    for before, after in pairwise(sizes):
        found.append(draw.normal(size=(3, 3, before, after)) * np.sqrt(2 / (9 * before)))
        found += [np.ones(after), np.zeros(after)]
    return [each.astype(np.float32) for each in (*found[:-2], found[-1])]


def generated(code: Any, weights: Sequence[Any], sides: tuple[int, ...]) -> Any:
    """Return the generator's images (n, height, width, channels) in [0, 1] of a code (n, h, w, c).

    Four 3 x 3 convolutions, each normalised over the pixels of an image; the code's sides are doubled after the first
    and after the second. The last convolution ends in a sigmoid.
    """
    height, width = sides
    x, sizes = code, {1: (-(-height // 2), -(-width // 2)), 2: (height, width)}
    for layer in range(4):
        kernel, scale, shift = weights[3 * layer : 3 * layer + 3]
        if layer in sizes:
            x = tf.image.resize(x, sizes[layer], "bilinear")
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        x = tf.nn.leaky_relu(scale * (x - mean) * tf.math.rsqrt(variance + 1e-5) + shift, SLOPE)
    return tf.sigmoid(tf.nn.conv2d(x, weights[-2], 1, "SAME") + weights[-1])
