"""A model that answers at random, as an attacker meets it who asks more than once."""

from dataclasses import dataclass

import numpy as np

from fedrobust.evasion.models.target import Labels, Logits, Slopes, Target
from fedrobust.evasion.threat import Images


@dataclass(frozen=True, eq=False)
class Averaged:
    """The mean of several answers and gradients: expectation over transformation (EOT).

    Attributes:
        target: the model that answers at random.
        draws: answers that are averaged.

    Source: Athalye et al. (2018), Obfuscated gradients give a false sense of security, arXiv:1802.00420, section 4.2.
    """

    target: Target
    draws: int = 8

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.target.shape

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.target.classes

    def logits(self, images: Images) -> Logits:
        """Return the mean of the logits, (n, classes)."""
        return np.mean([self.target.logits(images) for _ in range(self.draws)], axis=0, dtype=np.float32)

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return the means of logits, losses and gradients."""
        seen = [self.target.gradient(images, labels, loss, targets) for _ in range(self.draws)]
        logits, losses, gradients = (
            np.asarray(np.mean(parts, axis=0), np.float32) for parts in zip(*seen, strict=True)
        )
        return Slopes(logits, losses, gradients)
