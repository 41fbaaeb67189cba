"""A classifier: network, preparation of images, and layout of the weights, which are arguments of its functions.

Modules that build or write a network are imported inside of functions: Keras takes seconds to start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.defences.contract import combined
from fedrobust.graphs.origin import Origin
from fedrobust.lazy import keras
from fedrobust.memoize import part
from fedrobust.models.architecture import ModelError
from fedrobust.models.architectures import architecture_named
from fedrobust.models.defended import defended
from fedrobust.models.facts import NetworkFacts
from fedrobust.models.frozen import Frozen
from fedrobust.models.keras_applications import is_keras_application
from fedrobust.models.layers import Layers, freeze
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.models.model_template import FilledFiles
from fedrobust.models.naming import Normalization, Scaling, keras_name
from fedrobust.models.network_file import is_network_file, pinned_parts
from fedrobust.models.preparation import Preparation, Shape
from fedrobust.models.pretrained import load_backbone_weights, load_file_weights
from fedrobust.models.saving import save_model


@dataclass(frozen=True, eq=False)
class Classifier:
    """A model as a function of its weights.

    The arrays of frozen layers are not part of the weights: the classifier holds them as constants.

    Attributes:
        name: the architecture's registered name.
        preparation: from native images to prepared ones.
        network: Keras model from prepared images in [0, 1] to logits; training does not read its variables.
        layout: the order of its arrays in the two vectors of `Weights`.
        defence: prediction-time defence of native images, see `fedrobust.defences`; None: none.
        frozen: the arrays of frozen layers.
        origin: key of the graphs kept on disk: everything that its functions depend on; None: graphs are not kept.
        multilabel: whether each logit is a finding of its own, present where it is positive (a sigmoid); otherwise the
            classes exclude each other (a softmax).
    """

    name: str
    preparation: Preparation
    network: keras.Model
    layout: Layout
    defence: Callable[[Any], Any] | None = None
    frozen: Frozen = field(default_factory=Frozen)
    origin: Origin | None = None
    multilabel: bool = False

    @part
    def facts(self) -> NetworkFacts:
        """Facts of the network: classes, BatchNorm momenta, size of the largest layer."""
        return NetworkFacts.of(self.network)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.facts.classes

    @property
    def parameters(self) -> int:
        """Number of trainable parameters if no layer were frozen: the model size given in publications."""
        return self.layout.parameters + self.frozen.parameters

    def with_defence(self, defence: Callable[[Any], Any] | None) -> Classifier:
        """Return the classifier with another defence, or None; its graphs are not kept on disk."""
        parts = (self.name, self.preparation, self.network, self.layout)
        return Classifier(*parts, defence, self.frozen, multilabel=self.multilabel)

    def arrays(self, weights: Weights) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return `weights` as (trainable, statistics) tensors in Keras' order."""
        trainable: list[tf.Tensor] = []
        statistics: list[tf.Tensor] = []
        for entry, array in zip(self.layout.entries, self.layout.unflatten(weights), strict=True):
            (trainable if entry.kind == "trainable" else statistics).append(tf.constant(array, tf.float32))
        return trainable, statistics

    def predicted(self, images: tf.Tensor) -> tf.Tensor:
        """Return the network's input at prediction time for native `images` in [0, 1]: defended, then prepared."""
        return self.preparation(images if self.defence is None else defended(self.defence, images))

    def logits(
        self,
        trainable: Sequence[tf.Tensor],
        statistics: Sequence[tf.Tensor],
        prepared: tf.Tensor,
        training: bool = False,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return logits (n, classes) of `prepared` images, and the BatchNorm statistics after the pass."""
        logits, after = self.network.stateless_call(
            list(trainable), self.frozen.among(list(statistics)), prepared, training=training
        )
        return logits, self.frozen.without(list(after))

    def answers(
        self,
        trainable: Sequence[tf.Tensor],
        statistics: Sequence[tf.Tensor],
        images: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """Return logits (n, classes) of native `images` in [0, 1] at prediction time: of the vote, if it is one."""
        logits, _ = self.logits(trainable, statistics, self.predicted(images), training)
        return combined(self.defence, logits)

    def initial_weights(self) -> Weights:
        """Return the weights that the network was built with."""
        return self.layout.flatten([variable.numpy() for variable in self._variables(self.network)])

    def deployable(self, weights: Weights) -> keras.Model:
        """Return a Keras model of Keras' own layers, from native images in [0, 1] to logits, with `weights`."""
        # Starts Keras.
        from fedrobust.models.deployable import stock_network, with_preparation

        network = stock_network(self.network)
        for variable, array in zip(self._variables(network), self.layout.unflatten(weights), strict=True):
            variable.assign(array)
        for variable, array in zip(self._constants(network), self.frozen.arrays, strict=True):
            variable.assign(array)
        return with_preparation(
            network, self.preparation, self.defence, f"{keras_name(self.name)}_classifier"
        )

    def save(self, weights: Weights, path: Path) -> None:
        """Write the `deployable` model with `weights` as a Keras file."""
        if not self.frozen.arrays:
            save_model(self.deployable(weights), path)
            return
        self._filled.write(
            self.layout.unflatten(weights), path, lambda: save_model(self.deployable(weights), path)
        )

    @part
    def _filled(self) -> FilledFiles:
        return FilledFiles()

    def weights_of(self, model: keras.Model) -> Weights | None:
        """Return the weights of a `deployable` model of this classifier; None for another model."""
        networks = [layer for layer in model.layers if isinstance(layer, keras.Model)]
        if len(networks) != 1:
            return None
        network = networks[0]
        if len(network.non_trainable_variables) < len(self.frozen.arrays):
            return None
        arrays = [variable.numpy() for variable in self._variables(network)]
        if [array.shape for array in arrays] != [entry.shape for entry in self.layout.entries]:
            return None
        constants = zip(self._constants(network), self.frozen.arrays, strict=True)
        if not all(np.array_equal(own.numpy(), ours.numpy()) for own, ours in constants):
            return None
        return self.layout.flatten(arrays)

    def _variables(self, network: keras.Model) -> list[keras.Variable]:
        """Return the variables of `network` that are weights, in the order of `stateless_call`."""
        return [*network.trainable_variables, *self.frozen.without(network.non_trainable_variables)]

    def _constants(self, network: keras.Model) -> list[keras.Variable]:
        """Return the variables of `network` that belong to frozen layers."""
        others = network.non_trainable_variables
        return [others[place] for place in self.frozen.places if place < len(others)]


def build_classifier(
    name: str,
    native: Shape,
    classes: int,
    image_size: int = 32,
    momentum: float = 0.9,
    scaling: Scaling = "backbone",
    weights: str = "random",
    weights_file: Path | None = None,
    seed: int = 0,
    defence: Callable[[Any], Any] | None = None,
    layers: str = "all",
    normalization: Normalization = "batch",
    head: str = "keep",
    multilabel: bool = False,
) -> Classifier:
    """Build a classifier for native images of one shape.

    Args:
        name: a registered architecture (`fedrobust list models`), a dotted path or a Keras file.
        native: (height, width, channels) of the stored images.
        classes: number of classes or findings, at least 2.
        image_size: side in pixels that images are resized to inside the model; 0: no resizing.
        momentum: of every BatchNorm layer. With 0.99 or 0.999, as in Keras' applications, moving statistics hardly
            leave their initial values in the few steps of a federated round, and the model predicts a single class.
        scaling: "backbone" scales images as the network's pretrained weights expect; "unit" leaves them in [0, 1]; or
            an input format such as "0..255".
        weights: "random", "imagenet", "file" for those of the network's own file, or the path of `weights_file` as the
            user wrote it.
        weights_file: Keras 3 weights of the backbone without its top.
        seed: of the random weights.
        defence: prediction-time defence of native images.
        layers: the trained layers: "all", "head", "last-N" or "blocks:K"; the others keep their initial weights.
        normalization: "batch", "group" to replace every BatchNorm by GroupNorm, or "frozen" for BatchNorm that
            normalises by its moving statistics in training, too, and leaves them as they are.
        head: with the weights of the network's own file: "keep" its last layer, or "new" for a random one.
        multilabel: whether its logits are findings rather than classes.

    Raises:
        ModelError: the size, the number of classes, or the weights do not fit the architecture.
        UnknownNameError: there is no such architecture.

    Example:
        >>> student = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
        >>> student.layout.parameters
        93154
    """
    # Starts Keras.
    from fedrobust.models.network import build_network

    prepared = prepared_shape(name, native, image_size)
    network = build_network(name, prepared, classes, seed, momentum, scaling, normalization)
    if weights == "file":
        load_file_weights(network, name, classes, head, multilabel)
    elif weights != "random":
        load_backbone_weights(network, name, weights, weights_file)
    trainable = list(network.trainable_variables)
    frozen = Frozen.of(network, freeze(network, Layers.parse(layers)), trainable)
    measured = frozen.without(network.non_trainable_variables)
    entries = tuple(
        Entry(variable.path, tuple(variable.shape), "trainable" if variable.trainable else "statistic")
        for variable in (*network.trainable_variables, *measured)
    )
    layout = Layout(entries, frozen.digest, pinned_parts(name)[1])
    origin = origin_of(
        name,
        native,
        prepared,
        classes,
        momentum,
        scaling,
        defence,
        layers,
        frozen.digest,
        normalization,
        multilabel,
    )
    return Classifier(
        name, Preparation(native, prepared), network, layout, defence, frozen, origin, multilabel
    )


def prepared_shape(name: str, native: Shape, image_size: int) -> Shape:
    """Return (height, width, channels) of the prepared images of the architecture `name`.

    Args:
        name: a registered architecture, or a dotted path.
        native: (height, width, channels) of the stored images.
        image_size: side in pixels that images are resized to; 0: no resizing.

    Raises:
        ModelError: the images are in colour, and the network takes grey ones.
    """
    channels = architecture_named(name).channels
    if channels == 1 and native[2] != 1:
        raise ModelError(
            f"{name}: it takes grey images, the data's have {native[2]} channels; give a network for as many"
        )
    height, width = (image_size, image_size) if image_size else native[:2]
    return height, width, native[2] if channels == "native" else channels


def origin_of(
    name: str,
    native: Shape,
    prepared: Shape,
    classes: int,
    momentum: float,
    scaling: str,
    defence: Callable[[Any], Any] | None,
    layers: str,
    frozen: str = "",
    normalization: Normalization = "batch",
    multilabel: bool = False,
) -> Origin | None:
    """Return the key of everything that a classifier's functions depend on.

    It is None for a user's own network or defence, and for a file whose digest is not known.

    Arguments are those of `build_classifier`, `prepared` (see `prepared_shape`), and `frozen`, the digest of frozen
    arrays.
    """
    if is_network_file(name) and not pinned_parts(name)[1]:
        return None
    is_dotted = ":" in name and not is_keras_application(name)
    if is_dotted or not architecture_named(name).features.__module__.startswith("fedrobust."):
        return None
    return Origin.of(
        model=name,
        native=native,
        prepared=prepared,
        classes=classes,
        momentum=momentum,
        scaling=scaling,
        defence=defence,
        layers=layers,
        frozen=frozen,
        normalization=normalization,
        **({"multilabel": True} if multilabel else {}),
    )
