"""APE-GAN: a generator that removes adversarial perturbations."""

from dataclasses import dataclass
from typing import Any

from fedrobust.bounds import Count, NonNegative, PixelEpsilon, Positive
from fedrobust.defences.cleaner import Cleaner, bottleneck_network, convolution, initializer, leaky, stepper
from fedrobust.defences.contract import DEFENCES
from fedrobust.defences.fitting import Fitting
from fedrobust.epsilon import epsilon_value
from fedrobust.lazy import keras, tf

MOMENTUM = 0.5
"""Adam's beta 1 of both networks, as usual for GANs (Radford et al., 2016, arXiv:1511.06434)."""


@DEFENCES.register("ape-gan")
@dataclass(frozen=True, kw_only=True)
class APEGAN:
    """Clean images with a generator that is trained against a discriminator (Shen et al., 2017, arXiv:1707.05474).

    The generator gets attacked images; it minimises the distance to the clean images less the logarithm of the
    discriminator's probability that its output is a clean image (section 3.2), each with its weight. The
    discriminator tells clean images from the generator's. The distance is the root of the mean squared error of a
    batch, on pixels from -1 to 1, and the weights are those of the authors' code. The paper has the squared error,
    with weights of 0.7 and 0.3: for pixels that are a few hundredths apart it is small beside the discriminator's
    part, and clean accuracy suffers. Attacked images are those of PGD on the model without the defence, where the
    paper has FGSM. Without BatchNorm, and with one step of the generator for one of the discriminator, as in the
    paper; the code has two. Attacks differentiate through it.

    Attributes:
        epsilon: of the attack, in units of [0, 1], a number or a fraction such as "8/255".
        error_weight: of the distance to the clean images.
        adversarial_weight: of the discriminator; 0 trains without one.
        steps: of the fit, with 64 images each.
        width: channels of the first layers.
        learning_rate: of Adam; the paper's is 0.0002.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((4, 8, 8, 1), np.float32)
        >>> to = Fitting(images, np.zeros(4, np.int32), lambda shown: tf.reduce_mean(shown, [1, 2]), seed=0)
        >>> APEGAN(steps=1, width=2).fitted(to)(images).shape
        TensorShape([4, 8, 8, 1])
    """

    epsilon: PixelEpsilon = "8/255"
    error_weight: NonNegative = 0.9
    adversarial_weight: NonNegative = 0.02
    steps: Count = 800
    width: Count = 16
    learning_rate: Positive = 0.001

    def fitted(self, to: Fitting) -> Cleaner:
        """Return the generator fitted to the images and the model of `to`."""
        shape = to.images.shape[1:]
        generator = bottleneck_network(shape, self.width, to.seed)
        judge = discriminator(shape, self.width, to.seed + 100)

        def generating(attacked: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
            made = generator(attacked)
            error = distance(made, clean)
            fooling = tf.reduce_mean(tf.nn.softplus(-judge(made)))
            return self.error_weight * error + self.adversarial_weight * fooling

        def judging(attacked: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
            real, made = judge(clean), judge(generator(attacked))
            return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(made))

        attacked = to.attacked(epsilon_value(self.epsilon))
        generate = stepper(generator, generating, self.learning_rate, MOMENTUM)
        discriminate = stepper(judge, judging, self.learning_rate, MOMENTUM)
        for rows in to.batches(self.steps):
            pair = tf.constant(attacked[rows]), tf.constant(to.images[rows])
            discriminate(*pair)
            generate(*pair)
        return Cleaner(generator)


def distance(made: Any, clean: Any) -> Any:
    """Return the root of the mean squared error of images in [0, 1], on the scale from -1 to 1.

    Args:
        made: (n, height, width, channels) float32, of the generator.
        clean: the same shape.

    Returns:
        A number from 0 to 2, of the whole batch.

    Example:
        >>> float(distance(tf.fill([2, 2, 2, 1], 0.75), tf.fill([2, 2, 2, 1], 0.5)))
        0.5
    """
    # The root has no derivative at 0.
    return 2.0 * tf.sqrt(tf.maximum(tf.reduce_mean((made - clean) ** 2), 1e-12))


def discriminator(shape: tuple[int, int, int], width: int, seed: int) -> Any:
    """Return a network from images to the logit that they are clean ones, (n, 1).

    Example:
        >>> discriminator((8, 8, 1), width=2, seed=0).output_shape
        (None, 1)
    """
    inputs = keras.Input(shape)
    x = leaky(convolution(width, seed, 2)(inputs))
    x = leaky(convolution(2 * width, seed + 1, 2)(x))
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=initializer(seed + 2))(x))
