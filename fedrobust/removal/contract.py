"""The contract of removals of backdoors, and their registry.

A removal is a frozen dataclass of settings. The server applies it once, after the last round, to the selected model and
its validation images, which it takes to be clean; test images are never used. What is measured, audited, distilled and
exported afterwards is the model after the removal.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrobust.lazy import tf
from fedrobust.memoize import part
from fedrobust.models.layout import Weights
from fedrobust.registry import Registry

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier

REMOVALS = Registry("removal", "fedrobust.removal")

Images = NDArray[np.float32]

BATCH = 64
"""Images in a call of the model whose result is only read."""


@dataclass(frozen=True, eq=False)
class Suspect:
    """A model that may have a backdoor, and the server's images.

    Attributes:
        classifier: the model as a function of its weights.
        weights: of the model.
        images: (n, height, width, channels) float32 in [0, 1].
        labels: (n,) int32.
        class_weights: (classes,) float32, factors of the loss by label.
        seed: of everything random.
    """

    classifier: "Classifier"
    weights: Weights
    images: Images
    labels: NDArray[np.int32]
    class_weights: NDArray[np.float32]
    seed: int

    def batches(self, steps: int, size: int) -> Iterator[NDArray[np.int64]]:
        """Yield `steps` batches of rows; every image is drawn once before any is drawn again."""
        draw, size, left = np.random.default_rng(self.seed), min(size, len(self.images)), np.zeros(0, int)
        for _ in range(steps):
            if len(left) < size:
                left = draw.permutation(len(self.images))
            rows, left = left[:size], left[size:]
            yield rows

    @part
    def answers(self) -> Callable[[Any, Any, Any], Any]:
        """The compiled function from trainable arrays, statistics and images to logits (n, classes)."""

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def answers(trainable: Any, statistics: Any, images: Any) -> Any:
            prepared = self.classifier.preparation(images)
            return self.classifier.logits(trainable, statistics, prepared)[0]

        return answers

    def logits(self, weights: Weights, images: Images) -> NDArray[np.float32]:
        """Return the logits (n, classes) of the model with `weights`."""
        arrays = self.classifier.arrays(weights)
        starts = range(0, len(images), BATCH)
        return np.concatenate(
            [np.asarray(self.answers(*arrays, tf.constant(images[at : at + BATCH]))) for at in starts]
        )

    def accuracy(self, weights: Weights) -> float:
        """Return the accuracy of the model with `weights` on the server's images."""
        return float((self.logits(weights, self.images).argmax(1) == self.labels).mean())


@dataclass(frozen=True, eq=False)
class Removed:
    """The result of a removal.

    Attributes:
        weights: of the model after it.
        found: what it found and did, as numbers by name, for record and report.
    """

    weights: Weights
    found: Mapping[str, float] = field(default_factory=dict)


class Removal(Protocol):
    """A function from a suspect model to one whose backdoor is removed, as far as it finds one."""

    def __call__(self, suspect: Suspect) -> Removed:
        """Return the model after the removal; the same for the same seed."""
        ...
