"""A3FL: a backdoor whose trigger is learnt against the global model, and against one that has unlearnt it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count, NonNegative, PixelEpsilon, Share, Whole
from fedrobust.data.dataset import Split
from fedrobust.epsilon import epsilon_value
from fedrobust.models.layout import Weights
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING, Problem
from fedrobust.poisoning.data.learnt_backdoor import LearntBackdoor
from fedrobust.poisoning.data.visibility import unit
from fedrobust.vectors import length

BATCH = 64
"""Images of one step of the trigger."""


@POISONING.register("a3fl")
@dataclass(frozen=True, kw_only=True)
class A3FL(LearntBackdoor):
    """Learn the trigger that survives being unlearnt (Zhang et al., NeurIPS 2023, Algorithm 1).

    Before its local training a malicious client improves its trigger t, a square, by signed gradient steps that
    decrease CE(w, x + t -> target) + lambda CE(w', x + t -> target). w is the global model; w' is w after training on
    images with the trigger and their right labels, as honest clients would unlearn it, and is made anew after every few
    passes. lambda is `weight` times the cosine of w' and w. Then the client trains as with any backdoor. The trigger is
    kept from round to round; each malicious client has its own, and success is measured with that of the first one.
    In the official code one client improves the trigger, and all train on it. Here others than the first train on
    triggers that are not measured: with several malicious clients the attack may be weaker, which was not measured.

    Such a trigger may fool a model that nobody poisoned, too. The control is ``"a3fl(share=0)"``: the trigger is
    learnt, and the updates are honest.

    The paper's cosine is one of models; the official code takes the gradients of convolutions, and makes its first pass
    without w'. Defaults are smaller than the official 200 passes with 5 epochs of unlearning before each, because
    triggers are improved in every round. Success needs a simulation, where the trigger can be seen.

    Attributes:
        target: the target class.
        share: share of a malicious client's images of other classes that get the trigger; 0: the control.
        size: side of the square in stored pixels; 0: 5 of 28.
        passes: over the client's images, in steps of 64 images, to improve the trigger in a round.
        renew: passes after which w' is made anew.
        unlearning: epochs of the local training that makes w'.
        weight: the factor of lambda; 0: without w'.
        step: of the trigger, a number or a fraction of 255.
    """

    share: Share = 0.25
    size: Whole = 0
    passes: Count = 10
    renew: Count = 5
    unlearning: Count = 1
    weight: NonNegative = 0.01
    step: PixelEpsilon = "2/255"

    def prepare(self, context: AttackContext) -> Mapping[str, np.ndarray]:
        """Return the improved trigger, (size, size, channels) float32 in [0, 1]."""
        tools, shape = context.tools, context.tools.clean.images.shape[1:]
        trigger = self._trigger(shape, context)
        current = Weights(np.asarray(context.current), np.asarray(context.statistics))
        unlearnt, share = current, 0.0
        for number in range(self.passes):
            if self.weight and number % self.renew == 0:
                stamped = np.rint(255 * self._placed(tools.clean.images / np.float32(255), trigger))
                seen = Split(stamped.astype(np.uint8), tools.clean.labels)
                unlearnt = tools.measured(tools.update(current, seen, epochs=self.unlearning))
                share = self.weight * cosine(unlearnt.trainable, current.trainable)
            for rows in batches(len(tools.clean)):
                images = self._placed(tools.clean.images[rows] / np.float32(255), trigger)
                wanted = np.full(len(images), self.target, np.int32)
                slope = self._slope(tools.gradients(current, images, wanted), trigger)
                if self.weight:
                    slope = slope + share * self._slope(tools.gradients(unlearnt, images, wanted), trigger)
                trigger = np.clip(trigger - epsilon_value(self.step) * np.sign(slope), 0, 1).astype(
                    np.float32
                )
        return {"trigger": trigger}

    def stamped(self, images: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return `images` with the trigger that the client has learnt so far; at first a grey square."""
        placed = self._placed(images / np.float32(255), self._trigger(images.shape[1:], context))
        return np.rint(255 * placed).astype(np.uint8)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse a square larger than the image, an unknown target class, and a trigger that resizing removes."""
        rows, columns = self._place(problem.image_shape)
        height, width, _ = problem.image_shape
        if rows.stop > height or columns.stop > width:
            most = min(height - rows.start, width - columns.start)
            raise ValueError(f"size = {self.size}: images are {height} x {width}; choose a side up to {most}")
        super().require(problem, image_size)

    def _trigger(self, shape: tuple[int, ...], context: AttackContext) -> np.ndarray:
        rows, columns = self._place(shape)
        size = rows.stop - rows.start, columns.stop - columns.start, shape[2]
        return context.memory.own.get("trigger", np.full(size, 0.5, np.float32))

    def _place(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        one = unit(*shape[:2])
        place = slice(2 * one, 2 * one + (self.size or 5 * one))
        return place, place

    def _placed(self, images: np.ndarray, trigger: np.ndarray) -> np.ndarray:
        images = images.copy()
        rows, columns = self._place(images.shape[1:])
        images[:, rows, columns] = trigger
        return images

    def _slope(self, gradients: np.ndarray, trigger: np.ndarray) -> np.ndarray:
        rows, columns = self._place(gradients.shape[1:])
        slope: np.ndarray = gradients[:, rows, columns].mean(0, dtype=np.float64)
        return slope


def batches(count: int) -> Iterator[slice]:
    """Return the rows of each step of a pass over `count` images."""
    return (slice(start, start + BATCH) for start in range(0, count, BATCH))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two vectors (d,), 0 where one is zero.

    Example:
        >>> round(cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0])), 3), cosine(np.zeros(2), np.ones(2))
        (0.707, 0.0)
    """
    lengths = length(one) * length(other)
    return float(np.sum(np.multiply(one, other, dtype=np.float64))) / lengths if lengths else 0.0
