"""The preparation of native images for a network, as part of the model's graph: grey to colour, then resizing."""

from __future__ import annotations

from dataclasses import dataclass

from fedrobust.lazy import tf
from fedrobust.models.resize import resized

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Preparation:
    """A differentiable function from native images to prepared ones, both in [0, 1].

    It is part of the model, so that an attack's epsilon refers to native pixels unless the attack names the prepared
    space (the paper perturbs the prepared 32 x 32 x 3 tensor).

    Attributes:
        native: (height, width, channels) of the stored images; channels 1 or 3.
        prepared: (height, width, channels) of the network's input.
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
        """Whether images are downsampled, which needs antialiasing."""
        return self.native[0] > self.prepared[0] or self.native[1] > self.prepared[1]

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return the prepared images of native `images` (n, height, width, channels) in [0, 1], bilinearly resized."""
        if self.replicates:
            images = tf.repeat(images, 3, axis=-1)
        if self.resizes:
            images = resized(images, self.prepared[:2], self.shrinks)
        return images
