"""What a method of dividing images is, and the registry of methods."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.registry import Registry

Indices = NDArray[np.int64]
Labels = NDArray[np.integer[Any]]
Rng = np.random.Generator

PARTITIONS = Registry("partition")
"""Functions ``(labels, clients, rng, *, settings) -> shards``, one array of positions a client."""
