"""A batch of training images: scaled to [0, 1] and augmented."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from fedrobust.training.augmentations.contract import Augmentation, augmented, mixes_labels
from fedrobust.training.losses.binary_cross_entropy import answers, share_right
from fedrobust.training.losses.contract import probabilities


class DrawnBatch(NamedTuple):
    """A batch of training images.

    Attributes:
        images: (n, height, width, channels) float32, native, after augmentation; in [0, 1], but for augmentations that
            leave it.
        targets: (n,) int32 labels, or (n, classes) float32.
        labels: (n,) int32, the class with the largest target; of multi-label images the targets.
        example_weights: (n,) factors of the losses.
        seed: (2,) int32 of the step.
    """

    images: tf.Tensor
    targets: tf.Tensor
    labels: tf.Tensor
    example_weights: tf.Tensor
    seed: tf.Tensor

    @classmethod
    def of(
        cls,
        stored: tf.Tensor,
        targets: tf.Tensor,
        class_weights: tf.Tensor,
        seed: tf.Tensor,
        augmentations: Sequence[Augmentation] = (),
        multilabel: bool = False,
    ) -> "DrawnBatch":
        """Return the batch of stored images.

        Args:
            stored: (n, height, width, channels) uint8.
            targets: (n,) int32 labels or label sets, or (n, classes) float32; further columns, as distillation has
                them, do not count as classes.
            class_weights: (classes,) factors of the losses by label.
            seed: (2,) int32 of the step.
            augmentations: random changes, in order.
            multilabel: whether `targets` are label sets.
        """
        images = tf.cast(stored, tf.float32) / 255.0
        if multilabel:
            present = answers(targets, class_weights.shape[0])
            images, present = augmented(augmentations, images, present, seed)
            return cls(images, present, present, tf.ones_like(present[:, 0]), seed)
        if mixes_labels(augmentations):
            targets = probabilities(targets, class_weights.shape[0])
        images, targets = augmented(augmentations, images, targets, seed)
        labels = targets
        if targets.shape.rank != 1:
            labels = tf.argmax(targets[:, : class_weights.shape[0]], -1, tf.int32)
        return cls(images, targets, labels, tf.gather(class_weights, labels), seed)

    def hits(self, logits: tf.Tensor) -> tf.Tensor:
        """Return how many images `logits` (n, classes) answer right; each by its share of right findings."""
        if self.labels.shape.rank == 1:
            return tf.reduce_sum(tf.cast(tf.argmax(logits, -1, tf.int32) == self.labels, tf.float32))
        return tf.reduce_sum(share_right(logits, self.labels))
