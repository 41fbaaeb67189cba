"""The searches of an attack at one epsilon: one, and more where a model that answers at random rejects adversaries."""

from collections.abc import Iterator

import numpy as np

from fedrobust.evasion.search_state import SearchState

SEARCHES = 3
"""Most searches at one epsilon."""

OUTWARDS = (1.05, 1.1, 1.25, 1.5, 2.0)
"""Multiples of its distance from the clean image at which a rejected adversary of a minimum-norm attack is tried."""


def searches(state: SearchState) -> Iterator[None]:
    """Yield once; where the target averages passes, again for the images whose adversaries are rejected.

    After each search further passes decide of each image whether the best is an adversary. One that they reject is
    tried again farther from the clean image, if the norm is minimised, and else searched for again.
    """
    for search in range(SEARCHES):
        if search:
            state.begin_search()
        if len(state):
            yield
        if state.passes == 1:
            return
        rows = np.flatnonzero(~state.sure & ~np.isneginf(state.score))
        found = state.broken[rows]
        if len(rows):
            state.decide(rows)
        state.open[:] = False
        state.open[rows[found & ~state.broken[rows]]] = True
        if state.minimize_norm:
            _move_outwards(state)
        if not state.open.any():
            return


def _move_outwards(state: SearchState) -> None:
    """Put the nearest confirmed adversary behind a rejected one in its place, if there is one."""
    for factor in OUTWARDS:
        rows = np.flatnonzero(state.open)
        if not len(rows):
            return
        state.open[state.moved(rows, factor)] = False
