"""A user's prediction function as a target of attacks, of any library, local or remote."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.errors import FedrobustError, first_line
from fedrobust.evasion.models.adapter import Adapter
from fedrobust.evasion.models.compiled import NotDifferentiableError
from fedrobust.evasion.models.losses import NUMBERS, slopes
from fedrobust.evasion.models.model_file import as_logits, looks_like_probabilities, ordered, probes
from fedrobust.evasion.models.protocol import Labels, Logits, Slopes, batches
from fedrobust.evasion.threat import Images
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import UNDECLARED, Interface
from fedrobust.models.preparation import Preparation, Shape

Predict = Callable[[Any], Any]
"""(images (n, height, width, channels) float32 in [0, 1]) -> logits or probabilities (n, classes)."""

Gradient = Callable[[Any, Any], Any]
"""(images, vectors (n, classes)) -> vector-Jacobian products in the shape of the images.

Row i is the gradient with respect to image i of the sum over classes of ``vectors[i] * predict(images)[i]``. Every
loss is a function of the logits, so this suffices for every attack.
"""


class PredictorError(FedrobustError, ValueError):
    """A prediction function returned something invalid; the message says what, and what is expected."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """A prediction function as a target of attacks. It is called by one thread at a time.

    Attributes:
        name: for messages and results.
        predict: see `Predict`.
        vjp: see `Gradient`; None for a black-box model.
        shape: (height, width, channels) of the data's images.
        classes: of the data.
        preparation: from the data's images to those of the function's size; None: there is none to make.
        output: "logits" or "probabilities".
        single: whether it returns one number an image, the score of class 1.
        format: its input format.
        labels: the data's label of each output; empty where the order is the data's.
        notes: sentences about what was declared.
        batch_size: most images in one call.

    Example:
        >>> kernel = np.array([[1.0], [-1.0]], np.float32)
        >>> target = Predictor.of(
        ...     lambda images: images.reshape(-1, 2) @ kernel.T.repeat(2, 0) * [1, -1],
        ...     (2, 1, 1),
        ...     2,
        ...     lambda images, vectors: (vectors @ [[1.0, -1.0], [-1.0, 1.0]]).reshape(images.shape),
        ... )
        >>> target.gradient(np.full((1, 2, 1, 1), 0.5, np.float32), np.array([0], np.int32), "margin").gradients.ravel()
        array([-2.,  2.], dtype=float32)
    """

    name: str
    predict: Predict
    vjp: Gradient | None
    shape: Shape
    classes: int
    preparation: Preparation | None = None
    output: str = "logits"
    single: bool = False
    format: InputFormat = UNIT
    labels: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    batch_size: int = 128
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def of(
        cls,
        predict: Predict,
        shape: Shape,
        classes: int,
        gradient: Gradient | None = None,
        interface: Interface = UNDECLARED,
        name: str = "",
        batch_size: int = 128,
    ) -> "Predictor":
        """Return a prediction function as a target, after a test call.

        Args:
            predict: see `Predict`; or an `Adapter`, which has a gradient of its own and says which images it takes.
            shape: (height, width, channels) of the data's images.
            classes: of the data.
            gradient: see `Gradient`.
            interface: its input format and class order.
            name: for messages and results; the function's own if empty.
            batch_size: most images in one call.

        Raises:
            PredictorError: it raises, or its outputs or gradients have another shape, or are not finite numbers.
            ConfigError: `interface` names an output head: a function has one output.
        """
        called = name or str(getattr(predict, "__name__", type(predict).__name__))
        if interface.head:
            raise PredictorError(
                f"{called}: head = {interface.head!r}: a function has one output; let it return that one"
            )
        format = interface.input or interface.assumed
        prepared = shape
        if isinstance(predict, Adapter):
            gradient, called, prepared = (
                gradient or predict.vjp,
                name or predict.name,
                predict.prepared(shape),
            )
            if format.channels_first:
                raise PredictorError(
                    f"{called}: input = {str(format)!r}: the order of its axes is known; leave channels-first out"
                )
        format.check_channels(prepared[2], called)
        notes = [] if format == UNIT else [f"input format {format}: as given"]
        if interface.labels:
            notes.append(f"class order {', '.join(map(str, interface.labels))}: as given")
        target = cls(
            called,
            predict,
            gradient,
            shape,
            classes,
            Preparation(shape, prepared) if prepared != shape else None,
            format=format,
            labels=interface.labels,
            notes=tuple(notes),
            batch_size=batch_size,
        )
        answers = target.asked(probes(shape), format)
        output = "probabilities" if looks_like_probabilities(answers) else "logits"
        target = replace(target, output=output, single=answers.shape[1] == 1)
        if gradient is not None:
            few = probes(shape)[:2]
            target.gradient(few, np.zeros(len(few), np.int32), "margin")
        return target

    @property
    def target(self) -> "Predictor":
        """The target that attacks are run on: itself."""
        return self

    def logits(self, images: Images) -> Logits:
        """Return the logits of `images` in the data's class order."""
        answers = self.asked(images, self.format)
        return np.asarray(ordered(self.as_logits(tf.constant(answers)), self.labels))

    def gradient(self, images: Images, labels: Labels, loss: str, targets: Labels | None = None) -> Slopes:
        """Return logits, losses and each image's gradient of `loss`, a name in `losses.LOSSES`.

        Raises:
            NotDifferentiableError: no gradient function was given.
        """
        if self.vjp is None:
            raise NotDifferentiableError(
                f"{self.name} is a function without a gradient; choose attacks that need none, such as square, "
                "hop-skip-jump or noise"
            )
        aims = labels if targets is None else targets
        parts = [
            [piece[:real] for piece in self._slopes(images[rows], labels[rows], loss, aims[rows])]
            for rows, real in batches(len(images), self.batch_size)
        ]
        if not parts:
            none = np.zeros((0, self.classes), np.float32)
            return Slopes(none, none[:, 0], np.zeros((0, *self.shape), np.float32))
        return Slopes(*(np.concatenate(pieces) for pieces in zip(*parts, strict=True)))

    def images(self, stored: np.ndarray) -> Images:
        """Return stored images, uint8, as float32 in [0, 1]."""
        return stored.astype(np.float32) / np.float32(255)

    def raw(self, images: Images, format: InputFormat) -> Logits:
        """Return the logits of `images` in the function's own class order, with another input `format`."""
        return np.asarray(self.as_logits(tf.constant(self.asked(images, format))))

    def as_logits(self, answers: tf.Tensor) -> tf.Tensor:
        """Return logits (n, classes) from the function's outputs, in its own class order."""
        return as_logits(answers, self.output, self.single)

    def asked(self, images: Images, format: InputFormat) -> np.ndarray:
        """Return the function's outputs, (n, classes) or (n, 1) float32.

        Raises:
            PredictorError: it raises, or its outputs have another shape, or are not finite numbers.
        """
        parts = []
        for rows, real in _parts(len(images), self.batch_size):
            given = np.asarray(format(self._made_to_fit(tf.constant(images[rows]))))
            parts.append(self._answers(given)[:real])
        return (
            np.concatenate(parts) if parts else np.zeros((0, 1 if self.single else self.classes), np.float32)
        )

    def _made_to_fit(self, images: tf.Tensor) -> tf.Tensor:
        return images if self.preparation is None else self.preparation(images)

    def _answers(self, given: np.ndarray) -> np.ndarray:
        n = len(given)
        answers = _array(self._called(self.predict, "predict", given), self.name, "predict")
        if answers.ndim == 1 and self.classes == 2 and len(answers) == n:
            answers = answers[:, None]
        wanted = (n, self.classes)
        if answers.shape != wanted and not (self.classes == 2 and answers.shape == (n, 1)):
            raise PredictorError(
                f"{self.name}: predict returned an array of shape {answers.shape} for {n} images; wanted: {wanted}, a "
                "row of logits or probabilities an image"
            )
        return _finite(answers, self.name, "predict")

    def _slopes(self, images: Images, labels: Labels, loss: str, targets: Labels) -> list[np.ndarray]:
        stored = tf.constant(images)
        with tf.GradientTape() as outside:
            outside.watch(stored)
            given = self.format(self._made_to_fit(stored))
        shown = np.asarray(given)
        logits, losses, vectors = self._directions(
            tf.constant(self._answers(shown)),
            tf.constant(labels, tf.int32),
            tf.constant(targets, tf.int32),
            tf.constant(NUMBERS[loss]),
        )
        products = _array(
            self._called(self.vjp, "gradient", shown, np.asarray(vectors)), self.name, "gradient"
        )
        if products.shape != shown.shape:
            raise PredictorError(
                f"{self.name}: gradient returned an array of shape {products.shape}; wanted: that of the images, "
                f"{shown.shape}"
            )
        products = _finite(products, self.name, "gradient")
        back = outside.gradient(given, stored, output_gradients=tf.constant(products))
        return [np.asarray(logits), np.asarray(losses), np.asarray(back)]

    @cached_property
    def _directions(self) -> Any:
        """Return the compiled function from outputs to logits, losses, and the gradients of these by the outputs."""

        def directions(answers: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor, number: tf.Tensor) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(answers)
                logits = tf.ensure_shape(ordered(self.as_logits(answers), self.labels), [None, self.classes])
            losses, slope = slopes(number, logits, labels, targets)
            return logits, losses, tape.gradient(logits, answers, output_gradients=slope)

        ints = tf.TensorSpec([None], tf.int32)
        shape = tf.TensorSpec([None, 1 if self.single else self.classes], tf.float32)
        return tf.function(
            directions, input_signature=[shape, ints, ints, tf.TensorSpec([], tf.int32)], autograph=False
        )

    def _called(self, function: Any, what: str, *arguments: np.ndarray) -> Any:
        with self._lock:
            try:
                # Copies: the function may change its arguments in place.
                return function(*(argument.copy() for argument in arguments))
            except Exception as error:  # whatever a user's own code raises
                raise PredictorError(
                    f"{self.name}: {what} raised {type(error).__name__} for images of {arguments[0].shape} float32: "
                    f"{first_line(error)}"
                ) from error


def _parts(n: int, size: int) -> Iterator[tuple[slice, int]]:
    for start in range(0, n, size):
        yield slice(start, min(n, start + size)), min(size, n - start)


def _array(answers: Any, name: str, what: str) -> np.ndarray:
    try:
        array = np.asarray(answers)
    except Exception as error:  # a tensor that needs a gradient, or lies on a GPU
        raise PredictorError(
            f"{name}: {what} returned {type(answers).__name__}, which is no array ({first_line(error)}); return one, "
            "such as tensor.detach().cpu().numpy()"
        ) from error
    if array.dtype.kind not in "fiub":
        raise PredictorError(
            f"{name}: {what} returned {type(answers).__name__} of {array.dtype}; return an array of floats, such as "
            "tensor.detach().cpu().numpy()"
        )
    return array.astype(np.float32)


def _finite(array: np.ndarray, name: str, what: str) -> np.ndarray:
    wrong = int(array.size - np.isfinite(array).sum())
    if wrong:
        raise PredictorError(
            f"{name}: {what} returned {wrong} of {array.size} numbers that are NaN or infinite"
        )
    return array
