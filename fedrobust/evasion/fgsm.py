"""The fast gradient sign method."""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from fedrobust.evasion.attack import ATTACKS
from fedrobust.evasion.steps import project
from fedrobust.evasion.victim import HeldWeights, Victim


@ATTACKS.register("fgsm")
@dataclass(frozen=True)
class FGSM:
    """One signed step up the loss: x + epsilon sign(grad_x J(x, y)) (Goodfellow et al., 2014, arXiv:1412.6572, eq. 1).

    The sign does not depend on epsilon, so that a whole list of epsilons costs one gradient.
    """

    def curve(
        self,
        victim: Victim,
        weights: HeldWeights,
        images: tf.Tensor,
        labels: tf.Tensor,
        epsilons: Sequence[float],
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return clean logits (n, classes), and the adversarial images of every epsilon, clipped to [0, 1].

        Args:
            victim: the model under attack.
            weights: its weights.
            images: (n, height, width, channels) float32 in [0, 1], in the victim's space.
            labels: (n,) int32.
            epsilons: in units of [0, 1].
        """
        logits, gradient = victim.gradient(weights, images, labels)
        sign = tf.sign(gradient)
        return logits, [project(images + epsilon * sign, images, epsilon) for epsilon in epsilons]
