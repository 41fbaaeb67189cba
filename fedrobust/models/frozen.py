"""The arrays of a network's frozen layers: constants of a study, which are not exchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.lazy import keras


@dataclass(frozen=True, eq=False)
class Frozen:
    """The arrays of frozen layers, and their positions among the network's variables.

    Graphs capture them as tensors, not as constants, which TensorFlow would fold and copy.

    Attributes:
        places: positions of the frozen variables among ``non_trainable_variables``, ascending.
        arrays: their values, in that order.
        parameters: how many of their values are trainable if no layer is frozen.
    """

    places: tuple[int, ...] = ()
    arrays: tuple[tf.Tensor, ...] = ()
    parameters: int = 0

    @classmethod
    def of(
        cls,
        network: keras.Model,
        layers: Sequence[keras.layers.Layer],
        trainable: Sequence[keras.Variable] = (),
    ) -> Frozen:
        """Return the present values of the frozen `layers` of `network`.

        Args:
            network: the network.
            layers: its frozen layers.
            trainable: the variables that were trainable before the layers were frozen.
        """
        frozen = {id(variable) for layer in layers for variable in layer.variables}
        found = [
            (place, tf.constant(variable.numpy()))
            for place, variable in enumerate(network.non_trainable_variables)
            if id(variable) in frozen
        ]
        return cls(
            tuple(place for place, _ in found),
            tuple(array for _, array in found),
            sum(int(np.prod(variable.shape)) for variable in trainable if id(variable) in frozen),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of shapes and bits as hex; "" if nothing is frozen."""
        if not self.arrays:
            return ""
        sha = hashlib.sha256()
        for array in self.arrays:
            sha.update(f"{tuple(array.shape)}".encode())
            sha.update(np.ascontiguousarray(array.numpy(), dtype="<f4").tobytes())
        return sha.hexdigest()

    def among(self, others: Sequence[Any]) -> list[Any]:
        """Return `others`, the values that are not frozen, with the frozen ones inserted at their positions."""
        rest, held = iter(others), dict(zip(self.places, self.arrays, strict=True))
        return [
            held[place] if place in held else next(rest) for place in range(len(others) + len(self.arrays))
        ]

    def without(self, values: Sequence[Any]) -> list[Any]:
        """Return `values`, one for each non-trainable variable, without those of frozen variables.

        Example:
            >>> frozen = Frozen((1,), (tf.constant([7.0]),))
            >>> frozen.without(["mean", "kernel", "variance"])
            ['mean', 'variance']
        """
        frozen = set(self.places)
        return [value for place, value in enumerate(values) if place not in frozen]
