"""GroupNorm in the place of BatchNorm: what a client sees of an image does not depend on the others of its batch."""

from __future__ import annotations

from math import gcd

from fedrobust.lazy import keras

CHANNELS = 16
"""Channels of a group, as far as they go into the layer's (Wu and He, 2018, arXiv:1803.08494, table 3)."""

FEWEST = 4
"""Channels of the smallest group: of deep layers, with one value a channel, a group of one would be 0 for any image."""


def groups_of(channels: int) -> int:
    """Return into how many groups a layer's channels are divided: of 16 channels, or their largest common divisor.

    Example:
        >>> [groups_of(channels) for channels in (32, 24, 144, 8, 3)]
        [2, 3, 9, 1, 1]
    """
    size = gcd(channels, CHANNELS)
    return channels // size if size >= FEWEST else 1


def group_normalization(layer: keras.layers.BatchNormalization, name: str) -> keras.layers.Layer:
    """Return the GroupNorm that stands for a BatchNorm `layer`, with scales and shifts alike and no statistics."""
    return keras.layers.GroupNormalization(
        groups=groups_of(int(layer.moving_mean.shape[-1])),
        axis=layer.axis,
        epsilon=layer.epsilon,
        center=layer.center,
        scale=layer.scale,
        name=name,
    )
