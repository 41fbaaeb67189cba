"""The contract of postprocessors, and their registry.

A postprocessor is a frozen dataclass of settings with one or both of these methods:

``client(update, generator)``
    returns the update that an honest client sends instead of its `update` (d,) float32. Malicious clients ignore it.
``server(update, generator)``
    returns the transformed aggregated `update` (d,) float32, before algorithm and server optimiser.

`generator` is that of the round, and at a client that of the client. BatchNorm statistics are not changed.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from fedrobust.registry import Registry

POSTPROCESSORS = Registry("postprocessor", "fedrobust.privacy")

Postprocessor: TypeAlias = Any
"""A frozen dataclass with one or both of the methods above."""


def at_client(
    postprocessors: Sequence[Postprocessor], update: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return a client's `update` (d,) float32 after all postprocessors, in order."""
    return _each("client", postprocessors, update, generator)


def at_server(
    postprocessors: Sequence[Postprocessor], update: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return the aggregated `update` (d,) float32 after all postprocessors, in order."""
    return _each("server", postprocessors, update, generator)


def _each(
    side: str, postprocessors: Sequence[Postprocessor], update: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    for one in postprocessors:
        if hasattr(one, side):
            update = np.asarray(getattr(one, side)(update, generator), np.float32)
    return update
