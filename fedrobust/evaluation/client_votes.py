"""Majority votes of models that disjoint groups of clients trained, and how many malicious clients they withstand."""

import numpy as np
from numpy.typing import NDArray

from fedrobust.randomness import Purpose, generator

Classes = NDArray[np.integer]
"""Classes, or numbers of clients, one an image."""


def groups_of(clients: int, groups: int, seed: int) -> list[list[int]]:
    """Return a seeded division of clients into `groups`, whose sizes differ by one at most.

    The division may depend on nothing that clients choose: FLCert hashes their names, this draws their places.

    Example:
        >>> sorted(map(len, groups_of(10, 4, seed=0)))
        [2, 2, 3, 3]
    """
    order = generator(seed, Purpose.CLIENT_GROUPS).permutation(clients)
    return [sorted(int(client) for client in part) for part in np.array_split(order, groups)]


def majority(answers: Classes, classes: int) -> Classes:
    """Return the most frequent class of each image, the smallest of equally frequent ones.

    Args:
        answers: (models, n), the class that each model gives to each image.
        classes: number of classes.

    Example:
        >>> majority(np.array([[0, 2], [1, 2], [1, 0], [0, 1]]), 3).tolist()
        [0, 2]
    """
    return _votes(answers, classes).argmax(axis=1)


def certified_clients(answers: Classes, classes: int) -> Classes:
    """Return the number of malicious clients, wherever they are, that cannot change the majority of an image.

    FLCert-D (Cao et al., 2022, arXiv:2210.00584, theorem 1): each client is in one group, so that m of them change m
    votes at most. With the majority y and another class z, of v_y and v_z votes, that leaves y the majority if
    v_y - m > v_z + m, or equals it and y is the smaller class. Hence the smallest of
    floor((v_y - v_z - [y > z]) / 2) over all z.

    Args:
        answers: (models, n), the class that each model gives to each image.
        classes: number of classes.

    Example:
        >>> certified_clients(np.array([[0, 0, 1], [0, 0, 1], [0, 1, 0], [0, 1, 1]]), 2).tolist()
        [2, 0, 0]
    """
    votes = _votes(answers, classes)
    chosen = votes.argmax(axis=1)
    rows = np.arange(len(votes))
    lead = votes[rows, chosen][:, None] - votes - (chosen[:, None] > np.arange(classes))
    lead[rows, chosen] = 2 * len(answers) + 2  # no rival of itself
    return np.asarray(lead.min(axis=1) // 2)


def _votes(answers: Classes, classes: int) -> Classes:
    """Return the number of votes, (n, classes)."""
    return np.stack([(answers == place).sum(axis=0) for place in range(classes)], axis=1)
