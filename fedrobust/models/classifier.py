"""A classifier: the network, the way into it, and the layout of its weights, without the weights themselves.

What builds a network or writes it is imported inside of functions: Keras takes time to start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.graphs.origin import Origin
from fedrobust.lazy import keras
from fedrobust.memoize import part
from fedrobust.models.architectures import architecture_named
from fedrobust.models.facts import NetworkFacts
from fedrobust.models.frozen import Frozen
from fedrobust.models.layers import Layers, freeze
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.models.naming import Normalization, Scaling, keras_name
from fedrobust.models.preparation import Preparation, Shape
from fedrobust.models.pretrained import load_backbone_weights


@dataclass(frozen=True, eq=False)
class Classifier:
    """A model as a function of its weights.

    Layers that are not trained are no part of its weights: their arrays are constants that the classifier holds.

    Attributes:
        name: the architecture's registered name.
        preparation: from native images to prepared ones.
        network: Keras model from prepared images in [0, 1] to logits; its own variables are never read in training.
        layout: the order of its arrays in the two vectors of `Weights`.
        defence: what is done to native images at prediction time, see `fedrobust.defences`; nothing if None.
        frozen: the arrays that are not trained.
        origin: what its functions depend on, by which their graphs are kept; None where that is not known.
    """

    name: str
    preparation: Preparation
    network: keras.Model
    layout: Layout
    defence: Callable[[Any], Any] | None = None
    frozen: Frozen = field(default_factory=Frozen)
    origin: Origin | None = None

    @part
    def facts(self) -> NetworkFacts:
        """What others ask of the network."""
        return NetworkFacts.of(self.network)

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return self.facts.classes

    @property
    def parameters(self) -> int:
        """How many numbers gradients could change were nothing frozen: the size of the model in publications."""
        return self.layout.parameters + self.frozen.parameters

    def arrays(self, weights: Weights) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return `weights` as (trainable, statistics) tensors in Keras' order."""
        trainable: list[tf.Tensor] = []
        statistics: list[tf.Tensor] = []
        for entry, array in zip(self.layout.entries, self.layout.unflatten(weights), strict=True):
            (trainable if entry.kind == "trainable" else statistics).append(tf.constant(array, tf.float32))
        return trainable, statistics

    def predicted(self, images: tf.Tensor) -> tf.Tensor:
        """Return native `images` in [0, 1] as the network takes them at prediction time: defended, then prepared."""
        return self.preparation(images if self.defence is None else defended(self.defence, images))

    def logits(
        self,
        trainable: Sequence[tf.Tensor],
        statistics: Sequence[tf.Tensor],
        prepared: tf.Tensor,
        training: bool = False,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return logits (n, classes) of `prepared` images, and the statistics after the pass."""
        logits, after = self.network.stateless_call(
            list(trainable), self.frozen.among(list(statistics)), prepared, training=training
        )
        return logits, self.frozen.without(list(after))

    def initial_weights(self) -> Weights:
        """Return the weights that the network was built with."""
        return self.layout.flatten([variable.numpy() for variable in self._variables(self.network)])

    def deployable(self, weights: Weights) -> keras.Model:
        """Return a Keras model from native images in [0, 1] to logits that holds `weights`.

        It is made of Keras' own layers only, so that its file opens without this project.
        """
        # Keras.
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
        self.deployable(weights).save(path)

    def weights_of(self, model: keras.Model) -> Weights | None:
        """Return the weights that a `deployable` model of this classifier holds; None where it is not one."""
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
        """Return the variables of `network` that are weights, in the order in which `stateless_call` takes them."""
        return [*network.trainable_variables, *self.frozen.without(network.non_trainable_variables)]

    def _constants(self, network: keras.Model) -> list[keras.Variable]:
        """Return the variables of `network` that are not trained."""
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
) -> Classifier:
    """Build a classifier for native images of one shape.

    Args:
        name: a registered architecture (`fedrobust list models`).
        native: (height, width, channels) of the stored images.
        classes: at least 2.
        image_size: side in pixels that images are resized to inside the model; 0 keeps the native size.
        momentum: of every BatchNorm layer. Keras' applications use 0.99 and 0.999, which leaves moving statistics
            near their start for the few steps of a federated round, and the model then predicts one class.
        scaling: "backbone" scales images as the network's pretrained weights expect; "unit" leaves them in [0, 1].
        weights: "random", "imagenet", or the path behind `weights_file` as the user wrote it.
        weights_file: Keras 3 weights of the backbone without its top.
        seed: of the random weights.
        defence: what is done to native images at prediction time.
        layers: what is trained: "all", "head", "last-N" or "blocks:K"; the rest stays as `weights` and `seed` have it.
        normalization: "batch", or "group" for GroupNorm in the place of every BatchNorm.

    Raises:
        ModelError: the size, the number of classes, or the weights do not fit the architecture.
        UnknownNameError: there is no such architecture.

    Example:
        >>> student = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
        >>> student.layout.parameters
        93154
    """
    # Keras.
    from fedrobust.models.network import build_network

    prepared = prepared_shape(name, native, image_size)
    network = build_network(name, prepared, classes, seed, momentum, scaling, normalization)
    if weights != "random":
        load_backbone_weights(network, name, weights, weights_file)
    trainable = list(network.trainable_variables)
    frozen = Frozen.of(network, freeze(network, Layers.parse(layers)), trainable)
    measured = frozen.without(network.non_trainable_variables)
    entries = tuple(
        Entry(variable.path, tuple(variable.shape), "trainable" if variable.trainable else "statistic")
        for variable in (*network.trainable_variables, *measured)
    )
    layout = Layout(entries, frozen.digest)
    origin = origin_of(
        name, native, prepared, classes, momentum, scaling, defence, layers, frozen.digest, normalization
    )
    return Classifier(name, Preparation(native, prepared), network, layout, defence, frozen, origin)


def prepared_shape(name: str, native: Shape, image_size: int) -> Shape:
    """Return (height, width, channels) that the architecture `name` takes of native images.

    Args:
        name: a registered architecture, or a dotted path.
        native: (height, width, channels) of the stored images.
        image_size: side in pixels that images are resized to; 0 keeps the native size.
    """
    channels = architecture_named(name).channels
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
) -> Origin | None:
    """Return what a classifier's functions depend on; None where a network or a defence is a user's own.

    Beside the arguments of `build_classifier`: `prepared` is `prepared_shape`, `frozen` the digest of frozen arrays.
    """
    if ":" in name or not architecture_named(name).features.__module__.startswith("fedrobust."):
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
    )


def defended(defence: Callable[[Any], Any], images: tf.Tensor) -> tf.Tensor:
    """Return what `defence` makes of `images`; where it has a ``stand_in``, its gradient is that one's."""
    stand_in = getattr(defence, "stand_in", None)
    if stand_in is None:
        return defence(images)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def straight_through(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(x)
                shown = stand_in(x)
            return tape.gradient(
                shown, x, output_gradients=upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        return defence(x), gradient

    return straight_through(images)
