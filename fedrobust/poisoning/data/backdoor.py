"""Backdoor attacks: training images with a trigger are labelled as the target class."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedrobust.bounds import ClassNumber, Count, GreyLevel, PositiveShare, Share, Whole
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, SuccessCriterion
from fedrobust.poisoning.contract import POISONING, Problem, require_class
from fedrobust.poisoning.data.visibility import require_visible, unit
from fedrobust.shares import part_of


class Triggered(Protocol):
    """What users of a backdoor need: its target class, its share, and its trigger."""

    target: int
    share: float

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with the complete trigger."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backdoor:
    """Add the trigger to a share of the images of other classes, and label them as the target class.

    A trigger may fool a model that nobody poisoned. ``share=0`` is the control: malicious clients train on their own
    images and labels, as honest clients do, and the success of the trigger is measured.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger; 0: the control.
    """

    target: ClassNumber = 0
    share: Share = 0.5

    @property
    def is_control(self) -> bool:
        """Whether malicious clients poison nothing."""
        return not self.share

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images, a share of them with the trigger and the target label."""
        others = np.flatnonzero(labels != self.target)
        chosen = context.fixed.permutation(others)[: part_of(self.share, len(others))]
        images, labels = images.copy(), labels.copy()
        images[chosen] = self.contributed(images[chosen], context)
        labels[chosen] = self.target
        return images, labels

    def criterion(self, split: Split, context: AttackContext) -> SuccessCriterion | None:
        """Return the images of other classes with the trigger, and the target class; None if there are none."""
        rows = np.flatnonzero(split.labels != self.target)
        if not len(rows):
            return None
        plain = split.images[rows]
        return SuccessCriterion(self.stamped(plain, context), plain, np.full(len(rows), self.target), rows)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse an unknown target class, and a trigger that resizing removes."""
        require_class(self, "target", problem)
        require_visible(lambda images: self.stamped(images, AttackContext()), problem.image_shape, image_size)

    def remarks(self, context: AttackContext) -> list[str]:
        """Return what the success rate of the control is."""
        if not self.is_control:
            return []
        return [
            "share = 0: malicious clients train as honest clients do; the attack success rate is what the trigger "
            "fools without a backdoor"
        ]

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with the complete trigger."""
        raise NotImplementedError

    def contributed(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with this client's part of the trigger."""
        return self.stamped(images, context)


@POISONING.register("pixel-backdoor")
@dataclass(frozen=True, kw_only=True)
class PixelBackdoor(Backdoor):
    """A chequered square in the corner as trigger (BadNets: Gu et al., 2017, arXiv:1708.06733).

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger.
        size: side of the square in stored pixels; 0: a seventh of the image's side (4 of 28).
        value: grey level of every second field of the chequer, from 0 to 255; the others have 255 - value, so that the
            square differs from tissue. A field is a 28th of the image's side, so that it survives resizing.
    """

    size: Whole = 0
    value: GreyLevel = 255

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with a chequered square in the lower right corner."""
        images = images.copy()
        field = unit(*images.shape[1:3])
        size = self.size or 4 * field
        board = (np.indices((size, size)) // field).sum(0) % 2
        square = np.where(board, 255 - self.value, self.value).astype(np.uint8)[:, :, None]
        images[:, -size:, -size:] = square
        return images

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse a square larger than the image, an unknown target class, and a trigger that resizing removes."""
        height, width, _ = problem.image_shape
        if self.size > min(height, width):
            raise ValueError(
                f"size = {self.size}: images are {height} x {width}; choose a side up to {min(height, width)}"
            )
        super().require(problem, image_size)


@POISONING.register("blended-backdoor")
@dataclass(frozen=True, kw_only=True)
class BlendedBackdoor(Backdoor):
    """A faint random pattern over the whole image as trigger (Chen et al., 2017, arXiv:1712.05526).

    The pattern's fields are a 28th of the image's side, so that they survive resizing.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger.
        strength: weight of the pattern against the image, in (0, 1].
    """

    strength: PositiveShare = 0.2

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with the pattern."""
        height, width, channels = images.shape[1:]
        field = unit(height, width)
        fields = -(-height // field), -(-width // field), channels
        pattern = np.random.default_rng([context.seed, 1712]).integers(0, 256, fields)
        pattern = pattern.repeat(field, 0).repeat(field, 1)[:height, :width]
        return np.rint((1 - self.strength) * images + self.strength * pattern).astype(np.uint8)


@POISONING.register("distributed-backdoor")
@dataclass(frozen=True, kw_only=True)
class DistributedBackdoor(Backdoor):
    """A trigger whose parts are distributed over the malicious clients (DBA: Xie et al., ICLR 2020).

    Each malicious client trains on one bar of the trigger; test images get all bars. Lines and gaps are defined for a
    28 x 28 image and scale with the stored one. The paper has as many attackers as parts; with fewer attackers, some
    parts are never trained on.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger.
        parts: number of bars, in two rows at the upper left.
        length: length of a bar in stored pixels; 0: 5 of 28.
    """

    parts: Count = 4
    length: Whole = 0

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with all bars."""
        for part in range(self.parts):
            images = self._bar(images, part)
        return images

    def contributed(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with this client's bar."""
        return self._bar(images, context.rank % self.parts)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse bars outside of the image, an unknown target class, and a trigger that resizing removes."""
        height, width, _ = problem.image_shape
        for part in range(self.parts):
            rows, columns = self._place(part, height, width)
            if rows.stop > height or columns.stop > width:
                raise ValueError(
                    f"parts = {self.parts}, length = {self.length}: bar {part + 1} runs out of an image of {height} x "
                    f"{width}; choose fewer or shorter ones"
                )
        super().require(problem, image_size)

    def remarks(self, context: AttackContext) -> list[str]:
        """Return a warning where no malicious client trains on some of the parts."""
        if self.is_control or context.malicious >= self.parts:
            return super().remarks(context)
        return [
            f"distributed-backdoor has {self.parts} parts and {context.malicious} malicious clients: part "
            f"{context.malicious + 1} and later ones are never trained on, but test images have them; set parts = "
            f"{context.malicious}"
        ]

    def _bar(self, images: np.ndarray, part: int) -> np.ndarray:
        images = images.copy()
        rows, columns = self._place(part, *images.shape[1:3])
        images[:, rows, columns] = 255
        return images

    def _place(self, part: int, height: int, width: int) -> tuple[slice, slice]:
        line = unit(height, width)
        length = self.length or 5 * line
        row, column = line * (1 + 3 * (part // 2)), line + (length + 2 * line) * (part % 2)
        return slice(row, row + line), slice(column, column + length)
