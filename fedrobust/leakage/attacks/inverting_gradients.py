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
from fedrobust.leakage.matching import Match, variation

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
        moments: weight of the BatchNorm statistics that the client sent, see `fedrobust.leakage.matching.Match`; 0, as
            in the paper: not used.
        restarts: searches from other noise; the best match is kept.
        trials: clients that are attacked, one update each.
        round: of the attacked updates, see `output.keep-every`; in the first the model is untrained, which is easiest.
    """

    steps: Count = 2000
    step_size: Positive = 0.1
    total_variation: NonNegative = 1e-2
    moments: NonNegative = 0.0
    restarts: Count = 1

    def __call__(self, captured: CapturedUpdate) -> Reconstruction:
        """Return the reconstruction with the best match."""
        classifier = captured.classifier
        slope = captured.gradient[-classifier.classes :]
        labels = restored_labels(slope, captured.answers, captured.images)
        search = self._search(Match(captured, labels, self.moments))
        shape = (captured.images, *classifier.preparation.native)
        found = [
            search(np.random.default_rng([captured.seed, restart]).random(shape).astype(np.float32))
            for restart in range(self.restarts)
        ]
        images, matched, _ = min(found, key=lambda each: each[2])
        return Reconstruction(images, labels, matched)

    def _search(self, match: Match) -> Callable[[np.ndarray], tuple[np.ndarray, float, float]]:
        """Return the compiled search from initial images to images, their cosine and their distance."""

        def body(step: Any, images: Any, mean: Any, square: Any) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(images)
                objective = match(images)[0] + self.total_variation * variation(images)
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
            return images, *match(images)

        def searched(images: np.ndarray) -> tuple[np.ndarray, float, float]:
            found, distance, cosine = search(tf.constant(images))
            return np.asarray(found), float(cosine), float(distance)

        return searched
