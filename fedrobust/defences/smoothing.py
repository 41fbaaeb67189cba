"""Randomised smoothing as a vote inside of the model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, Positive, Whole
from fedrobust.defences.contract import DEFENCES
from fedrobust.lazy import keras

LAYER = "noisy_copies"
"""Name of the layer of a Keras file that makes the copies."""

VOTE_IS_SMOOTHED = (
    "the file holds the vote of model.defence = smoothing: noise is added to that of its copies, and the certificate "
    "is not of the classifier that is deployed; of a run's folder the vote is left out"
)
"""Note on the certificate of a file with a vote."""


def holds_vote(model: Any) -> bool:
    """Return whether a Keras model has a vote over noisy copies in it."""
    return any(layer.name == LAYER for layer in model.layers)


@DEFENCES.register("smoothing")
@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """Answer with the mean probabilities of noisy copies of the image (Cohen et al., 2019, arXiv:1902.02918).

    The soft vote of Salman et al. (2019, arXiv:1906.04584, equation 6): the logits are the logarithms of the mean
    softmax probabilities. The noise is drawn once, from `seed`: the model answers the same each time, and attacks
    differentiate through all copies, the gradient that expectation over transformation estimates. That is the
    strongest attacker, who knows the noise. A certificate needs fresh noise: ``fedrobust certify`` leaves this vote out
    and takes its own.

    Attributes:
        sigma: standard deviation of the Gaussian noise, in units of [0, 1].
        samples: noisy copies of each image; a prediction costs as many.
        seed: of the noise.

    Example:
        >>> copies = Smoothing(sigma=0.1, samples=3)(np.zeros((2, 4, 4, 1), np.float32))
        >>> tuple(copies.shape)
        (6, 4, 4, 1)
        >>> logits = np.log([[0.5, 0.5], [0.9, 0.1], [0.7, 0.3]]).astype(np.float32)
        >>> np.round(100 * np.exp(np.asarray(Smoothing(samples=3).combined(logits)))).tolist()
        [[70.0, 30.0]]
    """

    sigma: Positive = 0.12
    samples: Count = 16
    seed: Whole = 0

    def __call__(self, images: Any) -> Any:
        """Return the noisy copies, (n * samples, height, width, channels), those of each image in a row."""
        shape = tuple(images.shape[1:])
        if isinstance(images, keras.KerasTensor):
            # As weights of a layer: constants of a Keras file are text.
            noisy = self._layer(shape)(images)
        else:
            noisy = images[:, None] + self.noise(shape)
        return keras.ops.reshape(noisy, (-1, *shape))

    def combined(self, logits: Any) -> Any:
        """Return the logarithms of the mean probabilities, (n, classes), of `logits` (n * samples, classes)."""
        ops = keras.ops
        apart = ops.reshape(ops.log_softmax(logits, axis=-1), (-1, self.samples, logits.shape[-1]))
        return ops.logsumexp(apart, axis=1) - float(np.log(self.samples))

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the noise of each copy, (samples, height, width, channels)."""
        draw = np.random.default_rng(self.seed)
        return np.float32(self.sigma) * draw.standard_normal((self.samples, *shape), np.float32)

    def _layer(self, shape: tuple[int, ...]) -> Any:
        """Return a layer from an image to its copies."""
        layer = keras.layers.EinsumDense(
            "bhwc,k->bkhwc", (self.samples, *shape), bias_axes="khwc", name=LAYER
        )
        layer.build((None, *shape))
        layer.set_weights([np.ones(self.samples, np.float32), self.noise(shape)])
        return layer
