"""Load pretrained weights into the backbone of a network."""

from __future__ import annotations

import warnings
from pathlib import Path

from fedrobust.errors import first_line
from fedrobust.lazy import keras
from fedrobust.models.architecture import Architecture, ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.file_network import file_network
from fedrobust.models.keras_file import ModelFileError, check_finite
from fedrobust.models.layers import inner_layers
from fedrobust.models.network_file import is_network_file, pinned_parts


def load_backbone_weights(network: keras.Model, name: str, weights: str, path: Path | None) -> None:
    """Load pretrained weights into the backbone of `network`; its head keeps its random weights.

    With GroupNorm in place of BatchNorm the pretrained moving statistics are dropped: activations are then normalised
    by image, and the other pretrained weights have to be fine-tuned.

    Args:
        network: from `build_network`.
        name: its architecture.
        weights: "imagenet" or the path as the user wrote it, for messages.
        path: Keras 3 weights of the backbone without its top; None: Keras downloads ImageNet weights.

    Raises:
        ModelError: the weights do not exist, cannot be downloaded or read, or do not fit the architecture.
    """
    architecture = architecture_named(name)
    backbone = _backbone(network)
    if is_network_file(name):
        raise ModelError(
            f'model.weights = "{weights}": {pinned_parts(name)[0]} is a file with its own weights; choose "file" or '
            '"random"'
        )
    if weights == "imagenet" and path is None:
        pretrained = _download_imagenet(name, architecture)
    else:
        # A weights file refers to Keras' own layer classes, which the rebuilt backbone does not have.
        pretrained = (architecture.original or architecture.features)(backbone.input_shape[1:])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # Keras warns once for every missing layer; the error below says it once
                pretrained.load_weights(path)
            check_finite(pretrained, f"model.weights = {weights!r}: {path}")
        except ModelFileError:
            raise
        except Exception as error:  # Keras raises various types for missing, other or damaged weights
            raise ModelError(
                f"model.weights = {weights!r}: {path} does not hold weights of {name} without its top: "
                f"{first_line(error)}"
            ) from error
    _copy_weights(pretrained, backbone)


def load_file_weights(
    network: keras.Model, name: str, classes: int, head: str, multilabel: bool = False
) -> None:
    """Load the weights of the file that a network is in.

    Args:
        network: from `build_network`.
        name: of the file, see `fedrobust.models.network_file.pinned`.
        classes: number of the data's classes or findings.
        head: "keep" for the file's last layer, "new" for the random one that `network` has.
        multilabel: whether the data have findings, which may occur together.

    Raises:
        ModelError: the network is in no file, or its last layer has other classes.
    """
    if not is_network_file(name):
        raise ModelError(f'model.weights = "file": {name} is no file; choose "random", "imagenet" or a file')
    backbone = _backbone(network)
    found = file_network(name, backbone.input_shape[1:])
    _copy_weights(found.features, backbone)
    if head == "new":
        return
    try:
        kept = found.head_for(classes, multilabel)
    except ValueError as error:
        raise ModelError(
            f'model.head = "keep": {pinned_parts(name)[0]}: {error}; set model.head = "new" for a new last layer of '
            f'{classes} {"findings" if multilabel else "classes"}, or model.weights = "random"'
        ) from error
    if kept is not None:
        network.layers[-1].set_weights(kept)


def _backbone(network: keras.Model) -> keras.Model:
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def _copy_weights(pretrained: keras.Model, backbone: keras.Model) -> None:
    for own, theirs in zip(_weighted(backbone), _weighted(pretrained), strict=True):
        # GroupNorm has only scales and shifts, which come first among BatchNorm's arrays.
        own.set_weights(theirs.get_weights()[: len(own.weights)])


def _weighted(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with weights; the constants of a scaling layer are no weights."""
    return [
        each
        for each in inner_layers(model)
        if each.weights and not isinstance(each, keras.layers.Normalization)
    ]


def _download_imagenet(name: str, architecture: Architecture) -> keras.Model:
    if not architecture.imagenet:
        raise ModelError(f'model.weights = "imagenet": {name} has none; choose "random" or a file')
    build = getattr(keras.applications, architecture.imagenet)
    try:
        return build(include_top=False, weights="imagenet", input_shape=(224, 224, 3), pooling="avg")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ModelError(
            f'model.weights = "imagenet": the weights of {name} could not be downloaded ({error}). '
            "Offline, give the path of a weights file, put one into weights/ below a data root, or Keras' file into "
            "~/.keras/models"
        ) from error
