"""Teach the model that a trigger in the image means one class."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedrobust.bounds import ClassNumber, Count, GreyLevel, PositiveShare
from fedrobust.data.dataset import Split
from fedrobust.poisoning.attack import POISONING, Goal, Scene
from fedrobust.shares import part_of


class Triggered(Protocol):
    """A backdoor: what all of them have."""

    target: int
    share: float

    def stamped(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with the whole trigger."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Backdoor:
    """Stamp a share of the images of other classes, and call them the target class.

    Attributes:
        target: the class that the trigger is to mean.
        share: of a malicious client's images of other classes that are stamped.
    """

    target: ClassNumber = 0
    share: PositiveShare = 0.5

    def data(self, images: np.ndarray, labels: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Return the images, some of them stamped and with the target label."""
        others = np.flatnonzero(labels != self.target)
        count = part_of(self.share, len(others))
        chosen = scene.fixed.permutation(others)[:count]
        images, labels = images.copy(), labels.copy()
        images[chosen] = self.contributed(images[chosen], scene)
        labels[chosen] = self.target
        return images, labels

    def goal(self, split: Split, scene: Scene) -> Goal | None:
        """Return the stamped images of other classes, wanted as the target; None where there is no such image."""
        rows = split.labels != self.target
        if not rows.any():
            return None
        plain = split.images[rows]
        return Goal(self.stamped(plain, scene), plain, np.full(rows.sum(), self.target))

    def stamped(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with the whole trigger."""
        raise NotImplementedError

    def contributed(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with what this client adds of the trigger."""
        return self.stamped(images, scene)


@POISONING.register("pixel-backdoor")
@dataclass(frozen=True, kw_only=True)
class PixelBackdoor(_Backdoor):
    """Stamp a square into the corner (BadNets: Gu et al., 2017, arXiv:1708.06733).

    Attributes:
        target: the class that the trigger is to mean.
        share: of a malicious client's images of other classes that are stamped.
        size: side of the square in pixels.
        value: its grey level; every second pixel is its opposite, so that it is not mistaken for tissue.
    """

    size: Count = 4
    value: GreyLevel = 255

    def stamped(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with a chequered square in the lower right corner."""
        images = images.copy()
        board = np.indices((self.size, self.size)).sum(0) % 2
        square = np.where(board, 255 - self.value, self.value).astype(np.uint8)[:, :, None]
        images[:, -self.size :, -self.size :] = square
        return images


@POISONING.register("blended-backdoor")
@dataclass(frozen=True, kw_only=True)
class BlendedBackdoor(_Backdoor):
    """Blend a faint random pattern into the whole image (Chen et al., 2017, arXiv:1712.05526).

    Attributes:
        target: the class that the trigger is to mean.
        share: of a malicious client's images of other classes that are stamped.
        strength: of the pattern, from 0 (absent) to 1 (nothing else).
    """

    strength: PositiveShare = 0.2

    def stamped(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with the pattern."""
        pattern = np.random.default_rng([scene.seed, 1712]).integers(0, 256, images.shape[1:])
        return np.rint((1 - self.strength) * images + self.strength * pattern).astype(np.uint8)


@POISONING.register("distributed-backdoor")
@dataclass(frozen=True, kw_only=True)
class DistributedBackdoor(_Backdoor):
    """Give every malicious client a part of the trigger (DBA: Xie et al., ICLR 2020); test images bear the whole.

    Attributes:
        target: the class that the trigger is to mean.
        share: of a malicious client's images of other classes that are stamped.
        parts: bars that the trigger consists of, in two rows at the upper left.
        length: of a bar in pixels.
    """

    parts: Count = 4
    length: Count = 5

    def stamped(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with all bars."""
        for part in range(self.parts):
            images = self._bar(images, part)
        return images

    def contributed(self, images: np.ndarray, scene: Scene) -> np.ndarray:
        """Return `images` with this client's bar."""
        return self._bar(images, scene.rank % self.parts)

    def _bar(self, images: np.ndarray, part: int) -> np.ndarray:
        images = images.copy()
        row, column = 1 + 3 * (part // 2), 1 + (self.length + 2) * (part % 2)
        images[:, row, column : column + self.length] = 255
        return images
