"""A network in a Keras file: its features, its head, and what of the file is not used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.lazy import keras
from fedrobust.memoize import memoize
from fedrobust.models.architecture import Architecture, ModelError
from fedrobust.models.ending import last_operation
from fedrobust.models.head import Activation, Head
from fedrobust.models.keras_file import ModelFileError, load_keras
from fedrobust.models.network_file import DIGITS, file_digest, is_network_file, pinned, pinned_parts
from fedrobust.models.own_network import checked_features
from fedrobust.models.preparation import Shape
from fedrobust.models.recognition import recognised_range


@dataclass(frozen=True, eq=False)
class FileNetwork:
    """The network in a file, for images of one shape.

    Attributes:
        features: from images to one feature vector an image, with the file's weights.
        head: its last Dense layer; None where it ends in features.
        ending: the activation behind other layers than a Dense layer, which the features are without; empty: none.
        left_out: names of its random layers that act in training only.
    """

    features: keras.Model
    head: Head | None
    ending: Activation
    left_out: tuple[str, ...]

    def head_for(self, classes: int, multilabel: bool) -> tuple[np.ndarray, np.ndarray] | None:
        """Return kernel and bias of one logit a class or finding (`multilabel`); None where it ends in features.

        Raises:
            ValueError: it has other classes, or computes them otherwise; the message says which.
        """
        if self.ending:
            raise ValueError(
                f"it ends in {self.ending}, but not in a Dense layer, whose weights could be kept"
            )
        return None if self.head is None else self.head.logits(classes, multilabel)


def file_architecture(name: str) -> Architecture:
    """Return the network in a Keras file as an architecture.

    Args:
        name: path of the file, or its pinned name.

    Raises:
        ModelFileError: it cannot be opened safely, or is not the file that the name was pinned to.
        ModelError: it does not take one batch of images, or has several outputs.
    """
    channels = _input_shape(name)[2]

    def features(shape: Shape) -> keras.Model:
        return file_network(name, shape).features

    return Architecture(
        features,
        scale=None,
        smallest=1,
        channels=3 if channels == 3 else 1 if channels == 1 else "native",
        imagenet="",
        summary=f"the network in {pinned_parts(name)[0].name}",
    )


@memoize(keep=4, key=lambda name, shape: (pinned(name), shape))
def file_network(name: str, shape: Shape) -> FileNetwork:
    """Return the network in a Keras file for prepared images of `shape` (height, width, channels).

    Raises:
        ModelFileError: the file cannot be opened safely, or is not the one that the name was pinned to.
        ModelError: it does not take such images, or has layers that clients cannot train.
    """
    # Starts Keras.
    from fedrobust.models.flat_network import flat_network

    path = pinned_parts(name)[0]
    _check_size(name, shape)
    flat, left_out = flat_network(_loaded(name), shape, str(path))
    features, head, ending = _split(flat)
    _check_layers(str(path), features)
    return FileNetwork(checked_features(str(path), features, shape), head, ending, left_out)


def file_remarks(
    name: str, shape: Shape, classes: int, weights: str, head: str, scaling: str = "backbone"
) -> list[str]:
    """Return what of a network's file is not used or is assumed, in sentences; empty for a network without a file.

    Args:
        name: of the network, see `pinned`.
        shape: of its input (height, width, channels).
        classes: number of the data's classes.
        weights: ``model.weights``.
        head: ``model.head``.
        scaling: ``model.scaling``.
    """
    if not is_network_file(name):
        return []
    file, found = pinned_parts(name)[0].name, file_network(name, shape)
    said = []
    if weights == "random":
        said.append(f'model.weights = "random": the weights in {file} are not used; "file" starts from them')
    elif found.head is None and not found.ending:
        said.append(f"{file} ends in features: a new last layer of {classes} classes follows them")
    elif found.head is None:
        said.append(f'model.head = "new": a new last layer of {classes} classes follows what {file} ends in')
    elif head == "new":
        said.append(
            f'model.head = "new": the last layer of {file}, of {found.head.outputs} outputs, is not used'
        )
    if scaling == "backbone" and weights == "file" and recognised_range(found.features) is None:
        said.append(
            f"{file}: its first layers show no pixel range, 0..1 is assumed; model.scaling declares another, such as "
            '"0..255"'
        )
    if found.left_out:
        said.append(
            f"{file}: left out, because they change images or activations at random in training: "
            f"{', '.join(found.left_out)}; training.augmentations changes images"
        )
    bound = [layer.name for layer in found.features.layers if _is_bound(layer)]
    if bound:
        said.append(
            f"{file}: the regularizers and constraints of {', '.join(bound)} are not applied; training.optimizer has "
            "weight_decay"
        )
    return said


@memoize(keep=2, key=lambda name: pinned(name))
def _loaded(name: str) -> Any:
    """Return the Keras model of a file, checked to have one input of images and one output."""
    path, digest = pinned_parts(name)
    model = load_keras(path)
    if digest and file_digest(path)[:DIGITS] != digest:
        raise ModelFileError(
            f"{path}: the file was changed while the study was running; leave it as it is, or start the study anew"
        )
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    taken = [tuple(each.shape[1:]) for each in inputs]
    if len(taken) != 1 or len(taken[0]) != 3 or taken[0][2] is None:
        raise ModelError(
            f"{path}: it takes {taken or 'nothing that is recorded'}; a network of a study takes one batch of images, "
            "(height, width, channels): save a keras.Model of such an input"
        )
    if len(outputs) != 1:
        raise ModelError(
            f"{path}: it has {len(outputs)} outputs; a network of a study has one: save a keras.Model of that one"
        )
    return model


def _input_shape(name: str) -> tuple[int | None, int | None, int]:
    height, width, channels = _loaded(name).inputs[0].shape[1:]
    return height, width, int(channels)


def _check_size(name: str, shape: Shape) -> None:
    path, (height, width, channels) = pinned_parts(name)[0], _input_shape(name)
    if channels != shape[2]:
        raise ModelError(
            f"{path}: it takes images of {channels} channels, the data have {shape[2]}; give a network for "
            f"{shape[2]} channels (grey images are copied to red, green and blue, colour images are not made grey)"
        )
    if height not in (None, shape[0]) or width not in (None, shape[1]):
        what = (
            f"set it to {height} (images are resized inside the model)"
            if height == width
            else "images are resized to squares: begin the network with a square input and a Resizing layer"
        )
        raise ModelError(f"image-size = {shape[0]}: {path} takes images of {height} x {width} pixels; {what}")


def _split(model: keras.Model) -> tuple[keras.Model, Head | None, Activation]:
    """Return a flat model up to its features, its head, and the activation behind them if it has no head.

    The head is a last Dense layer without activation, or with softmax or sigmoid, also as a layer of its own. A last
    Dense layer with another activation belongs to the features.
    """
    last = last_operation(model)
    while isinstance(last, keras.layers.Identity) or (
        isinstance(last, keras.layers.Activation) and _of_layer(last) == ""
    ):
        model = keras.Model(model.inputs[0], _input(last))
        last = last_operation(model)
    alone = _alone(last)
    outputs = _input(last) if alone else model.outputs[0]
    dense = outputs._keras_history.operation
    activation = alone or _of_layer(dense)
    if not isinstance(dense, keras.layers.Dense) or activation is None or (alone and _of_layer(dense) != ""):
        return (keras.Model(model.inputs[0], outputs) if alone else model), None, alone
    arrays = dense.get_weights()
    bias = arrays[1] if dense.use_bias else np.zeros(dense.units, np.float32)
    return keras.Model(model.inputs[0], _input(dense)), Head(arrays[0], bias, activation), ""


def _alone(layer: Any) -> Activation:
    """Return the activation that a layer consists of; empty if it is another layer."""
    kind = type(layer).__name__
    if kind == "Activation":
        return _of_layer(layer) or ""
    return {"Softmax": "softmax", "Sigmoid": "sigmoid"}.get(kind, "")  # type: ignore[return-value]


def _of_layer(layer: Any) -> Activation | None:
    """Return the activation of a layer's outputs; None if it is neither of the three."""
    known: dict[Any, Activation] = {
        keras.activations.linear: "",
        keras.activations.softmax: "softmax",
        keras.activations.sigmoid: "sigmoid",
    }
    return known.get(getattr(layer, "activation", None))


def _is_bound(layer: Any) -> bool:
    """Return whether a layer has a penalty on its weights or outputs, or a constraint."""
    return any(
        name.endswith(("_regularizer", "_constraint")) and value is not None
        for name, value in vars(layer).items()
    )


def _input(layer: Any) -> Any:
    return layer._inbound_nodes[-1].input_tensors[0]


def _check_layers(name: str, features: keras.Model) -> None:
    """Refuse layers with a state other than BatchNorm's statistics, and other numbers than float32.

    Raises:
        ModelError: there is one.
    """
    for layer in features.layers:
        if layer.compute_dtype not in ("float32", None):
            raise ModelError(
                f'{name}: its layer "{layer.name}" computes in {layer.compute_dtype}; clients train in float32: set '
                'keras.config.set_dtype_policy("float32") and save it anew'
            )
        if layer.non_trainable_weights and not isinstance(layer, keras.layers.BatchNormalization):
            raise ModelError(
                f'{name}: its layer "{layer.name}" ({type(layer).__name__}) has a state beside weights, which clients '
                "do not exchange; BatchNormalization's statistics they do: leave that layer out"
            )
