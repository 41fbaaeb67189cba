"""A Keras model file as a target of attacks: images in, logits or probabilities out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.errors import first_line
from fedrobust.evasion.models.bound import BoundModel
from fedrobust.evasion.models.compiled import CompiledModel, Held
from fedrobust.evasion.threat import Images
from fedrobust.lazy import keras
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import UNDECLARED, Interface
from fedrobust.models.keras_file import ModelFileError, check_finite, load_keras
from fedrobust.models.preparation import Preparation, Shape
from fedrobust.models.recognition import recognised_range
from fedrobust.models.rewiring import with_one_head, with_one_input, with_open_input, without_activation
from fedrobust.paths import expanded


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A Keras model opened as a target of attacks.

    Attributes:
        name: the file's, or the model's own.
        target: the target: images of the data's shape (of the model's, in the prepared space) to logits.
        output: outputs of the file's model: "logits", "probabilities" (no final softmax or sigmoid could be removed),
            or "unwrapped" (a final softmax or sigmoid was removed).
        keras: the Keras model: takes what `prepared` returns; its outputs, in its own class order, are logits unless
            `output` is "probabilities".
        preparation: from the data's images to images of the model's size, both in [0, 1].
        format: from images in [0, 1] to the model's input.
        labels: the data's label of each output; empty where the order is the data's.
        notes: sentences about what was recognised or declared.
    """

    name: str
    target: BoundModel
    output: str
    keras: Any
    preparation: Preparation
    format: InputFormat = UNIT
    labels: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Whether it has a single output unit, the score of class 1."""
        return bool(self.keras.output_shape[1] == 1)

    def prepared(self, images: tf.Tensor) -> tf.Tensor:
        """Return the input of `keras` for native `images` (n, height, width, channels) float32 in [0, 1].

        Where the model takes whole numbers, the gradient of the rounding is that of the identity (BPDA).
        """
        return self.format(self.preparation(images))

    def logits_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return logits (n, classes) in the data's class order from the outputs of `keras`."""
        return ordered(as_logits(tf.cast(outputs, tf.float32), self.output, self.single), self.labels)

    def images(self, stored: np.ndarray) -> Images:
        """Return stored images, uint8 (n, height, width, channels), as float32 in [0, 1] in the attack's space."""
        return self.target.compiled.images(stored)

    def answers(self, images: Images, training: bool = False) -> np.ndarray:
        """Return the logits (n, classes) of native `images`; with `training`, of the model in training mode."""
        if not training:
            return self.target.logits(images)
        values = [variable.value for variable in self.keras.trainable_variables]
        others = [variable.value for variable in self.keras.non_trainable_variables]
        prepared = self.prepared(tf.constant(images))
        outputs, _ = self.keras.stateless_call(values, others, prepared, training=True)
        return np.asarray(self.logits_of(outputs))

    def raw(self, images: Images, format: InputFormat, batch_size: int = 64) -> np.ndarray:
        """Return the logits of native `images` in the model's own class order, with another input `format`."""
        parts = []
        for start in range(0, len(images), batch_size):
            prepared = format(self.preparation(tf.constant(images[start : start + batch_size])))
            outputs = tf.cast(self.keras(prepared, training=False), tf.float32)
            parts.append(np.asarray(as_logits(outputs, self.output, self.single)))
        return np.concatenate(parts)


