"""The clients that are drawn for a round, from random numbers."""

from collections.abc import Sequence

import numpy as np

from fedrobust.config.sections import Federation
from fedrobust.shares import sample_size


def sampled_clients(settings: Federation, members: Sequence[int], draw: np.random.Generator) -> list[int]:
    """Return the clients of a round, ascending; none if there are no members, or none of them is drawn.

    Args:
        settings: of ``[federation]``.
        members: the clients that may be drawn, ascending.
        draw: the random numbers of the round.

    Example:
        >>> sampled_clients(Federation(clients=4, participation=0.5), range(4), np.random.default_rng(0))
        [2, 3]
    """
    if not members:
        return []
    if settings.sampling == "fixed":
        return drawn_clients(settings.participation, members, draw)
    taken = draw.random(settings.clients)[members] < settings.participation
    return [int(client) for client in np.asarray(members)[taken]]


def drawn_clients(participation: float, members: Sequence[int], draw: np.random.Generator) -> list[int]:
    """Return a fixed number of `members`, drawn without replacement, ascending."""
    wanted = sample_size(participation, len(members))
    return sorted(int(client) for client in draw.choice(members, wanted, replace=False))
