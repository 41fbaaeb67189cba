"""The arrays of a network that are not trained: constants of a study, beside the weights that travel."""

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
    """Arrays that a classifier holds itself, and where they stand among the network's variables.

    They go into graphs as captured tensors, never as constants that TensorFlow would fold and copy.

    Attributes:
        places: of the frozen variables among ``non_trainable_variables``, ascending.
        arrays: their values, in that order.
        parameters: how many of their numbers gradients change where nothing is frozen.
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
        """Return the variables of the frozen `layers` of `network` as they are now.

        Args:
            network: in which they are frozen.
            layers: the frozen ones.
            trainable: the variables that were trainable before.
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
        """SHA-256 of shapes and bits as hex, "" where nothing is frozen."""
        if not self.arrays:
            return ""
        sha = hashlib.sha256()
        for array in self.arrays:
            sha.update(f"{tuple(array.shape)}".encode())
            sha.update(np.ascontiguousarray(array.numpy(), dtype="<f4").tobytes())
        return sha.hexdigest()

    def among(self, others: Sequence[Any]) -> list[Any]:
        """Return `others`, the values that are not frozen, with the frozen ones in their places between them."""
        rest, held = iter(others), dict(zip(self.places, self.arrays, strict=True))
        return [
            held[place] if place in held else next(rest) for place in range(len(others) + len(self.arrays))
        ]

    def without(self, values: Sequence[Any]) -> list[Any]:
        """Return what is left of `values`, one for each variable that is not trainable, without the frozen ones.

        Example:
            >>> frozen = Frozen((1,), (tf.constant([7.0]),))
            >>> frozen.without(["mean", "kernel", "variance"])
            ['mean', 'variance']
        """
        frozen = set(self.places)
        return [value for place, value in enumerate(values) if place not in frozen]
