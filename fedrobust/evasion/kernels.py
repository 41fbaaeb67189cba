"""Arithmetic shared by attacks: random starts, selection of rows, likeliest wrong classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.rng import Keys, normal, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, column, lengths


def random_start(state: SearchState, keys: Keys, counter: int = 0) -> Images:
    """Return a random image within the threat model for each unbroken image: uniform in the linf or l2 ball."""
    shape = state.clean.shape[1:]
    if state.threat.norm == "linf":
        change = state.epsilon * (2 * uniform(keys, counter, shape) - 1)
    else:
        change = normal(keys, counter, shape)
        radius = uniform(keys, counter + 1, (1,))[:, 0] ** (1.0 / np.prod(shape))
        change = change * column(state.epsilon * radius / np.maximum(lengths(change), 1e-12))
    return state.threat.project(state.clean + change.astype(np.float32), state.clean, state.epsilon)


def kept(mask: np.ndarray, *states: Any) -> tuple[Any, ...]:
    """Return the rows of each array where `mask` (n,) is true; None stays None."""
    return tuple(None if state is None else state[mask] for state in states)


def likeliest_wrong(state: SearchState, most: int) -> Labels:
    """Return the k <= `most` likeliest wrong classes at each unbroken image's best image, (n, k), in that order."""
    others = state.answers.astype(np.float64)
    others[np.arange(len(state)), state.labels] = -np.inf
    count = min(most, state.target.classes - 1)
    return np.argsort(-others, axis=1, kind="stable")[:, :count].astype(np.int32)


def flat(images: Images) -> NDArray[np.float64]:
    """Return images as (n, values) float64."""
    return images.reshape(len(images), -1).astype(np.float64)
