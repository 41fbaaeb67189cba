"""Randomised smoothing: predictions of a classifier under Gaussian noise, and certified radii."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta

from fedrobust.errors import ConfigError

MOST_SAMPLES = 1_000_000

ABSTAINS = -1
"""The class of an image on which the smoothed classifier abstains."""

Answer = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""Images (n, height, width, channels) to scores (n, classes)."""


@dataclass(frozen=True)
class Certificate:
    """The smoothed classifier's answer to one image.

    Attributes:
        label: its class, `ABSTAINS` if none is certain.
        radius: l2 radius in units of [0, 1] in which it does not change, with probability 1 - alpha; 0: none.
        share: share of the noisy images that are given the class that is most frequent in the selection.
        shares: share of the noisy images that are given each class.
    """

    label: int
    radius: float
    share: float
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class Smoothing:
    """A classifier smoothed by Gaussian noise: the class that is most probable under the noise.

    Attributes:
        sigma: standard deviation of the noise, pixels in [0, 1].
        selection: noisy images that select the class.
        samples: noisy images that estimate its probability.
        alpha: probability that a certificate is wrong.
        batch: noisy images in one call of the classifier.

    Raises:
        ConfigError: a number is outside of its range.
    """

    sigma: float
    selection: int = 100
    samples: int = 1000
    alpha: float = 0.001
    batch: int = 500

    def __post_init__(self) -> None:
        if not 0 < self.sigma <= 10:
            raise ConfigError(
                f"sigma = {self.sigma}: choose a number above 0, up to 10 (pixels are in [0, 1])"
            )
        for key, count in (("samples", self.samples), ("selection", self.selection)):
            if not 1 <= count <= MOST_SAMPLES:
                raise ConfigError(f"{key} = {count}: choose a whole number from 1 to {MOST_SAMPLES}")
        if not 0 < self.alpha < 0.5:
            raise ConfigError(f"alpha = {self.alpha}: choose a number above 0, below 0.5")

    @property
    def largest_radius(self) -> float:
        """The radius of an image all of whose noisy copies are given one class: no larger one can be certified."""
        return self.radius(self.samples)

    def certify(
        self, answer: Answer, image: NDArray[np.float32], classes: int, generator: np.random.Generator
    ) -> Certificate:
        """Return the certificate of one image (Cohen et al., 2019, arXiv:1902.02918, CERTIFY).

        Args:
            answer: the classifier without noise.
            image: (height, width, channels) in [0, 1].
            classes: number of classes.
            generator: draws the noise.
        """
        top = int(self.counts(answer, image, self.selection, classes, generator).argmax())
        counts = self.counts(answer, image, self.samples, classes, generator)
        hits = int(counts[top])
        radius, shares = self.radius(hits), tuple((counts / self.samples).tolist())
        return Certificate(top if radius else ABSTAINS, radius, hits / self.samples, shares)

    def radius(self, hits: int) -> float:
        """Return the certified radius of a class that `hits` of the noisy images are given; 0: none.

        sigma times the normal quantile of the lower Clopper-Pearson limit of its probability, if that is above one
        half.

        Example:
            >>> smoothing = Smoothing(sigma=0.5, samples=100)
            >>> round(smoothing.radius(100), 3), smoothing.radius(60)
            (0.75, 0.0)
        """
        least = lower_limit(hits, self.samples, self.alpha)
        return self.sigma * float(ndtri(least)) if least > 0.5 else 0.0

    def counts(
        self,
        answer: Answer,
        image: NDArray[np.float32],
        samples: int,
        classes: int,
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Return how many noisy copies of `image` are given each class, (classes,); none for scores that are NaN."""
        found = np.zeros(classes, np.int64)
        for start in range(0, samples, self.batch):
            size = (min(self.batch, samples - start), *image.shape)
            noisy = image + np.float32(self.sigma) * generator.standard_normal(size, np.float32)
            scores = answer(noisy)
            sound = np.isfinite(scores).all(axis=1)
            found += np.bincount(scores[sound].argmax(axis=1), minlength=classes)
        return found


def lower_limit(successes: int, n: int, alpha: float) -> float:
    """Return the one-sided lower limit of a proportion with confidence 1 - alpha (Clopper and Pearson, 1934).

    Example:
        >>> round(lower_limit(10, 10, 0.05), 4), lower_limit(0, 10, 0.05)
        (0.7411, 0.0)
    """
    return 0.0 if successes == 0 else float(beta.ppf(alpha, successes, n - successes + 1))