def open_model(
    path: str | Path | Any,
    native: Shape,
    classes: int,
    space: str = "native",
    batch_size: int = 128,
    interface: Interface = UNDECLARED,
) -> OpenedModel:
    """Open a Keras 3 model as a target: native images in [0, 1] in, logits out.

    A final softmax or sigmoid is removed, because the gradients of confident probabilities underflow to 0. Images are
    resized, and grey ones copied to three channels, where the model's input shape requires it. The model's pixel range
    is that of `interface`, else the one that its scaling layers imply, else [0, 1].

    Args:
        path: a ``.keras`` or ``.h5`` file, or a Keras model.
        native: (height, width, channels) of the data's images.
        classes: of the data.
        space: "native": attacks perturb the data's images; "prepared": images of the model's size, in [0, 1].
        batch_size: most images in one call.
        interface: the declared input format, class order and output head.

    Raises:
        ModelFileError: the file is missing, holds no image classifier, or one of another number of classes.
        ConfigError: `interface` contradicts the model.
    """
    model = path if isinstance(path, keras.Model) else load_keras(expanded(path))
    name = str(getattr(model, "name", "")) if path is model else Path(str(path)).name
    model = with_one_input(model, name, native)
    model, head = with_one_head(model, name, interface.head, classes)
    check_outputs(model, classes, name)
    check_finite(model, name)
    shape, is_first = image_shape(model, native, name)
    preparation = Preparation(native, shape)
    format, notes = _format(model, interface, is_first, shape, name)
    model = with_open_input(model, name)
    _check_runs(model, preparation, format, name)
    bare, taken_off = without_activation(model)
    output = "unwrapped" if taken_off else "logits"
    if not taken_off:
        shown = bare(format(preparation(tf.constant(probes(native)))), training=False)
        output = "probabilities" if looks_like_probabilities(np.asarray(shown)) else output
    single, infer, labels = bare.output_shape[1] == 1, _frozen(bare), interface.labels

    def forward(weights: Held, images: tf.Tensor) -> tf.Tensor:
        prepared = format(images if space == "prepared" else preparation(images))
        return ordered(as_logits(tf.cast(infer(prepared), tf.float32), output, single), labels)

    perturbed, view = (preparation.native, None)
    if space == "prepared":
        perturbed, view = preparation.prepared, preparation
    compiled = CompiledModel(forward, [], perturbed, classes, view)
    if head:
        notes = (*notes, f"of its outputs, {head!r} was taken")
    if labels:
        notes = (*notes, f"class order {', '.join(map(str, labels))}: as given")
    return OpenedModel(
        name, BoundModel(compiled, (), batch_size), output, bare, preparation, format, labels, notes
    )


def _format(
    model: Any, interface: Interface, is_first: bool, shape: Shape, name: str
) -> tuple[InputFormat, tuple[str, ...]]:
    """Return the format of a model's input, and notes about it."""
    given, shown = interface.input, recognised_range(model)
    if given is not None and shown is not None and shown.whole:
        if (given.low, given.high) != (0.0, 255.0) or given.mean or given.std:
            raise ModelFileError(
                f"{name}: its input is {model.inputs[0].dtype}, whole numbers from 0 to 255, which contradicts "
                f"input = {str(given)!r}; leave input out"
            )
        given = replace(given, whole=True)
    format = replace(given or shown or interface.assumed, channels_first=is_first)
    format.check_channels(shape[2], name)
    notes = []
    if format != UNIT:
        why = "as its first layers show" if not given and (shown or is_first) else "as given"
        notes.append(f"input format {format}: {why}")
    if format.whole:
        notes.append(
            "images are rounded to whole numbers before the model; the rounding has the gradient of the "
            "identity (BPDA)"
        )
    return format, tuple(notes)


