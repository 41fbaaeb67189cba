"""The states of rule, algorithm, server optimiser and colluding clients in one mapping, each under a prefix."""

import numpy as np

from fedrobust.aggregation import Memory


def memory_of(memory: Memory, whose: str) -> dict[str, np.ndarray]:
    """Return copies of the arrays under the prefix `whose`: a rejected round must not change the originals.

    Example:
        >>> list(memory_of({"rule/center": np.zeros(1), "optimizer/velocity": np.ones(1)}, "rule"))
        ['center']
    """
    start = f"{whose}/"
    return {
        name.removeprefix(start): array.copy() for name, array in memory.items() if name.startswith(start)
    }


def with_memory(memory: Memory, whose: str, remembered: Memory) -> dict[str, np.ndarray]:
    """Return `memory` with the arrays under the prefix `whose` replaced by `remembered`.

    Example:
        >>> list(with_memory({"rule/old": np.zeros(1), "optimizer/velocity": np.ones(1)}, "rule", {"new": np.ones(1)}))
        ['optimizer/velocity', 'rule/new']
    """
    others = {name: array for name, array in memory.items() if not name.startswith(f"{whose}/")}
    return {**others, **{f"{whose}/{name}": np.array(array) for name, array in remembered.items()}}
