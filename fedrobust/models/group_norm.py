"""GroupNorm in place of BatchNorm: the normalisation of an image does not depend on the other images of its batch."""

from __future__ import annotations

from math import gcd

from fedrobust.lazy import keras

CHANNELS = 16
"""Channels of a group, if they divide the layer's (Wu and He, 2018, arXiv:1803.08494, table 3)."""

FEWEST = 4
"""Channels of the smallest group: with 1 x 1 maps a group of one channel would always be normalised to 0."""


def groups_of(channels: int) -> int:
    """Return the number of groups of a layer: groups have 16 channels, or the greatest common divisor with 16.

    Example:
        >>> [groups_of(channels) for channels in (32, 24, 144, 8, 3)]
        [2, 3, 9, 1, 1]
    """
    size = gcd(channels, CHANNELS)
    return channels // size if size >= FEWEST else 1


def group_normalization(layer: keras.layers.BatchNormalization, name: str) -> keras.layers.Layer:
    """Return the GroupNorm that replaces a BatchNorm `layer`: the same scales and shifts, no moving statistics."""
    # Starts Keras.
    from fedrobust.models.twice_differentiable import ExactGroupNormalization

    return ExactGroupNormalization(
        groups=groups_of(int(layer.moving_mean.shape[-1])),
        axis=layer.axis,
        epsilon=layer.epsilon,
        center=layer.center,
        scale=layer.scale,
        name=name,
    )