def _frozen(model: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the model in inference mode with weights as constants, so that BatchNorm is folded into convolutions.

    Random state of layers stays variable: as a constant it would give the same noise in every call.
    """
    if len(model.variables) != len(model.weights):
        return lambda images: model(images, training=False)
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]

    def infer(images: tf.Tensor) -> tf.Tensor:
        constants = [tf.constant(array) for array in trainable], [tf.constant(array) for array in others]
        return model.stateless_call(*constants, images, training=False)[0]

    return infer


def check_outputs(model: Any, classes: int, name: str) -> None:
    """Refuse a model whose output is not one number a class (or a single number for two classes).

    Raises:
        ModelFileError: the output has another shape.
    """
    outputs = model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2 or outputs[1] is None:
        raise ModelFileError(
            f"{name}: its output has shape {outputs}; a classifier's is (n, classes): a row of logits or probabilities "
            "an image"
        )
    if (2 if outputs[1] == 1 else outputs[1]) != classes:
        raise ModelFileError(
            f"{name}: it has {outputs[1]} outputs, the data have {classes} classes; name the data that it was trained "
            "on"
        )


def _check_runs(model: Any, preparation: Preparation, format: InputFormat, name: str) -> None:
    """Refuse a model that fails or returns NaN or infinity on plain images.

    Raises:
        ModelFileError: it raises, or returns NaN or infinity, on images from black to white.
    """
    native = np.ones((5, *preparation.native), np.float32) * np.linspace(0, 1, 5)[:, None, None, None]
    try:
        prepared = format(preparation(tf.constant(native, tf.float32)))
        answers = np.asarray(model(prepared, training=False), np.float64)
    except Exception as error:  # whatever its layers raise
        raise ModelFileError(
            f"{name}: it cannot be run on images of {preparation.native}: {first_line(error)}"
        ) from error
    if not np.isfinite(answers).all():
        raise ModelFileError(
            f"{name}: its outputs on plain images are NaN or infinite: its training diverged, or it takes another "
            "input format"
        )


def image_shape(model: Any, native: Shape, name: str) -> tuple[Shape, bool]:
    """Return (height, width, channels) of a model's input, and whether channels come first.

    Variable sides are those of the data.

    Raises:
        ModelFileError: its number of channels is not the data's (colour input for grey images is allowed).
    """
    shape = tuple(model.inputs[0].shape[1:])
    is_first = shape[0] in (1, 3) and shape[2] not in (1, 3)
    height, width, channels = (shape[1], shape[2], shape[0]) if is_first else shape
    channels = channels or native[2]
    if channels not in (1, 3) or (native[2], channels) == (3, 1):
        raise ModelFileError(
            f"{name}: its input has {channels} channels, the data have {native[2]}: grey images can be copied to "
            "colour, colour images cannot be made grey"
        )
    return (height or native[0], width or native[1], channels), is_first


def probes(native: Shape) -> Images:
    """Return test images (32, height, width, channels): noise, plain greys from black to white, and mixtures."""
    draw = np.random.default_rng(0)
    noise = draw.random((16, *native))
    plain = np.ones((8, *native)) * np.linspace(0, 1, 8)[:, None, None, None]
    halves = np.where(np.arange(native[0])[:, None, None] % 8 < 4, noise[:8], plain)
    return np.concatenate([noise, plain, halves]).astype(np.float32)


def looks_like_probabilities(answers: np.ndarray) -> bool:
    """Return whether outputs on `probes` are rows in [0, 1] that sum to one (or single numbers in [0, 1])."""
    answers = answers.astype(np.float64)
    if not ((answers >= 0) & (answers <= 1)).all():
        return False
    return answers.shape[1] == 1 or bool(np.allclose(answers.sum(axis=1), 1.0, atol=1e-3))


def as_logits(answers: tf.Tensor, output: str, single: bool) -> tf.Tensor:
    """Return logits (n, classes >= 2) from a model's outputs; of a single unit, class 0 gets 0.

    Probabilities become their logarithms, clipped where a probability is 0 or 1 in float32.
    """
    if output != "probabilities":
        return tf.concat([tf.zeros_like(answers), answers], axis=1) if single else answers
    # Anything smaller is flushed to 0, whose logarithm is infinite.
    answers = tf.clip_by_value(answers, float(np.finfo(np.float32).tiny), 1.0)
    if not single:
        return tf.math.log(answers)
    return tf.concat([tf.math.log1p(-tf.minimum(answers, 1.0 - 2.0**-24)), tf.math.log(answers)], axis=1)


def ordered(logits: tf.Tensor, labels: tuple[int, ...]) -> tf.Tensor:
    """Return `logits` in the data's class order, where output i stands for ``labels[i]``."""
    return tf.gather(logits, np.argsort(labels), axis=1) if labels else logits
