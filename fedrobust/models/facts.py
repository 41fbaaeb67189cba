"""Facts of a network, stored so that they are known without building it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrobust.lazy import keras


@dataclass(frozen=True)
class NetworkFacts:
    """Facts of a network.

    Attributes:
        classes: number of classes.
        momenta: distinct momenta of its BatchNorm layers, ascending.
        largest: input plus output values of its largest layer, for one image.
    """

    classes: int
    momenta: tuple[float, ...]
    largest: int

    @classmethod
    def of(cls, network: keras.Model) -> NetworkFacts:
        """Return the facts of `network`."""
        layers = list(network._flatten_layers())
        batchnorm = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
        largest = [
            sum(int(np.prod(each.shape[1:])) for each in (*_tensors(layer.input), *_tensors(layer.output)))
            for layer in layers
            if layer is not network and layer._inbound_nodes
        ]
        return cls(
            int(network.output_shape[-1]),
            tuple(sorted({float(layer.momentum) for layer in batchnorm})),
            max(largest),
        )


def _tensors(given: object) -> list[keras.KerasTensor]:
    return list(given) if isinstance(given, list | tuple) else [given]
