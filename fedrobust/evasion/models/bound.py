"""A compiled model bound to weights, as a `TargetModel`."""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from fedrobust.evasion.models.compiled import CompiledModel, Held, Substitutes
from fedrobust.evasion.models.protocol import Labels, Logits, Slopes, TargetModel, batches
from fedrobust.evasion.threat import Images
from fedrobust.models.layout import Weights


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A compiled model bound to its weights.

    Attributes:
        compiled: its compiled functions.
        weights: what they are called with.
        batch_size: most images in one call.
        scale: factor of the logits: predictions stay the same, and softmax gradients vanish where it is large.

    Example:
        >>> from fedrobust.models.classifier import build_classifier
        >>> student = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
        >>> target = BoundModel.of(CompiledModel.of(student), student.initial_weights())
        >>> target.logits(np.zeros((3, 28, 28, 1), np.float32)).shape
        (3, 2)
    """

    compiled: CompiledModel
    weights: Held
    batch_size: int = 128
    scale: float = 1.0

    @classmethod
    def of(cls, compiled: CompiledModel, weights: Weights, batch_size: int = 128) -> "BoundModel":
        """Return a study's model with `weights`."""
        return cls(compiled, compiled.hold(weights), batch_size)

    def substituted(self, substitutes: Substitutes = "identity") -> "BoundModel":
        """Return the same model with substitute gradients: see `fedrobust.evasion.models.substitutes`."""
        return replace(self, compiled=self.compiled.substituted(substitutes))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.compiled.shape

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.compiled.classes

    def logits(self, images: Images) -> Logits:
        """Return the logits (n, classes) of `images`, (n, height, width, channels) float32 in [0, 1]."""
        parts = [
            np.asarray(self.compiled.logits(self.weights, tf.constant(images[rows])))[:real]
            * np.float32(self.scale)
            for rows, real in batches(len(images), self.batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.classes), np.float32)

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses and each image's gradient of `loss`, a name in `losses.LOSSES`."""
        aims = labels if targets is None else targets
        parts = [
            [
                np.asarray(piece)[:real]
                for piece in self.compiled.gradient(
                    self.weights,
                    tf.constant(images[rows]),
                    tf.constant(labels[rows], tf.int32),
                    tf.constant(aims[rows], tf.int32),
                    loss,
                    self.scale,
                )
            ]
            for rows, real in batches(len(images), self.batch_size)
        ]
        if not parts:
            none = np.zeros((0, self.classes), np.float32)
            return Slopes(none, none[:, 0], np.zeros((0, *self.shape), np.float32))
        return Slopes(*(np.concatenate(pieces) for pieces in zip(*parts, strict=True)))


def through_roundings(target: TargetModel) -> TargetModel:
    """Return a model with a gradient through its roundings (BPDA); `target` itself where there are none to follow.

    A Keras file holds the operations of a prediction-time defence without its differentiable stand-in: behind JPEG or
    bit-depth reduction its own gradient is zero.

    Example:
        >>> compiled = CompiledModel(
        ...     lambda held, x: tf.round(4 * x[:, 0, 0]) * [1.0, -1.0], [], shape=(1, 1, 1), classes=2
        ... )
        >>> target, grey, label = BoundModel(compiled, ()), np.full((1, 1, 1, 1), 0.4, np.float32), np.array([0])
        >>> round(through_roundings(target).gradient(grey, label, "margin").gradients.item(), 2)
        -13.82
        >>> target.gradient(grey, label, "margin").gradients.item()
        0.0
    """
    if not isinstance(target, BoundModel):
        return target
    compiled = target.compiled.through_roundings
    return target if compiled is target.compiled else replace(target, compiled=compiled)
