"""Affine augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedrobust.bounds import Decay, Share
from fedrobust.lazy import tf
from fedrobust.training.augmentations.contract import AUGMENTATIONS, uniform

Angle = Annotated[float, Field(ge=0, le=180, description="degrees, 0 to 180")]
Shear = Annotated[float, Field(ge=0, le=60, description="degrees, 0 to 60")]


@AUGMENTATIONS.register("affine")
@dataclass(frozen=True, kw_only=True)
class Affine:
    """Rotate, shift, zoom and shear each image by random amounts around its centre (Simard et al., 2003, ICDAR).

    Pixels are interpolated bilinearly; outside of the image its edge is repeated.

    Attributes:
        rotation: largest angle in degrees, each way.
        shift: largest shift, as a share of the image's side.
        zoom: largest zoom, in and out, as a share of the side.
        shear: largest shear in degrees, each way.
        quarter_turns: also rotate by a random multiple of 90 degrees, for images without a fixed orientation.

    Example:
        >>> images = tf.reshape(tf.range(16.0), (1, 4, 4, 1)) / 16
        >>> same, _ = Affine(rotation=0, shift=0, zoom=0, shear=0)(images, tf.constant([0]), tf.constant([1, 2]))
        >>> bool(tf.reduce_all(same == images))
        True
    """

    rotation: Angle = 15.0
    shift: Share = 0.1
    zoom: Decay = 0.1
    shear: Shear = 0.0
    quarter_turns: bool = False

    def __call__(self, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the transformed images and their targets."""
        n = tf.shape(images)[0]
        turn, shear, zoom, right, down = (uniform(seed, draw, [n], -1.0, 1.0) for draw in range(5))
        turn *= math.radians(self.rotation)
        if self.quarter_turns:
            turn += math.pi / 2 * tf.floor(uniform(seed, 5, [n], 0.0, 4.0))
        shear = tf.tan(shear * math.radians(self.shear))
        zoom = 1.0 + self.zoom * zoom
        cosine, sine = tf.cos(turn), tf.sin(turn)
        # Where the pixel (x, y) of the result comes from: rotation, shear and zoom as one matrix.
        matrix = (zoom * cosine, zoom * (cosine * shear - sine), zoom * sine, zoom * (sine * shear + cosine))
        height, width = images.shape[1], images.shape[2]
        x, y = (width - 1) / 2, (height - 1) / 2
        offset_x = x - matrix[0] * x - matrix[1] * y + right * (self.shift * width)
        offset_y = y - matrix[2] * x - matrix[3] * y + down * (self.shift * height)
        zeros = tf.zeros([n])
        rows = tf.stack(
            [matrix[0], matrix[1], offset_x, matrix[2], matrix[3], offset_y, zeros, zeros], axis=1
        )
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=rows,
            output_shape=tf.constant([height, width]),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        return tf.ensure_shape(moved, images.shape), targets
