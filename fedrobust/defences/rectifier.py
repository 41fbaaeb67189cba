"""The perturbation rectifying network."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count, PixelEpsilon, Positive
from fedrobust.defences.cleaner import Cleaner, clipped, minimise, residual_network
from fedrobust.defences.contract import DEFENCES
from fedrobust.defences.fitting import Fitting, Images
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import tf

PASSES = 20
"""Gradient steps of one universal perturbation."""

EXCESS = 10.0
"""Weight of the squared excess of pixels over [0, 1]. Without it the network may turn every pixel black or white: its
answers then look robust to attacks by gradients, which are 0 there, and to nothing else."""


@DEFENCES.register("rectifier")
@dataclass(frozen=True, kw_only=True)
class Rectifier:
    """A perturbation rectifying network before the model (PRN: Akhtar et al., 2018, arXiv:1711.05929, section 4.1).

    It minimises the cross-entropy between the model's answer to the rectified image and the model's label of the clean
    image, on clean images and on images under universal perturbations; the model's weights do not change. Pixels that
    leave [0, 1] are penalised, which the paper does not say, and the network adds a correction to the image, 0 at
    first. It rectifies every image, where the paper's detector picks
    some. Universal perturbations are found by signed gradient ascent on batches (Shafahi et al., 2020,
    arXiv:1811.11304), where the paper has those of Moosavi-Dezfooli et al. Attacks differentiate through it.

    Attributes:
        epsilon: of the universal perturbations, in units of [0, 1], a number or a fraction such as "8/255".
        perturbations: their number.
        steps: of the fit, with 64 images each.
        width: channels of its layers; the paper's are 64.
        blocks: residual blocks; the paper has 5.
        learning_rate: of Adam.

    Example:
        >>> images = np.zeros((4, 8, 8, 1), np.float32)
        >>> to = Fitting(images, np.zeros(4, np.int32), lambda shown: tf.reduce_mean(shown, [1, 2]), seed=0)
        >>> Rectifier(steps=1, width=2).fitted(to)(images).shape
        TensorShape([4, 8, 8, 1])
    """

    epsilon: PixelEpsilon = "8/255"
    perturbations: Count = 10
    steps: Count = 500
    width: Count = 16
    blocks: Count = 2
    learning_rate: Positive = 0.001

    def fitted(self, to: Fitting) -> Cleaner:
        """Return the network fitted to the images and the model of `to`."""
        network = residual_network(to.images.shape[1:], self.width, self.blocks, to.seed)
        answers = to.in_parts(to.answers).argmax(axis=1).astype(np.int32)
        epsilon, draw = epsilon_value(self.epsilon), np.random.default_rng([to.seed, 3])
        moves = np.stack(
            [
                universal(to, epsilon, np.random.default_rng([to.seed, 4, k]))
                for k in range(self.perturbations)
            ]
        )

        def shown(rows: np.ndarray) -> Images:
            chosen = moves[draw.integers(len(moves), size=len(rows))]
            share = (np.arange(len(rows)) % 2).astype(np.float32)[:, None, None, None]
            return np.clip(to.images[rows] + share * chosen, 0.0, 1.0)

        def loss(images: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
            raw = network(images)
            # Clipped pixels have no gradient: a network that has turned all of them white could not turn back.
            excess = raw - tf.clip_by_value(raw, 0.0, 1.0)
            logits = to.answers(raw - tf.stop_gradient(excess))
            error = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits))
            return error + EXCESS * tf.reduce_mean(excess**2)

        pairs = ((shown(rows), answers[rows]) for rows in to.batches(self.steps))
        minimise(network, loss, pairs, self.learning_rate)
        return Cleaner(clipped(network))


def universal(to: Fitting, epsilon: float, draw: np.random.Generator) -> Images:
    """Return a universal perturbation (height, width, channels) of the model, within `epsilon` (linf).

    Args:
        to: images and model.
        epsilon: in units of [0, 1].
        draw: draws its start and the batches.
    """
    move = draw.uniform(-epsilon, epsilon, to.images.shape[1:]).astype(np.float32)
    size = min(64, len(to.images))
    for _ in range(PASSES):
        rows = draw.choice(len(to.images), size, replace=False)
        slope = to.slope(np.clip(to.images[rows] + move, 0.0, 1.0), to.labels[rows]).sum(axis=0)
        move = np.clip(move + np.float32(epsilon / 5) * np.sign(slope), -epsilon, epsilon).astype(np.float32)
    return move
