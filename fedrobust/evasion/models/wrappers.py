"""Wrappers of targets: tied channels, straight-through gradients, expectation over transformation."""

from dataclasses import dataclass

import numpy as np

from fedrobust.evasion.models.protocol import (
    Labels,
    Logits,
    Slopes,
    TargetModel,
    asked_again,
    passes_per_call,
)
from fedrobust.evasion.threat import Images


@dataclass(frozen=True, eq=False)
class Tied:
    """A target of one-channel images, which are repeated to three channels for a colour model.

    Attributes:
        target: the colour model.
    """

    target: TargetModel

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 1)."""
        height, width, _ = self.target.shape
        return height, width, 1

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.target.classes

    @property
    def passes_per_call(self) -> int:
        """Passes of a call, as of the colour model."""
        return passes_per_call(self.target)

    def logits(self, images: Images) -> Logits:
        """Return the logits of grey `images`."""
        return self.target.logits(np.repeat(images, self.target.shape[2], axis=3))

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses, and the gradient by the one channel: the sum over its copies."""
        seen = self.target.gradient(np.repeat(images, self.target.shape[2], axis=3), labels, loss, targets)
        return seen._replace(gradients=seen.gradients.sum(axis=3, keepdims=True))


@dataclass(frozen=True, eq=False)
class StraightThrough:
    """Logits of one model, gradients of a similar differentiable one: white-box attacks on a model without gradients.

    Attributes:
        answers: the model under attack, such as an exported int8 file.
        guide: its differentiable approximation, which gives the gradients.

    Source: Athalye et al. (2018), Obfuscated gradients give a false sense of security, arXiv:1802.00420 (BPDA).
    """

    answers: TargetModel
    guide: TargetModel

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.answers.shape

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.answers.classes

    @property
    def passes_per_call(self) -> int:
        """Passes of a call, as of the model under attack."""
        return passes_per_call(self.answers)

    def logits(self, images: Images) -> Logits:
        """Return the logits of the model under attack."""
        return self.answers.logits(images)

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return the logits of the model under attack, and the losses and gradients of its approximation."""
        return self.guide.gradient(images, labels, loss, targets)._replace(logits=self.logits(images))


@dataclass(frozen=True, eq=False)
class Averaged:
    """The mean of several forward and backward passes of a randomised model: expectation over transformation (EOT).

    Attributes:
        target: the randomised model.
        draws: passes that are averaged. With two or more, an attack counts an adversary only where further means, of
            new passes, are misclassified, too: among many means one is wrong by chance.

    Source: Athalye et al. (2018), Obfuscated gradients give a false sense of security, arXiv:1802.00420, section 4.2.
    """

    target: TargetModel
    draws: int = 8

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.target.shape

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.target.classes

    @property
    def passes_per_call(self) -> int:
        """Passes of a call: the draws, each of as many as the target makes."""
        return self.draws * passes_per_call(self.target)

    def logits(self, images: Images) -> Logits:
        """Return the mean of the logits, (n, classes)."""
        return asked_again(self.target, images, self.draws)

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return the means of logits, losses and gradients."""
        seen = [self.target.gradient(images, labels, loss, targets) for _ in range(self.draws)]
        logits, losses, gradients = (
            np.asarray(np.mean(parts, axis=0), np.float32) for parts in zip(*seen, strict=True)
        )
        return Slopes(logits, losses, gradients)
