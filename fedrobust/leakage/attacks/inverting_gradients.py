"""Reconstruction of images from one update by matching gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.bounds import Count, NonNegative, Positive
from fedrobust.lazy import tf
from fedrobust.leakage.captured import CapturedUpdate, Reconstruction
from fedrobust.leakage.contract import LEAKAGE, InversionAttack
from fedrobust.leakage.labels import restored_labels

DROPS = (3 / 8, 5 / 8, 7 / 8)
"""Shares of the steps after which the step size falls to a tenth, as in the authors' code."""


@LEAKAGE.register("inverting-gradients")
@dataclass(frozen=True, kw_only=True)
class InvertingGradients(InversionAttack):
    """Search images whose gradient points along the update (Geiping et al., 2020, arXiv:2003.14053, equation 4).

    Minimises 1 - cosine(gradient of the images, captured gradient) + total_variation * TV(images) by Adam on the sign
    of the gradient, with images kept in [0, 1] and labels restored first. The network is in training mode, as the
    client's was: BatchNorm normalises by the statistics of the searched images, unless the study freezes it.

    The update of several local steps, or of another optimiser, is treated as if it were one gradient; the paper
    unrolls the steps of SGD (section 6).

    Attributes:
        images: of the attacked client; the fewer, the easier.
        steps: of the search.
        step_size: of the first steps, pixels in [0, 1].
        total_variation: weight of the mean absolute difference of neighbouring pixels.
        restarts: searches from other noise; the best match is kept.
        trials: clients that are attacked, one update each.
        round: of the attacked updates, see `output.keep-every`; in the first the model is untrained, which is easiest.
    """

    steps: Count = 2000
    step_size: Positive = 0.1
    total_variation: NonNegative = 1e-2
    restarts: Count = 1

    def __call__(self, captured: CapturedUpdate) -> Reconstruction:
        """Return the reconstruction with the best match."""
        classifier = captured.classifier
        slope = captured.gradient[-classifier.classes :]
        labels = restored_labels(slope, captured.answers, captured.images)
        search = self._search(captured, labels)
        shape = (captured.images, *classifier.preparation.native)
        found = [
            search(np.random.default_rng([captured.seed, restart]).random(shape).astype(np.float32))
            for restart in range(self.restarts)
        ]
        images, matched = max(found, key=lambda each: each[1])
        return Reconstruction(images, labels, matched)

    def _search(
        self, captured: CapturedUpdate, labels: np.ndarray
    ) -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
        """Return the compiled search from initial images to images and the cosine that they reach."""
        classifier = captured.classifier
        trainable, statistics = classifier.arrays(captured.start)
        wanted = captured.gradient / max(float(np.linalg.norm(captured.gradient)), 1e-12)
        directions = [tf.constant(each) for each in classifier.layout.split(tf.constant(wanted), "trainable")]
        targets = tf.constant(labels)

        def cosine(images: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(trainable)
                prepared = classifier.preparation(images)
                logits = classifier.logits(trainable, statistics, prepared, training=True)[0]
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
                loss = tf.reduce_mean(losses)
            slopes = tape.gradient(loss, trainable)
            along = tf.add_n(
                [tf.reduce_sum(mine * its) for mine, its in zip(slopes, directions, strict=True)]
            )
            return along / (tf.linalg.global_norm(slopes) + 1e-12)

        def body(step: Any, images: Any, mean: Any, square: Any) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                objective = 1 - cosine(images) + self.total_variation * variation(images)
            sign = tf.sign(tape.gradient(objective, images))
            share = tf.cast(step, tf.float32) / self.steps
            drops = tf.add_n([tf.cast(share >= drop, tf.float32) for drop in DROPS])
            mean, square = 0.9 * mean + 0.1 * sign, 0.999 * square + 0.001 * sign**2
            time = tf.cast(step + 1, tf.float32)
            unbiased = mean / (1 - 0.9**time), square / (1 - 0.999**time)
            moved = images - self.step_size * 0.1**drops * unbiased[0] / (tf.sqrt(unbiased[1]) + 1e-8)
            return step + 1, tf.clip_by_value(moved, 0, 1), mean, square

        @tf.function  # type: ignore[untyped-decorator]
        def search(images: Any) -> Any:
            zeros = tf.zeros_like(images)
            _, images, _, _ = tf.while_loop(
                lambda step, *_: step < self.steps,
                body,
                (tf.constant(0), images, zeros, zeros),
                parallel_iterations=1,
            )
            return images, cosine(images)

        def searched(images: np.ndarray) -> tuple[np.ndarray, float]:
            found, matched = search(tf.constant(images))
            return np.asarray(found), float(matched)

        return searched


def variation(images: Any) -> Any:
    """Return the total variation: mean absolute difference of neighbours, down plus across."""
    down = tf.reduce_mean(tf.abs(images[:, 1:] - images[:, :-1]))
    return down + tf.reduce_mean(tf.abs(images[:, :, 1:] - images[:, :, :-1]))
