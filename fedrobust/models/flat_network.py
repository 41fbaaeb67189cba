"""A copy of a Keras model as the graph of its layers, in a form that clients can train.

Models within it are replaced by their layers; Dropout has no random state; adapted normalisation has constants; every
layer is trainable, at every call: which layers are trained is a setting of the study.
"""

from typing import Any

import keras
import numpy as np

from fedrobust.errors import first_line
from fedrobust.models.architecture import ModelError
from fedrobust.models.dropout import without_state
from fedrobust.models.preparation import Shape

IN_TRAINING_ONLY = (
    *("RandomBrightness", "RandomColorJitter", "RandomContrast", "RandomErasing", "RandomFlip", "RandomHue"),
    *("RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation"),
    *("RandomZoom", "GaussianNoise", "GaussianDropout", "AlphaDropout"),
)
"""Keras' random layers that change nothing in inference; a copy has identities in their place."""


def flat_network(model: keras.Model, shape: Shape, name: str) -> tuple[keras.Model, tuple[str, ...]]:
    """Return a copy of `model` for any number of float32 images of `shape` (height, width, channels).

    Args:
        model: functional or sequential, with one input.
        shape: of its images.
        name: of the file, for messages.

    Returns:
        The copy, and the names of the random layers that it is without (`IN_TRAINING_ONLY`).

    Raises:
        ModelError: a layer cannot be copied, or does not take such images.
    """
    copy = _Copy()
    inputs = keras.Input(shape, name="images")
    try:
        outputs = copy.run(model, inputs)
        made = keras.Model(inputs, outputs)
        copy.set_weights()
    except Exception as error:  # raised by its layers
        raise ModelError(
            f"{name}: its layers cannot be built anew for images of {shape}: {first_line(error)}"
        ) from error
    return made, tuple(copy.left_out)


class _Copy:
    """Copies of layers, one for each."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._originals: list[Any] = []
        self._names: set[str] = set()
        self.left_out: list[str] = []

    def run(self, model: keras.Model, inputs: Any) -> Any:
        """Return the outputs of copies of the model's layers, called as the layers are."""
        graph = getattr(model, "_functional", None) or model
        return graph._run_through_graph(inputs, operation_fn=self._copied, call_fn=self._called)

    def set_weights(self) -> None:
        """Give each copy its layer's weights."""
        for layer in self._originals:
            copy = self._made[id(layer)]
            # Constants in place of adapted weights leave none to set.
            copy.set_weights(layer.get_weights()[: len(copy.weights)])

    def _copied(self, layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return layer
        if id(layer) not in self._made:
            self._made[id(layer)] = self._new(layer)
            if isinstance(layer, keras.layers.Layer):
                self._originals.append(layer)
        return self._made[id(layer)]

    def _called(self, layer: Any, *inputs: Any, **given: Any) -> Any:
        # Whether a call trains is for the caller to say, not for the file.
        given.pop("training", None)
        if isinstance(layer, keras.Model):
            return self.run(layer, inputs[0])
        return layer(*inputs, **given)

    def _new(self, layer: Any) -> Any:
        config = {**layer.get_config(), "name": self._free(layer.name)}
        if type(layer).__name__ in IN_TRAINING_ONLY and _is_keras(layer):
            self.left_out.append(layer.name)
            return keras.layers.Identity(name=config["name"])
        if isinstance(layer, keras.layers.Layer):
            config["trainable"] = True
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            config |= {"mean": _constant(layer.adapt_mean), "variance": _constant(layer.adapt_variance)}
        return without_state(layer, config["name"]) or layer.__class__.from_config(config)

    def _free(self, name: str) -> str:
        """Return a name that no other layer has."""
        number, free = 1, name
        while free in self._names:
            number += 1
            free = f"{name}_{number}"
        self._names.add(free)
        return free


def _is_keras(layer: Any) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"


def _constant(weights: Any) -> list[float]:
    numbers: list[float] = np.asarray(weights).tolist()
    return numbers
