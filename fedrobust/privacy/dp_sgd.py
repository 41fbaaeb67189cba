"""DP-SGD at a client: its sampling rate, its steps, its noise, and what it promises to each image."""

from dataclasses import dataclass, replace

from fedrobust.privacy.accounting import Releases, noise_for
from fedrobust.privacy.promise import Promise


@dataclass(frozen=True)
class DPSGD:
    """The settings of example-level DP-SGD, equal at all clients (Abadi et al., 2016, arXiv:1607.00133, Algorithm 1).

    Every image is in a batch with probability q = B / n, independently; the gradient of each is clipped to the norm C;
    their sum gets noise of standard deviation z C in each coordinate, and is divided by B. The number of images n of a
    client is taken as known.

    Attributes:
        clip: C.
        noise_multiplier: z; 0: that which ends at `epsilon`.
        epsilon: of the whole study, at `delta`; 0: not given.
        delta: of the promise.
        batch_size: B.
        epochs: of a round.
        rounds: in which a client takes part, at most.

    Example:
        >>> training = DPSGD(noise_multiplier=1.0, batch_size=16, epochs=2, rounds=5)
        >>> training.releases(50).count, round(training.rate(50), 2), training.rate(10)
        (40, 0.32, 1.0)
    """

    clip: float = 1.0
    noise_multiplier: float = 0.0
    epsilon: float = 0.0
    delta: float = 1e-3
    batch_size: int = 32
    epochs: int = 1
    rounds: int = 1

    def rate(self, images: int) -> float:
        """Return the probability that an image of a client with so many is in a batch."""
        return min(1.0, self.batch_size / images)

    def expected(self, images: int) -> float:
        """Return the expected size of a batch of a client with so many images."""
        return self.rate(images) * images

    def steps(self, images: int) -> int:
        """Return the number of steps of a round of a client with so many images."""
        return self.epochs * -(-images // self.batch_size)

    def releases(self, images: int, noise: float = 0.0) -> Releases:
        """Return the releases of a client with so many images over all rounds, with noise multiplier `noise`."""
        count, rate = self.steps(images) * self.rounds, self.rate(images)
        return Releases(noise, count, "poisson" if rate < 1 else "all", rate)

    def noise(self, images: int) -> float:
        """Return the noise multiplier of a client with so many images.

        Raises:
            ConfigError: dp-accounting is not installed.
        """
        if not self.epsilon:
            return self.noise_multiplier
        return noise_for(self.epsilon, self.delta, replace(self.releases(images), noise_multiplier=1.0))

    def promise(self, images: int) -> Promise:
        """Return what a client with so many images promises to each of them."""
        noise = self.noise(images)
        name = f"dp-sgd(clip={self.clip:g}, noise_multiplier={noise:.4g}, batch={self.batch_size})"
        releases = self.releases(images, noise)
        return Promise("image", name, "step", self.clip, releases, self.expected(images))
