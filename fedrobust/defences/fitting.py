"""What a learned defence is fitted to, and the perturbed images on which it learns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.lazy import tf
from fedrobust.memoize import part

Images = NDArray[np.float32]

BATCH = 64
"""Images in one step of a fit."""


@dataclass(frozen=True, eq=False)
class Fitting:
    """The images and the model that a learned defence is fitted to.

    Attributes:
        images: (n, height, width, channels) float32 in [0, 1], the server's validation images.
        labels: (n,) int32.
        answers: the model without the defence, from images to logits (n, classes); differentiable by TensorFlow.
        seed: of initial weights, batches and noise.
    """

    images: Images
    labels: NDArray[np.int32]
    answers: Callable[[Any], Any]
    seed: int

    def batches(self, steps: int) -> Iterator[NDArray[np.int64]]:
        """Yield `steps` batches of rows; every image is drawn once before any is drawn again."""
        draw, size, left = np.random.default_rng(self.seed), min(BATCH, len(self.images)), np.zeros(0, int)
        for _ in range(steps):
            if len(left) < size:
                left = draw.permutation(len(self.images))
            rows, left = left[:size], left[size:]
            yield rows

    def in_parts(self, function: Callable[[Any], Any]) -> NDArray[np.float32]:
        """Return ``function(images)`` of all images, computed batch by batch."""
        starts = range(0, len(self.images), BATCH)
        return np.concatenate([np.asarray(function(self.images[start : start + BATCH])) for start in starts])

    def attacked(self, epsilon: float, steps: int = 10) -> Images:
        """Return the images after PGD on the model without the defence, within `epsilon` (linf) of the clean ones.

        Its start is random; its step size 2.5 epsilon / steps (Madry et al., 2018, arXiv:1706.06083).
        """
        draw = np.random.default_rng([self.seed, 1])
        parts = []
        for start in range(0, len(self.images), BATCH):
            clean, labels = self.images[start : start + BATCH], self.labels[start : start + BATCH]
            shown = clean + draw.uniform(-epsilon, epsilon, clean.shape).astype(np.float32)
            for _ in range(steps):
                shown = np.clip(shown, 0.0, 1.0)
                shown += np.float32(2.5 * epsilon / steps) * np.sign(self.slope(shown, labels))
                shown = np.clip(shown, clean - np.float32(epsilon), clean + np.float32(epsilon))
            parts.append(np.clip(shown, 0.0, 1.0))
        return np.concatenate(parts).astype(np.float32)

    @part
    def slope(self) -> Callable[[Images, NDArray[np.int32]], Images]:
        """The function from images and labels to each image's gradient of its cross-entropy."""

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def gradient(images: Any, labels: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(images)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, self.answers(images))
            return tape.gradient(losses, images)

        return lambda images, labels: np.asarray(
            gradient(tf.constant(images, tf.float32), tf.constant(labels, tf.int32))
        )
