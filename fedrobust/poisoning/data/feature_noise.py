"""Train on noisy images."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Positive, PositiveShare
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING

FAINTEST = 0.125
"""Grey levels; a change is kept from half a level on, which is four of these."""


@POISONING.register("feature-noise")
@dataclass(frozen=True, kw_only=True)
class FeatureNoise:
    """Add Gaussian noise to training images, as a broken scanner would: this project's.

    Attributes:
        deviation: standard deviation of the noise, in units of [0, 1].
        share: of the images that become noisy.
    """

    deviation: Positive = 0.5
    share: PositiveShare = 1.0

    def __post_init__(self) -> None:
        if 255 * self.deviation < FAINTEST:
            raise ValueError(
                f"deviation = {self.deviation}: in images of 8 bits nothing is left of noise under {FAINTEST} grey "
                f"levels ({FAINTEST / 255:.1e})"
            )

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the noisy images with their labels."""
        noisy = images.astype(np.float32) + 255 * self.deviation * context.fixed.standard_normal(
            images.shape, dtype=np.float32
        )
        chosen = (context.fixed.random(len(images)) < self.share)[:, None, None, None]
        return np.where(chosen, np.clip(np.rint(noisy), 0, 255), images).astype(np.uint8), labels
