"""A Keras file under attack: any model that takes images and answers with logits or probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fedrobust.errors import first_line
from fedrobust.evasion.target import WhiteBox
from fedrobust.evasion.threat import Images
from fedrobust.evasion.victim import Held, Victim
from fedrobust.models.ending import ending
from fedrobust.models.keras_file import ModelFileError, check_finite, load_keras
from fedrobust.models.preparation import Preparation, Shape
from fedrobust.paths import expanded


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model from a file, ready to be attacked.

    Attributes:
        name: the file's, or the model's own.
        target: takes images of the data's shape (or of the model's own, in the prepared space); gives logits.
        output: what the file's model answers with: "logits", "probabilities" (nothing could be taken off them), or
            "unwrapped" (a softmax or sigmoid at its end was taken off).
        keras: the file's model, for what only it can tell.
        preparation: from the data's images to the model's.
        single: whether its output is one unit, the score of class 1.
    """

    name: str
    target: WhiteBox
    output: str
    keras: Any
    preparation: Preparation
    single: bool

    def answers(self, images: Images, training: bool = False) -> np.ndarray:
        """Return the logits of native `images`, as in training (BatchNorm on the batch, dropout on) if asked."""
        if not training:
            return self.target.logits(images)
        prepared = self.preparation(tf.constant(images))
        values = [variable.value for variable in self.keras.trainable_variables]
        others = [variable.value for variable in self.keras.non_trainable_variables]
        outputs, _ = self.keras.stateless_call(values, others, prepared, training=True)
        return np.asarray(_logits(tf.cast(outputs, tf.float32), self.output, self.single))


def open_model(
    path: str | Path | Any, native: Shape, classes: int, space: str = "native", batch_size: int = 128
) -> OpenedModel:
    """Open a Keras 3 model and put it behind the way in and out that an attack needs.

    A softmax or sigmoid at its end is taken off: from probabilities the gradients of a sure model are 0. Grey images
    are copied to three channels, and resized, where the model wants it. Inputs are images in [0, 1].

    Args:
        path: a ``.keras`` or ``.h5`` file, or a Keras model.
        native: (height, width, channels) of the data's images.
        classes: of the data.
        space: "native" perturbs the data's images, "prepared" the model's.
        batch_size: most images in one call.

    Raises:
        ModelFileError: there is no such file, it holds no model of images, or its classes are not the data's.
    """
    model = path if isinstance(path, keras.Model) else load_keras(expanded(path))
    name = str(getattr(model, "name", "")) if path is model else Path(str(path)).name
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ModelFileError(
            f"{name}: its input is {shape}; one batch of images is wanted, (n, height, width, channels)"
        )
    model = _with_free_batch(model, name)
    preparation = Preparation(native, _prepared(name, shape[1:], native))
    outputs = model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2 or outputs[1] is None:
        raise ModelFileError(
            f"{name}: its output is {outputs}; one row of logits or probabilities an image is wanted"
        )
    single = outputs[1] == 1
    if (2 if single else outputs[1]) != classes:
        raise ModelFileError(
            f"{name}: it answers with {outputs[1]} numbers, the data have {classes} classes; name the data it was "
            "trained for"
        )
    check_finite(model, name)
    _check_runs(model, preparation, name)
    bare, taken_off = _without_activation(model)
    output = "unwrapped" if taken_off else "logits"
    if not taken_off and _looks_like_probabilities(bare, preparation):
        output = "probabilities"

    infer = _frozen(bare)

    def forward(weights: Held, images: tf.Tensor) -> tf.Tensor:
        prepared = images if space == "prepared" else preparation(images)
        return _logits(tf.cast(infer(prepared), tf.float32), output, single)

    perturbed, view = (preparation.native, None)
    if space == "prepared":
        perturbed, view = preparation.prepared, preparation
    victim = Victim(forward, [], perturbed, classes, view)
    return OpenedModel(name, WhiteBox(victim, (), batch_size), output, bare, preparation, single)


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


