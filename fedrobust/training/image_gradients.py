"""The clipped gradients of single images, as DP-SGD adds them up."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fedrobust.data.dataset import Split
from fedrobust.training.buckets import Buckets
from fedrobust.training.private_update import PrivateUpdate


class ImageGradients:
    """The clipped gradients of images: each is the sum that an update by DP-SGD takes of a batch of it alone.

    Args:
        update: by DP-SGD.
    """

    def __init__(self, update: PrivateUpdate):
        self.update = update
        images = update.sums.images()
        signature = [
            tf.TensorSpec([update.classifier.layout.parameters], tf.float32),
            images,
            tf.TensorSpec([None], tf.int32),
        ]
        self._function = tf.function(self._run, input_signature=signature, autograph=False)

    def __call__(self, trainable: NDArray[np.floating[Any]], split: Split) -> NDArray[np.float32]:
        """Return the clipped gradient of each image, (n, d).

        Args:
            trainable: the weights (d,) at which gradients are taken.
            split: n images.
        """
        features = self.update.features
        inputs = split.images if features is None else features.of(split.images)
        found = self._function(tf.constant(trainable, tf.float32), tf.constant(inputs), split.labels)
        return np.asarray(found)

    def _run(self, trainable: tf.Tensor, images: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        buckets = Buckets(self.update.classifier.layout.of("trainable"))
        weights, alone, seed = buckets.split(trainable), tf.constant([True]), tf.zeros(2, tf.int32)

        def gradient(one: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, target = one
            return buckets.join(self.update.sums(buckets, weights, image[None], target[None], alone, seed))

        return tf.map_fn(gradient, (images, targets), fn_output_signature=tf.float32)
