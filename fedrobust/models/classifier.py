"""A classifier: the network, the way into it, and the layout of its weights, without the weights themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fedrobust.graphs.origin import Origin
from fedrobust.models.architectures import architecture_named
from fedrobust.models.batchnorm import FusedBatchNormalization
from fedrobust.models.convolution import DirectConv2D, DirectDepthwiseConv2D
from fedrobust.models.frozen import Frozen
from fedrobust.models.layers import Layers, freeze
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.models.network import Scaling, build_network, keras_name
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

    @property
    def classes(self) -> int:
        """How many logits an image gets."""
        return int(self.network.output_shape[-1])

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
        arrays = self.layout.unflatten(weights)
        network = keras.models.clone_model(self.network, clone_function=_stock, recursive=True)
        for variable, array in zip(self._variables(network), arrays, strict=True):
            variable.assign(array)
        for variable, array in zip(self._constants(network), self.frozen.arrays, strict=True):
            variable.assign(array)
        inputs = keras.Input(self.preparation.native, name="images")
        x = inputs if self.defence is None else self.defence(inputs)
        if self.preparation.replicates:
            x = keras.layers.Concatenate(name="grey_to_colour")([x, x, x])
        if self.preparation.shrinks:
            x = _shrunk(x, self.preparation)
        elif self.preparation.resizes:
            # Not keras.layers.Resizing: its call defaults to training=True, which puts the whole model into
            # training mode wherever the caller does not say (Keras 3.15).
            x = keras.ops.image.resize(x, self.preparation.prepared[:2])
        return keras.Model(inputs, network(x), name=f"{keras_name(self.name)}_classifier")

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

    Raises:
        ModelError: the size, the number of classes, or the weights do not fit the architecture.
        UnknownNameError: there is no such architecture.

    Example:
        >>> student = build_classifier("edge-cnn", native=(28, 28, 1), classes=2, image_size=0)
        >>> student.layout.parameters
        93154
    """
    architecture = architecture_named(name)
    channels = native[2] if architecture.channels == "native" else architecture.channels
    height, width = (image_size, image_size) if image_size else native[:2]
    prepared = (height, width, channels)
    network = build_network(name, prepared, classes, seed, momentum, scaling)
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
    ours = ":" not in name and architecture.features.__module__.startswith("fedrobust.")
    origin = (
        Origin.of(
            model=name,
            native=native,
            prepared=prepared,
            classes=classes,
            momentum=momentum,
            scaling=scaling,
            defence=defence,
            layers=layers,
            frozen=frozen.digest,
        )
        if ours
        else None
    )
    return Classifier(name, Preparation(native, prepared), network, layout, defence, frozen, origin)


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


STOCK = (
    (keras.layers.BatchNormalization, FusedBatchNormalization),
    (keras.layers.Conv2D, DirectConv2D),
    (keras.layers.DepthwiseConv2D, DirectDepthwiseConv2D),
)
"""Keras' layers, and what stands in for them here."""


def _stock(layer: keras.layers.Layer) -> keras.layers.Layer:
    for stock, ours in STOCK:
        if isinstance(layer, ours):
            return stock.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())


def _shrunk(x: keras.KerasTensor, preparation: Preparation) -> keras.KerasTensor:
    """Return `x` made smaller with smoothing, by one fixed matrix over rows and one over columns.

    The same numbers as TensorFlow's antialiased resize, which LiteRT does not have.
    """
    for axis, name in ((1, "rows"), (2, "columns")):
        before, after = preparation.native[axis - 1], preparation.prepared[axis - 1]
        each_alone = tf.reshape(tf.eye(before), (before, before, 1, 1))
        matrix = tf.image.resize(each_alone, (after, 1), antialias=True)[:, :, 0, 0]
        resize = keras.layers.Dense(after, use_bias=False, trainable=False, name=f"resize_{name}")
        order = (3, 2, 1) if axis == 1 else (1, 3, 2)
        x = resize(keras.layers.Permute(order)(x))
        resize.kernel.assign(matrix)
        x = keras.layers.Permute(order)(x)
    return x
