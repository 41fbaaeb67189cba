"""Neural Cleanse: look for a small trigger of every class; unlearn the one that is unusually small."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedrobust.bounds import Count, Positive, PositiveShare, Share
from fedrobust.lazy import keras, tf
from fedrobust.removal.contract import REMOVALS, Images, Removed, Suspect
from fedrobust.removal.fine_tuning import fine_tuned, steps_of

BATCH = 32
"""Images in a step of the search."""

FEWEST = 4
"""Classes from which a deviation from the median of all says something."""


@dataclass(frozen=True, eq=False)
class Trigger:
    """A trigger that makes the model answer with one class.

    Attributes:
        mask: (height, width, 1) in [0, 1].
        pattern: (height, width, channels) in [0, 1].
        success: share of other classes' images that it makes the model classify as the class.
    """

    mask: Images
    pattern: Images
    success: float

    @property
    def size(self) -> float:
        """The L1 norm of the mask, in pixels."""
        return float(self.mask.sum(dtype=np.float64))

    def on(self, images: Images) -> Images:
        """Return `images` with the trigger."""
        return np.asarray(images * (1 - self.mask) + self.mask * self.pattern, np.float32)


@REMOVALS.register("neural-cleanse")
@dataclass(frozen=True, kw_only=True)
class NeuralCleanse:
    """Reverse-engineer a trigger of every class, and unlearn unusually small ones (Wang et al., S&P 2019).

    For each class the smallest mask and pattern are sought that make the model answer with it on the server's images;
    the weight of the mask's L1 norm rises while at least `success` of them are, and falls otherwise. A class with an
    anomaly index above 2 is flagged: the distance of its norm below the median over classes, in units of 1.4826 times
    the median absolute deviation. With two classes that index is the same whatever the norms, and with three it hangs
    on one difference: a class is then flagged if its norm is below `ratio` times the smallest of the others, this
    project's own criterion. The model is fine-tuned on the server's images with true labels, `share` of them with the
    triggers of flagged classes. Without a flagged class the model stays as it is.

    Attributes:
        steps: of the search for each class.
        success: share of images from which a trigger counts as found.
        ratio: with fewer than four classes, largest ratio of norms at which a class is flagged.
        share: share of each batch that is shown with a trigger.
        epochs: passes of fine-tuning over the server's images.
        learning_rate: of fine-tuning, with momentum 0.9.
    """

    steps: Count = 300
    success: PositiveShare = 0.95
    ratio: PositiveShare = 0.25
    share: Share = 0.2
    epochs: Count = 4
    learning_rate: Positive = 0.01

    def __call__(self, suspect: Suspect) -> Removed:
        """Return the model after unlearning, and the size of every class' trigger."""
        classes = suspect.classifier.classes
        triggers = [self.trigger(suspect, target) for target in range(classes)]
        sizes = np.array([one.size for one in triggers])
        found = {f"trigger of class {target}": size for target, size in enumerate(sizes.tolist())}
        flagged = [target for target in flags(sizes, self.ratio) if triggers[target].success >= self.success]
        found |= {"flagged": float(len(flagged))}
        if not flagged:
            return Removed(suspect.weights, found)
        found |= {"flagged class": float(flagged[0])}

        def stamped(images: Images, seed: np.ndarray) -> Images:
            draw = np.random.default_rng(seed)
            chosen = draw.random(len(images)) < self.share
            other = triggers[flagged[int(draw.integers(len(flagged)))]].on(images)
            return np.where(chosen[:, None, None, None], other, images).astype(np.float32)

        rates = [self.learning_rate] * steps_of(suspect, self.epochs)
        return Removed(fine_tuned(suspect, suspect.weights, rates, shown=stamped), found)

    def trigger(self, suspect: Suspect, target: int) -> Trigger:
        """Return the smallest trigger that was found for the class `target`.

        It is the search's last one if none made the model answer with the class often enough, and a full mask without
        images of other classes.
        """
        others = np.flatnonzero(suspect.labels != target)
        height, width, channels = suspect.images.shape[1:]
        if not len(others):
            return Trigger(
                np.ones((height, width, 1), np.float32), np.zeros((height, width, channels), np.float32), 0.0
            )
        draw = np.random.default_rng([suspect.seed, target])
        mask = keras.Variable(draw.normal(-2.0, 0.1, (height, width, 1)).astype(np.float32))
        pattern = keras.Variable(draw.normal(0.0, 0.1, (height, width, channels)).astype(np.float32))
        step = search_step(suspect, mask, pattern, target)
        weight, best = 1e-3, np.inf
        drawn = shown(mask, pattern)
        for _ in range(self.steps):
            rows = draw.choice(others, min(BATCH, len(others)), replace=False)
            before = shown(mask, pattern)
            reached = float(step(tf.constant(suspect.images[rows]), tf.constant(np.float32(weight))))
            weight = min(1.05 * weight, 1.0) if reached >= self.success else max(weight / 1.1, 1e-5)
            if reached >= self.success and (size := float(before[0].sum())) < best:
                best, drawn = size, before
        if not np.isfinite(best):
            drawn = shown(mask, pattern)
        found = Trigger(*drawn, 0.0)
        answers = suspect.logits(suspect.weights, found.on(suspect.images[others])).argmax(1)
        return replace(found, success=float((answers == target).mean()))


