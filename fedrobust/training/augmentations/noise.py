"""Gaussian noise augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.bounds import Share
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS


@AUGMENTATIONS.register("noise")
@dataclass(frozen=True, kw_only=True)
class Noise:
    """Add Gaussian noise to every pixel (Bishop, 1995, Neural Computation 7, 108-116).

    Attributes:
        deviation: standard deviation in units of [0, 1].
        clip: whether pixels stay in [0, 1]. The training for randomised smoothing of Cohen et al. (2019,
            arXiv:1902.02918) does not clip, as the noise of certificates and of `smoothing` is not clipped: clipping
            makes black pixels brighter and halves their noise. Adversarial recipes keep the noise: a pixel that it
            moved out of [0, 1] is perturbed towards [0, 1] alone. `blur`, `contrast` and `jpeg` clip: name them first.
    """

    deviation: Share = 0.02
    clip: bool = True

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the noisy images and their targets."""
        noisy = images + self.deviation * tf.random.stateless_normal(tf.shape(images), seed)
        return tf.clip_by_value(noisy, 0.0, 1.0) if self.clip else noisy, targets