def _with_free_batch(model: Any, name: str) -> Any:
    """Return the model for any number of images at a time, where it was saved for a fixed one.

    Raises:
        ModelFileError: something in it depends on the number.
    """
    if model.input_shape[0] is None:
        return model
    inputs = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    try:
        free = keras.models.clone_model(model, input_tensors=inputs)
        free.set_weights(model.get_weights())
        free(tf.zeros((1, *model.input_shape[1:])), training=False)
    except Exception as error:  # whatever its layers raise
        raise ModelFileError(
            f"{name}: it takes batches of exactly {model.input_shape[0]} images ({first_line(error)}); save it with an "
            "input whose batch is None"
        ) from error
    return free


def _check_runs(model: Any, preparation: Preparation, name: str) -> None:
    """Refuse a model that cannot answer, or whose answers are no numbers.

    Raises:
        ModelFileError: it raises, or answers with NaN or infinity, on images from black to white.
    """
    native = np.ones((5, *preparation.native), np.float32) * np.linspace(0, 1, 5)[:, None, None, None]
    try:
        answers = np.asarray(model(preparation(tf.constant(native, tf.float32)), training=False))
    except Exception as error:  # whatever its layers raise
        raise ModelFileError(
            f"{name}: it cannot be run on images of {preparation.native}: {first_line(error)}"
        ) from error
    if not np.isfinite(answers).all():
        raise ModelFileError(
            f"{name}: it answers with NaN or infinity to plain images: its training went astray, or it wants other "
            "images"
        )


def _prepared(name: str, shape: tuple[Any, ...], native: Shape) -> Shape:
    height, width = (shape[0] or native[0]), (shape[1] or native[1])
    channels = shape[2] or native[2]
    if channels not in (1, 3) or (native[2], channels) == (3, 1):
        raise ModelFileError(
            f"{name}: it takes images of {channels} channels, the data have {native[2]}: grey can be copied to colour, "
            "not the other way round"
        )
    return height, width, channels


def _without_activation(model: Any) -> tuple[Any, bool]:
    """Return the model up to its logits, and whether a softmax or sigmoid was taken off its end.

    The model given stays as it is.
    """
    if not ending(model):
        return model, False
    history = model.outputs[0]._keras_history
    last = history.operation
    before = last._inbound_nodes[history.node_index].input_tensors
    if isinstance(last, keras.Model):
        inner, _ = _without_activation(last)
        return keras.Model(model.inputs, inner(before[0])), True
    is_nothing_else = type(last).__name__ in ("Softmax", "Sigmoid", "Activation")
    if is_nothing_else:
        return keras.Model(model.inputs, before[0]), True
    bare = type(last).from_config({**last.get_config(), "activation": "linear"})
    outputs = bare(before[0])
    bare.set_weights(last.get_weights())
    return keras.Model(model.inputs, outputs), True


def _looks_like_probabilities(model: Any, preparation: Preparation) -> bool:
    """Whether the answers to noise and to plain images are rows in [0, 1] that sum to one (or one number in [0, 1])."""
    draw = np.random.default_rng(0)
    noise = draw.random((16, *preparation.native))
    plain = np.ones((8, *preparation.native)) * np.linspace(0, 1, 8)[:, None, None, None]
    halves = np.where(np.arange(preparation.native[0])[:, None, None] % 8 < 4, noise[:8], plain)
    images = np.concatenate([noise, plain, halves]).astype(np.float32)
    answers = np.asarray(model(preparation(tf.constant(images)), training=False), np.float64)
    if not ((answers >= 0) & (answers <= 1)).all():
        return False
    return answers.shape[1] == 1 or bool(np.allclose(answers.sum(axis=1), 1.0, atol=1e-3))


def _logits(answers: tf.Tensor, output: str, single: bool) -> tf.Tensor:
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