def shown(mask: Any, pattern: Any) -> tuple[Images, Images]:
    """Return the variables of a search as mask and pattern in [0, 1]."""
    return np.asarray(tf.sigmoid(mask.value)), np.asarray(tf.sigmoid(pattern.value))


def search_step(suspect: Suspect, mask: Any, pattern: Any, target: int) -> Any:
    """Return the compiled step of the search, from images and the mask's weight to the share that was misled before it.

    Args:
        suspect: the model.
        mask: variable (height, width, 1), before its sigmoid.
        pattern: variable (height, width, channels), before its sigmoid.
        target: the class.
    """
    arrays, classifier = suspect.classifier.arrays(suspect.weights), suspect.classifier
    optimizer = keras.optimizers.Adam(0.1, beta_1=0.5, beta_2=0.9)
    optimizer.build([mask, pattern])

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(images: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            covered = tf.sigmoid(mask.value)
            stamped = images * (1 - covered) + covered * tf.sigmoid(pattern.value)
            logits = classifier.logits(*arrays, classifier.preparation(stamped))[0]
            wanted = tf.fill([tf.shape(images)[0]], target)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits)
            loss = tf.reduce_mean(losses) + weight * tf.reduce_sum(covered)
        gradients = tape.gradient(loss, [mask.value, pattern.value])
        optimizer.apply_gradients(zip(gradients, [mask, pattern], strict=True))
        return tf.reduce_mean(tf.cast(tf.argmax(logits, 1, tf.int32) == wanted, tf.float32))

    return step


def flags(sizes: np.ndarray, ratio: float) -> list[int]:
    """Return the classes whose trigger is unusually small.

    Args:
        sizes: (classes,) L1 norms of the masks.
        ratio: largest ratio to the smallest of the others, with fewer than four classes.

    Example:
        >>> flags(np.array([40.0, 5.0, 42.0, 38.0, 44.0]), 0.25), flags(np.array([40.0, 39.0, 42.0, 38.0]), 0.25)
        ([1], [])
        >>> flags(np.array([40.0, 5.0]), 0.25), flags(np.array([40.0, 20.0]), 0.25)
        ([1], [])
    """
    if len(sizes) < FEWEST:
        others = [np.delete(sizes, place).min() for place in range(len(sizes))]
        return [place for place, size in enumerate(sizes) if size < ratio * others[place]]
    median = np.median(sizes)
    spread = 1.4826 * np.median(np.abs(sizes - median))
    return [place for place, size in enumerate(sizes) if median - size > 2 * spread]
