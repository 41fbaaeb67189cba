"""Several global models in one round loop, concatenated in the vectors of the one model that is evaluated."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np

from fedrobust.models.layout import Layout, Weights

T = TypeVar("T")


@dataclass(frozen=True)
class GlobalModels:
    """The concatenation of several global models' vectors into those of one, such as a voting ensemble.

    Attributes:
        layouts: of each model, in order; with a single one nothing is copied.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> each = Layout((Entry("kernel", (2,), "trainable"), Entry("moving_mean", (1,), "statistic")))
        >>> two = GlobalModels((each, each))
        >>> whole = Weights(np.arange(4, dtype=np.float32), np.arange(2, dtype=np.float32))
        >>> [one.trainable.tolist() for one in two.split(whole)]
        [[0.0, 1.0], [2.0, 3.0]]
        >>> two.joined(two.split(whole)).digest() == whole.digest()
        True
    """

    layouts: tuple[Layout, ...]

    def split(self, weights: Weights) -> tuple[Weights, ...]:
        """Return the weights of each model, as views of those of all."""
        if len(self.layouts) == 1:
            return (weights,)
        trainable = _cuts(layout.parameters for layout in self.layouts)
        statistics = _cuts(layout.statistics for layout in self.layouts)
        return tuple(
            Weights(weights.trainable[a:b], weights.statistics[c:d])
            for (a, b), (c, d) in zip(trainable, statistics, strict=True)
        )

    def joined(self, models: Sequence[Weights]) -> Weights:
        """Return the weights of all models as those of one; unchanged if there is one."""
        if len(models) == 1:
            return models[0]
        return Weights(
            np.concatenate([model.trainable for model in models]),
            np.concatenate([model.statistics for model in models]),
        )

    def memory_of(self, memory: Mapping[str, np.ndarray], model: int) -> dict[str, np.ndarray]:
        """Return the state of one model's aggregation, from that of all."""
        if len(self.layouts) == 1:
            return dict(memory)
        start = f"model-{model}/"
        return {name.removeprefix(start): array for name, array in memory.items() if name.startswith(start)}

    def joined_memory(self, memories: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return the state of all models' aggregation."""
        if len(memories) == 1:
            return dict(memories[0])
        return {
            f"model-{model}/{name}": array
            for model, memory in enumerate(memories)
            for name, array in memory.items()
        }


def _cuts(sizes: Iterable[int]) -> list[tuple[int, int]]:
    return list(pairwise(accumulate(sizes, initial=0)))


def shared_out(items: Iterable[T], owner: Callable[[T], int], owners: int) -> list[Iterator[T]]:
    """Return one iterator for each of `owners` over its own `items`, which are taken one by one.

    Items of other owners are kept until their iterator is read. Items without an owner go to the first.

    Args:
        items: an iterable, such as arriving replies.
        owner: returns an item's owner, from 0; -1: none.
        owners: number of owners.

    Example:
        >>> odd, even = shared_out(iter(range(1, 6)), lambda number: (number + 1) % 2, 2)
        >>> list(even), list(odd)
        ([2, 4], [1, 3, 5])
    """
    if owners == 1:
        return [iter(items)]
    source, waiting = iter(items), [list[T]() for _ in range(owners)]

    def of(mine: int) -> Iterator[T]:
        while True:
            if waiting[mine]:
                yield waiting[mine].pop(0)
                continue
            for item in source:
                its = max(0, owner(item))
                if its == mine:
                    yield item
                    break
                waiting[its].append(item)
            else:
                return

    return [of(mine) for mine in range(owners)]
