"""The contract of postprocessors, and their registry.

A postprocessor is a frozen dataclass of settings with some of these methods:

``client(update, generator)``
    returns the update that an honest client sends instead of its `update` (d,) float32. Malicious clients ignore it.
``received(update, memory)``
    returns the update that the server takes in place of a reply's, malicious or not, and whether it was left as it is.
``server(update, generator)``
    returns the transformed aggregated `update` (d,) float32, before algorithm and server optimiser.
``release(mean, counted, memory, generator)``
    the same for a mechanism with a state: `mean` (d,) of the updates taken, `counted` their numbers (`Counted`);
    returns the update and the next state. ``memory`` is the state that it last returned, empty at first.
``model(weights, round, generator)``
    returns the global model's trained `weights` (d,) float32 after `round`, transformed: after algorithm and server
    optimiser. BatchNorm statistics are not among them.
``within(cohort)``
    returns the postprocessor with these methods for the clients of a study (`Cohort`); without it, it has them itself.
``promise``
    the `Promise` of differential privacy of the clients. With it, clients send neither BatchNorm statistics nor
    metrics of their images, and the server does not look for them.

`generator` is that of the round, and at a client that of the client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fedrobust.privacy.promise import Promise
from fedrobust.registry import Registry

POSTPROCESSORS = Registry("postprocessor", "fedrobust.privacy")

Postprocessor: TypeAlias = Any
"""A frozen dataclass with some of the methods above."""

State: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Counted:
    """The updates of a round that a mean was taken of.

    Attributes:
        replies: their number.
        unchanged: how many of them ``received`` left as they were.
    """

    replies: int
    unchanged: int = 0


def at_client(
    postprocessors: Sequence[Postprocessor], update: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return a client's `update` (d,) float32 after all postprocessors, in order."""
    for one in postprocessors:
        if hasattr(one, "client"):
            update = np.asarray(one.client(update, generator), np.float32)
    return update


def on_arrival(
    postprocessors: Sequence[Postprocessor], update: np.ndarray, memory: State
) -> tuple[np.ndarray, bool]:
    """Return what the server takes in place of a reply's `update` (d,) float32, and whether nothing changed it."""
    unchanged = True
    for one in postprocessors:
        if hasattr(one, "received"):
            update, same = one.received(update, memory)
            unchanged = unchanged and same
    return np.asarray(update, np.float32), unchanged


def looks_at_replies(postprocessors: Sequence[Postprocessor]) -> bool:
    """Return whether the server transforms single updates as they arrive."""
    return any(hasattr(one, "received") for one in postprocessors)


def changes_aggregates(postprocessors: Sequence[Postprocessor]) -> bool:
    """Return whether the server transforms the aggregated update."""
    return any(hasattr(one, "server") or hasattr(one, "release") for one in postprocessors)


def changes_models(postprocessors: Sequence[Postprocessor]) -> bool:
    """Return whether the server transforms the global model."""
    return any(hasattr(one, "model") for one in postprocessors)


def at_server(
    postprocessors: Sequence[Postprocessor],
    update: np.ndarray,
    generator: np.random.Generator,
    counted: Counted | None = None,
    memory: State | None = None,
) -> tuple[np.ndarray, State]:
    """Return the aggregated `update` (d,) float32 after all postprocessors, in order, and the next state.

    Args:
        postprocessors: at most one of them has a state.
        update: the aggregate.
        generator: of the round.
        counted: the updates that it is of.
        memory: the last state.
    """
    memory = memory or {}
    for one in postprocessors:
        if hasattr(one, "release"):
            update, memory = one.release(update, counted or Counted(1), memory, generator)
        elif hasattr(one, "server"):
            update = one.server(update, generator)
        update = np.asarray(update, np.float32)
    return update, memory


def on_model(
    postprocessors: Sequence[Postprocessor], weights: np.ndarray, round: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the global model's trained `weights` (d,) float32 after all postprocessors of `round`, in order."""
    for one in postprocessors:
        if hasattr(one, "model"):
            weights = np.asarray(one.model(weights, round, generator), np.float32)
    return weights


def promise_of(postprocessors: Sequence[Postprocessor]) -> Promise | None:
    """Return the promise of differential privacy of the clients; None if there is none."""
    promises = (getattr(one, "promise", None) for one in postprocessors)
    return next((one for one in promises if one is not None), None)
