"""A model as an attacker meets it: arrays in, logits and gradients out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fedrobust.evasion.models.losses import NUMBERS
from fedrobust.evasion.models.victim import Held, NotDifferentiableError, Victim
from fedrobust.evasion.threat import Images
from fedrobust.models.layout import Weights

Labels = NDArray[np.int32]
Logits = NDArray[np.float32]


class Slopes(NamedTuple):
    """What one pass forward and back shows: logits (n, C), losses (n,), gradients in the shape of the images."""

    logits: Logits
    losses: NDArray[np.float32]
    gradients: Images


class Target(Protocol):
    """What attacks need of a model. `shape` is (height, width, channels) of the images that are perturbed."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        ...

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        ...

    def logits(self, images: Images) -> Logits:
        """Return the logits of `images`."""
        ...

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses, and each image's gradient of the loss named.

        Raises:
            NotDifferentiableError: the model answers and shows nothing else.
        """
        ...


@dataclass(frozen=True, eq=False)
class WhiteBox:
    """A model with its weights.

    Attributes:
        victim: its compiled functions.
        weights: what they are called with.
        batch_size: most images in one call.
        scale: what logits are multiplied with: answers stay the same, and softmax gradients vanish where it is large.

    Example:
        >>> from fedrobust.models.classifier import build_classifier
        >>> student = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
        >>> target = WhiteBox.of(Victim.of(student), student.initial_weights())
        >>> target.logits(np.zeros((3, 28, 28, 1), np.float32)).shape
        (3, 2)
    """

    victim: Victim
    weights: Held
    batch_size: int = 128
    scale: float = 1.0

    @classmethod
    def of(cls, victim: Victim, weights: Weights, batch_size: int = 128) -> "WhiteBox":
        """Return a study's model with `weights`."""
        return cls(victim, victim.hold(weights), batch_size)

    def substituted(self) -> "WhiteBox":
        """Return the same model with substitute gradients: see `fedrobust.evasion.models.substitutes`."""
        return replace(self, victim=self.victim.substituted())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.victim.shape

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.victim.classes

    def logits(self, images: Images) -> Logits:
        """Return the logits of `images`."""
        parts = [
            np.asarray(self.victim.logits(self.weights, tf.constant(images[rows])))[:real]
            * np.float32(self.scale)
            for rows, real in batches(len(images), self.batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.classes), np.float32)

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses, and each image's gradient of the loss named."""
        aims = labels if targets is None else targets
        parts = [
            [
                np.asarray(piece)[:real]
                for piece in self.victim.gradient(
                    self.weights,
                    tf.constant(images[rows]),
                    tf.constant(labels[rows], tf.int32),
                    tf.constant(aims[rows], tf.int32),
                    NUMBERS[loss],
                    self.scale,
                )
            ]
            for rows, real in batches(len(images), self.batch_size)
        ]
        if not parts:
            none = np.zeros((0, self.classes), np.float32)
            return Slopes(none, none[:, 0], np.zeros((0, *self.shape), np.float32))
        return Slopes(*(np.concatenate(pieces) for pieces in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Tied:
    """A target on colour images whose channels are one grey channel three times: that channel is attacked.

    Attributes:
        target: takes images of several channels.
    """

    target: Target

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 1)."""
        height, width, _ = self.target.shape
        return height, width, 1

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.target.classes

    def logits(self, images: Images) -> Logits:
        """Return the logits of grey `images`."""
        return self.target.logits(np.repeat(images, self.target.shape[2], axis=3))

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses, and the gradient by the one channel: the sum over its copies."""
        seen = self.target.gradient(np.repeat(images, self.target.shape[2], axis=3), labels, loss, targets)
        return seen._replace(gradients=seen.gradients.sum(axis=3, keepdims=True))


@dataclass(frozen=True, eq=False)
class StraightThrough:
    """Answers of one model, gradients of another that computes nearly the same: white-box for what has no gradient.

    Attributes:
        answers: the model under attack, such as an exported int8 file.
        guide: its differentiable twin.

    Source: Athalye et al. (2018), Obfuscated gradients give a false sense of security, arXiv:1802.00420 (BPDA).
    """

    answers: Target
    guide: Target

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.answers.shape

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.answers.classes

    def logits(self, images: Images) -> Logits:
        """Return the logits of the model under attack."""
        return self.answers.logits(images)

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return the logits of the model under attack, and the losses and gradients of its twin."""
        return self.guide.gradient(images, labels, loss, targets)._replace(logits=self.logits(images))


def decided(logits: Logits, labels: Labels) -> Logits:
    """Return logits with the label last in every row that holds a number that is not finite: no answer is a wrong one.

    Example:
        >>> decided(np.array([[np.nan, 1.0], [2.0, 1.0]], np.float32), np.array([0, 0])).tolist()
        [[-1.0, 0.0], [2.0, 1.0]]
    """
    silent = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if not len(silent):
        return logits
    answers = logits.copy()
    answers[silent] = 0.0
    answers[silent, labels[silent]] = -1.0
    return answers


def margins(logits: Logits, labels: Labels) -> NDArray[np.float64]:
    """Return the largest wrong logit minus the right one, (n,): positive where the answer is wrong.

    Example:
        >>> margins(np.array([[2.0, 1.0], [0.0, 3.0]], np.float32), np.array([0, 0])).tolist()
        [-1.0, 3.0]
    """
    rows = np.arange(len(labels))
    others = logits.astype(np.float64)
    own = others[rows, labels].copy()
    others[rows, labels] = -np.inf
    return others.max(axis=1) - own


def batches(n: int, size: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the rows of each batch and how many of them count.

    The tail is filled up to a multiple of 16 with copies of its last row: every new shape costs a pass of its own, and
    attacks drop images one by one.

    Example:
        >>> [(len(rows), real) for rows, real in batches(70, 64)]
        [(64, 64), (16, 6)]
    """
    for start in range(0, n, size):
        real = min(size, n - start)
        filled = min(size, -(-real // 16) * 16)
        yield np.minimum(np.arange(start, start + filled), n - 1), real


__all__ = [
    "Labels",
    "Logits",
    "NotDifferentiableError",
    "Slopes",
    "StraightThrough",
    "Target",
    "Tied",
    "WhiteBox",
    "batches",
    "decided",
    "margins",
]
