"""What each client promises to its images, by its number of images."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedrobust.memoize import part
from fedrobust.privacy import DPSGD, Promise, epsilon_by_rdp

MOST_TIGHT = 20
"""Most different numbers of images for which the tight bound is computed at every client."""


@dataclass(frozen=True, eq=False)
class ImagePromises:
    """The promises of the clients of a study by DP-SGD.

    Attributes:
        training: settings of DP-SGD.
        images: number of images of each client.
        repeated: rounds that may have been released twice.
    """

    training: DPSGD
    images: Mapping[int, int]
    repeated: int = 0

    @part
    def by_size(self) -> Mapping[int, Promise]:
        """The promise of a client by its number of images."""
        times, rounds = self.repeated, self.training.rounds
        sizes = sorted(set(self.images.values()))
        return {size: self.training.promise(size).repeated(times, rounds) for size in sizes}

    @property
    def tight(self) -> bool:
        """Whether epsilon is computed by privacy loss distributions for every number of images."""
        return len(self.by_size) <= MOST_TIGHT

    @part
    def epsilons(self) -> Mapping[int, float]:
        """Epsilon by the number of images; by Rényi divergences where there are very many numbers."""
        delta = self.training.delta
        if not self.tight:
            return {size: epsilon_by_rdp(one.releases, delta) for size, one in self.by_size.items()}
        both = {size: one.spent(delta) for size, one in self.by_size.items()}
        return {size: rdp if pld is None else min(rdp, pld) for size, (rdp, pld) in both.items()}

    @property
    def worst(self) -> Promise:
        """The promise with the largest epsilon."""
        return self.by_size[max(self.epsilons, key=lambda size: self.epsilons[size])]
