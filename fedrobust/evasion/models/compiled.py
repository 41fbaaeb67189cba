"""A model's logits and input gradients as compiled functions of weights and images."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import tensorflow as tf

from fedrobust.errors import FedrobustError
from fedrobust.evasion.models.losses import LOSSES, slopes
from fedrobust.evasion.models.multilabel_losses import MULTILABEL_LOSSES
from fedrobust.evasion.models.substitutes import ROUNDINGS, SOFT, SUBSTITUTES, replaceable, substituted
from fedrobust.evasion.threat import Images
from fedrobust.graphs.function import GraphFunction
from fedrobust.graphs.origin import Origin
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights

Held = tuple[tf.Tensor, ...]
"""Weights as tensors, converted once and used for many batches."""

Substitutes = Literal["", "identity", "soft", "roundings"]

BY_NAME = {"identity": SUBSTITUTES, "soft": SOFT, "roundings": ROUNDINGS}
"""What each kind of substitutes replaces; see `fedrobust.evasion.models.substitutes`."""

Forward = Callable[[Held, tf.Tensor], tf.Tensor]
"""(weights, images (n, height, width, channels) in [0, 1]) -> logits (n, classes), in inference mode."""


class NotDifferentiableError(FedrobustError):
    """A model has an operation without a gradient: only black-box attacks (queries) can be run on it."""


class CompiledModel:
    """The compiled functions of a model that evaluation and attacks call.

    Weights are arguments, so that the same compiled functions serve every round of a study.

    Args:
        forward: the model.
        weights: shapes and dtypes of its weights.
        shape: (height, width, channels) of the images that are perturbed.
        classes: number of logits, at least 2.
        view: function from stored images in [0, 1] to the images that are perturbed; None: the identity.
        substitutes: of missing or vanishing gradients, "identity", "soft" or "roundings", see
            `fedrobust.evasion.models.substitutes`; logits are unchanged. Empty: none.
        origin: key of the graphs kept on disk: everything that `forward` depends on; None: graphs are not kept.
        multilabel: whether its logits are findings rather than classes that exclude each other.
    """

    def __init__(
        self,
        forward: Forward,
        weights: Sequence[tf.TensorSpec],
        shape: tuple[int, int, int],
        classes: int,
        view: Callable[[tf.Tensor], tf.Tensor] | None = None,
        substitutes: Substitutes = "",
        origin: Origin | None = None,
        multilabel: bool = False,
    ):
        self.shape = shape
        self.multilabel = multilabel
        self.losses = MULTILABEL_LOSSES if multilabel else LOSSES
        self.classes = classes
        self.substitutes = substitutes
        self._specs = weights
        self._forward = forward
        self._view = view
        self._origin = origin
        images = tf.TensorSpec([None, *shape], tf.float32)
        ints = tf.TensorSpec([None], tf.int32)
        held = tuple(weights)
        self._logits = GraphFunction(forward, [held, images], origin, "answers")
        self._gradient = GraphFunction(
            self._backward,
            [
                held,
                images,
                ints,
                ints,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([], tf.float32),
            ],
            origin,
            f"{substitutes} gradient".strip(),
        )

    @classmethod
    def of(cls, classifier: Classifier, space: str = "native") -> "CompiledModel":
        """Return the compiled functions of a study's model.

        Args:
            classifier: the model as a function of its weights.
            space: "native": attacks perturb stored pixels, and gradients pass through the preparation;
                "prepared": attacks perturb the network's prepared input, as the paper does.
        """
        layout, preparation = classifier.layout, classifier.preparation

        def forward(weights: Held, images: tf.Tensor) -> tf.Tensor:
            trainable, statistics = weights
            arrays = layout.split(trainable, "trainable"), layout.split(statistics, "statistic")
            if space == "prepared":
                return classifier.logits(*arrays, images)[0]
            return classifier.answers(*arrays, images)

        vectors = [
            tf.TensorSpec([layout.parameters], tf.float32),
            tf.TensorSpec([layout.statistics], tf.float32),
        ]
        origin = classifier.origin and classifier.origin.and_of(space=space)
        shown, view = (
            (preparation.prepared, preparation) if space == "prepared" else (preparation.native, None)
        )
        return cls(
            forward, vectors, shown, classifier.classes, view, origin=origin, multilabel=classifier.multilabel
        )

    def rehearse(self, gradient: bool = True) -> None:
        """Trace and compile the logits, and the gradient if there is one, before they are needed."""
        self._logits.rehearsed(1)
        if gradient and not self.obstacle:
            self._gradient.rehearsed(1)

    def substituted(self, substitutes: Substitutes = "identity") -> "CompiledModel":
        """Return the same model with substitute gradients."""
        return CompiledModel(
            self._forward,
            self._specs,
            self.shape,
            self.classes,
            self._view,
            substitutes,
            self._origin,
            self.multilabel,
        )

    @cached_property
    def replaceable(self) -> tuple[str, ...]:
        """Types of the model's operations whose gradient has a substitute."""
        return replaceable(self._logits.graph)

    @property
    def through_roundings(self) -> "CompiledModel":
        """The same model, whose roundings have the gradient of a soft rounding (BPDA); itself if it has none."""
        rounds = replaceable(self._logits.graph, ROUNDINGS)
        return self.substituted("roundings") if rounds and not self.substitutes else self

    def hold(self, weights: Weights) -> Held:
        """Return `weights` as tensors."""
        return tf.constant(weights.trainable), tf.constant(weights.statistics)

    def images(self, stored: np.ndarray) -> Images:
        """Return stored images, uint8 (n, height, width, channels), as float32 in [0, 1] in the attack's space."""
        native = stored.astype(np.float32) / np.float32(255)
        # Resizing with antialiasing overshoots [0, 1] by a rounding error.
        return (
            native if self._view is None else np.clip(np.asarray(self._view(tf.constant(native))), 0.0, 1.0)
        )

    def answers(self, weights: Held, images: tf.Tensor) -> tf.Tensor:
        """Return logits (n, classes) of an uncompiled forward pass: for graphs that are built around the model."""
        return self._forward(weights, images)

    def logits(self, weights: Held, images: tf.Tensor) -> tf.Tensor:
        """Return logits (n, classes) of `images` in the attack's space."""
        return self._logits(weights, images)

    def gradient(
        self,
        weights: Held,
        images: tf.Tensor,
        labels: tf.Tensor,
        targets: tf.Tensor,
        loss: str,
        scale: float = 1.0,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return logits (n, classes), losses (n,), and each image's own gradient of its loss.

        Args:
            weights: from `hold`.
            images: (n, height, width, channels) in [0, 1].
            labels: (n,) int32.
            targets: (n,) int32, for losses that have a target.
            loss: name of the loss, one of `losses`.
            scale: factor of the logits before the loss.

        Raises:
            NotDifferentiableError: the model has an operation without a gradient.
        """
        if self.obstacle:
            raise NotDifferentiableError(self.obstacle)
        number = tf.constant(list(self.losses).index(loss), tf.int32)
        factor = tf.constant(scale, tf.float32)
        return self._gradient(weights, images, labels, targets, number, factor)

    @cached_property
    def obstacle(self) -> str:
        """Reason why the model has no gradient; empty if it has one."""
        try:
            self._gradient.ready()
        except LookupError as error:  # what TensorFlow raises where no gradient is registered
            return str(error).splitlines()[0]
        return ""

    def _backward(
        self,
        weights: Held,
        images: tf.Tensor,
        labels: tf.Tensor,
        targets: tf.Tensor,
        number: tf.Tensor,
        scale: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if self.substitutes:
            with substituted(BY_NAME[self.substitutes]):
                logits = scale * tf.ensure_shape(self._forward(weights, images), [None, self.classes])
            losses, directions = slopes(number, logits, labels, targets, self.losses)
            (gradient,) = tf.gradients(
                logits, images, grad_ys=directions, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return logits, losses, gradient
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = scale * tf.ensure_shape(self._forward(weights, images), [None, self.classes])
        losses, directions = slopes(number, logits, labels, targets, self.losses)
        # Losses are not averaged: each depends on its own image's logits alone, and a mean would shrink gradients.
        # Where no gradient reaches the pixels (a rounding, an argmax) it is zero; the audit reports that.
        gradient = tape.gradient(
            logits, images, output_gradients=directions, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return logits, losses, gradient
