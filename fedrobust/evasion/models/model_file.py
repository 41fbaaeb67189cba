"""A Keras file under attack: any model that takes images and answers with logits or probabilities."""

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
from fedrobust.models.interface import TELLS_NOTHING, Interface
from fedrobust.models.keras_file import ModelFileError, check_finite, load_keras
from fedrobust.models.preparation import Preparation, Shape
from fedrobust.models.recognition import recognised_range
from fedrobust.models.rewiring import with_one_head, with_one_input, with_open_input, without_activation
from fedrobust.paths import expanded


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model from a file, ready to be attacked.

    Attributes:
        name: the file's, or the model's own.
        target: takes images of the data's shape (or of the model's own, in the prepared space); gives logits.
        output: what the file's model answers with: "logits", "probabilities" (nothing could be taken off them), or
            "unwrapped" (a softmax or sigmoid at its end was taken off).
        keras: the Keras model from what `prepared` returns to its own outputs, in its own class order: logits, unless
            `output` is "probabilities".
        preparation: from the data's images to the model's, both in [0, 1].
        format: from those to what the model takes.
        labels: the data's label of each of its outputs; empty where the order is the data's.
        notes: what was recognised or told, in sentences.
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
        """Whether its output is one unit, the score of class 1."""
        return bool(self.keras.output_shape[1] == 1)

    def prepared(self, images: tf.Tensor) -> tf.Tensor:
        """Return what `keras` takes of native `images` (n, height, width, channels) float32 in [0, 1].

        It has a gradient, also where the model wants whole numbers: that of the identity.
        """
        return self.format(self.preparation(images))

    def logits_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """Return logits (n, classes) in the data's class order of what `keras` answers with."""
        return ordered(as_logits(tf.cast(outputs, tf.float32), self.output, self.single), self.labels)

    def images(self, stored: np.ndarray) -> Images:
        """Return stored images, uint8 (n, height, width, channels), as float32 in [0, 1] in the attack's space."""
        return self.target.compiled.images(stored)

    def answers(self, images: Images, training: bool = False) -> np.ndarray:
        """Return the logits of native `images`, as in training (BatchNorm on the batch, dropout on) if asked."""
        if not training:
            return self.target.logits(images)
        values = [variable.value for variable in self.keras.trainable_variables]
        others = [variable.value for variable in self.keras.non_trainable_variables]
        prepared = self.prepared(tf.constant(images))
        outputs, _ = self.keras.stateless_call(values, others, prepared, training=True)
        return np.asarray(self.logits_of(outputs))

    def raw(self, images: Images, format: InputFormat, batch_size: int = 64) -> np.ndarray:
        """Return the logits of native `images` in the model's own class order, given to it in another `format`."""
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
    interface: Interface = TELLS_NOTHING,
) -> OpenedModel:
    """Open a Keras 3 model and put it behind the way in and out that an attack needs.

    A softmax or sigmoid at its end is taken off: from probabilities the gradients of a sure model are 0. Grey images
    are copied to three channels, and resized, where the model wants it. The range of pixels that it takes is that of
    `interface`, else the one that its own scaling layers show, else [0, 1].

    Args:
        path: a ``.keras`` or ``.h5`` file, or a Keras model.
        native: (height, width, channels) of the data's images.
        classes: of the data.
        space: "native" perturbs the data's images, "prepared" the model's, before their range is changed.
        batch_size: most images in one call.
        interface: what is known of its images, class order and output.

    Raises:
        ModelFileError: there is no such file, it holds no model of images, or its classes are not the data's.
        ConfigError: what `interface` tells does not fit it.
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
        notes = (*notes, f"its outputs stand for the labels {', '.join(map(str, labels))}, as told")
    return OpenedModel(
        name, BoundModel(compiled, (), batch_size), output, bare, preparation, format, labels, notes
    )


def _format(
    model: Any, interface: Interface, is_first: bool, shape: Shape, name: str
) -> tuple[InputFormat, tuple[str, ...]]:
    """Return the format of a model's images, and what to say of it."""
    told, shown = interface.input, recognised_range(model)
    if told is not None and shown is not None and shown.whole:
        if (told.low, told.high) != (0.0, 255.0) or told.mean or told.std:
            raise ModelFileError(
                f"{name}: its input is {model.inputs[0].dtype}, whole numbers from 0 to 255; input = {str(told)!r} is "
                "none; leave it out"
            )
        told = replace(told, whole=True)
    format = replace(told or shown or interface.assumed, channels_first=is_first)
    format.check_channels(shape[2], name)
    notes = []
    if format != UNIT:
        why = "as its first layers show" if not told and (shown or is_first) else "as told"
        notes.append(f"the model is given images as {format}: {why}")
    if format.whole:
        notes.append(
            "images are rounded to whole numbers before the model; gradients pass the rounding as if it were not there "
            "(BPDA)"
        )
    return format, tuple(notes)


