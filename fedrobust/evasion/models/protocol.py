"""The protocol of a model under attack: logits, and gradients of a named loss."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.threat import Images

Labels = NDArray[np.int32]
Logits = NDArray[np.float32]


CONFIRMED = 256
"""Passes of a target that averages some which decide whether it misclassifies an image, or a few more: whole calls."""


class Slopes(NamedTuple):
    """Result of a forward and backward pass: logits (n, C), losses (n,), gradients in the shape of the images."""

    logits: Logits
    losses: NDArray[np.float32]
    gradients: Images


class TargetModel(Protocol):
    """A model under attack: `shape` is (height, width, channels) of the images that are perturbed.

    A model whose answers are means of several passes, because it answers at random, has their number as
    `passes_per_call`, too: its adversaries are confirmed by further calls, and its queries count the passes.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    def logits(self, images: Images) -> Logits:
        """Return the logits (n, classes) of `images`, (n, height, width, channels) float32 in [0, 1]."""
        ...

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses and each image's gradient of `loss`, a name in `losses.LOSSES`.

        Raises:
            NotDifferentiableError: the model has no gradient.
        """
        ...


def passes_per_call(target: TargetModel) -> int:
    """Return how many passes a call of `target` makes and averages: its `passes_per_call`; 1 if it has none."""
    return int(getattr(target, "passes_per_call", 1))


def deciding_calls(passes: int) -> int:
    """Return how many calls of a target decide of an image: `CONFIRMED` passes of one that averages; else one.

    Example:
        >>> deciding_calls(1), deciding_calls(8), deciding_calls(100)
        (1, 32, 3)
    """
    return 1 if passes == 1 else -(-CONFIRMED // passes)


def asked_again(target: TargetModel, images: Images, times: int) -> Logits:
    """Return the mean of `times` calls' logits, (n, classes)."""
    if times == 1:
        return target.logits(images)
    return np.mean([target.logits(images) for _ in range(times)], axis=0, dtype=np.float32)


def decided(logits: Logits, labels: Labels) -> Logits:
    """Return logits in which rows with NaN or infinity count as misclassified: the label's logit is the smallest.

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
    """Return the largest other logit minus the label's, (n,): positive where the image is misclassified.

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
    """Yield the rows of each batch and how many of them are not padding.

    The last batch is padded to a multiple of 16 with copies of its last row: every new shape is traced anew, and
    attacks drop images one by one.

    Example:
        >>> [(len(rows), real) for rows, real in batches(70, 64)]
        [(64, 64), (16, 6)]
    """
    for start in range(0, n, size):
        real = min(size, n - start)
        filled = min(size, -(-real // 16) * 16)
        yield np.minimum(np.arange(start, start + filled), n - 1), real
