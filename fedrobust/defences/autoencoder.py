"""A denoising autoencoder."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count, NonNegative, PixelEpsilon, Positive
from fedrobust.defences.cleaner import Cleaner, bottleneck_network, minimise
from fedrobust.defences.contract import DEFENCES
from fedrobust.defences.fitting import Fitting
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf


@DEFENCES.register("autoencoder")
@dataclass(frozen=True, kw_only=True)
class Autoencoder:
    """Reconstruct each image from a corrupted one (Gu and Rigazio, 2014, arXiv:1412.5068, sections 3 and 4).

    Minimises the squared error between the clean image and its reconstruction. Half of each batch is corrupted by
    Gaussian noise, half by PGD on the model without the defence, where the paper has the smallest perturbations that
    L-BFGS finds. Convolutional, where the paper's is fully connected.
    Attacks differentiate through it.

    Attributes:
        noise: standard deviation of the Gaussian noise, in units of [0, 1]; much noise blurs small images
            (``experiments/prediction_time_defences``).
        epsilon: of the attack, in units of [0, 1], a number or a fraction such as "8/255".
        steps: of the fit, with 64 images each.
        width: channels of its first layer.
        learning_rate: of Adam.

    Example:
        >>> images = np.zeros((4, 8, 8, 1), np.float32)
        >>> to = Fitting(images, np.zeros(4, np.int32), lambda shown: tf.reduce_mean(shown, [1, 2]), seed=0)
        >>> Autoencoder(steps=1, width=2).fitted(to)(images).shape
        TensorShape([4, 8, 8, 1])
    """

    noise: NonNegative = 0.03
    epsilon: PixelEpsilon = "8/255"
    steps: Count = 800
    width: Count = 16
    learning_rate: Positive = 0.002

    def fitted(self, to: Fitting) -> Cleaner:
        """Return the autoencoder fitted to the images and the model of `to`."""
        network = bottleneck_network(to.images.shape[1:], self.width, to.seed)
        attacked, draw = to.attacked(epsilon_value(self.epsilon)), np.random.default_rng([to.seed, 2])

        def corrupted(rows: np.ndarray) -> np.ndarray:
            noisy = to.images[rows] + self.noise * draw.standard_normal(attacked[rows].shape)
            chosen = np.arange(len(rows)) % 2 == 0
            return np.where(chosen[:, None, None, None], noisy, attacked[rows]).astype(np.float32)

        def loss(shown: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean((network(shown) - clean) ** 2)

        pairs = ((corrupted(rows), to.images[rows]) for rows in to.batches(self.steps))
        minimise(network, loss, pairs, self.learning_rate)
        return Cleaner(network)