def _frozen(model: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the model in inference mode with its weights as constants: BatchNorm is then folded into convolutions.

    A layer with a random state of its own has to keep it, or its noise would be the same in every call.
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
    """Refuse a model that does not answer with a number a class (or one number for two classes).

    Raises:
        ModelFileError: it does not.
    """
    outputs = model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2 or outputs[1] is None:
        raise ModelFileError(
            f"{name}: its output is {outputs}; one row of logits or probabilities an image is wanted, (n, classes)"
        )
    if (2 if outputs[1] == 1 else outputs[1]) != classes:
        raise ModelFileError(
            f"{name}: it answers with {outputs[1]} numbers, the data have {classes} classes; name the data it was "
            "trained for"
        )


def _check_runs(model: Any, preparation: Preparation, format: InputFormat, name: str) -> None:
    """Refuse a model that cannot answer, or whose answers are no numbers.

    Raises:
        ModelFileError: it raises, or answers with NaN or infinity, on images from black to white.
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
            f"{name}: it answers with NaN or infinity to plain images: its training went astray, or it wants other "
            "images"
        )


def image_shape(model: Any, native: Shape, name: str) -> tuple[Shape, bool]:
    """Return (height, width, channels) of the images that a model takes, and whether channels come first.

    Sides that it leaves open are those of the data.

    Raises:
        ModelFileError: it takes images of other channels than the data's, and not colour for grey.
    """
    shape = tuple(model.inputs[0].shape[1:])
    is_first = shape[0] in (1, 3) and shape[2] not in (1, 3)
    height, width, channels = (shape[1], shape[2], shape[0]) if is_first else shape
    channels = channels or native[2]
    if channels not in (1, 3) or (native[2], channels) == (3, 1):
        raise ModelFileError(
            f"{name}: it takes images of {channels} channels, the data have {native[2]}: grey can be copied to colour, "
            "not the other way round"
        )
    return (height or native[0], width or native[1], channels), is_first


def probes(native: Shape) -> Images:
    """Return noise, plain images from black to white, and halves of both, (32, height, width, channels)."""
    draw = np.random.default_rng(0)
    noise = draw.random((16, *native))
    plain = np.ones((8, *native)) * np.linspace(0, 1, 8)[:, None, None, None]
    halves = np.where(np.arange(native[0])[:, None, None] % 8 < 4, noise[:8], plain)
    return np.concatenate([noise, plain, halves]).astype(np.float32)


def looks_like_probabilities(answers: np.ndarray) -> bool:
    """Return whether answers to `probes` are rows in [0, 1] that sum to one (or one number in [0, 1])."""
    answers = answers.astype(np.float64)
    if not ((answers >= 0) & (answers <= 1)).all():
        return False
    return answers.shape[1] == 1 or bool(np.allclose(answers.sum(axis=1), 1.0, atol=1e-3))


def as_logits(answers: tf.Tensor, output: str, single: bool) -> tf.Tensor:
    """Return logits (n, two classes or more) of what a model answers; of one unit, class 0 gets 0.

    Of probabilities it is the logarithm, cut off where a probability is 0 or 1 to the last bit: behind that is nothing.
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
