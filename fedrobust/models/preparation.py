"""From native images to what a network takes: grey to colour, then resizing. It is part of the model's graph."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.lazy import tf

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Preparation:
    """The differentiable way from native images to prepared ones; both are in [0, 1].

    Because it stands inside the model, an attack's epsilon always means native pixels, unless the attack names the
    prepared space (the paper perturbs the prepared 32 x 32 x 3 tensor).

    Attributes:
        native: (height, width, channels) of the images as they are stored; channels 1 or 3.
        prepared: (height, width, channels) that the network takes.
    """

    native: Shape
    prepared: Shape

    @property
    def replicates(self) -> bool:
        """Whether a grey channel is copied to red, green and blue."""
        return self.native[2] == 1 and self.prepared[2] == 3

    @property
    def resizes(self) -> bool:
        """Whether height or width changes."""
        return self.native[:2] != self.prepared[:2]

    @property
    def shrinks(self) -> bool:
        """Whether resizing loses resolution, and so has to smooth first."""
        return self.native[0] > self.prepared[0] or self.native[1] > self.prepared[1]

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return native `images` (n, height, width, channels) in [0, 1] as prepared ones, bilinearly resized."""
        if self.replicates:
            images = tf.repeat(images, 3, axis=-1)
        if self.resizes:
            images = tf.image.resize(images, self.prepared[:2], method="bilinear", antialias=self.shrinks)
        return images
