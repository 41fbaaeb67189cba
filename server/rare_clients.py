"""Clients whose class distribution is unlike the federation's."""

import numpy as np

RARE = 0.3
"""Total variation distance to the federation's class distribution from which a client's counts as unusual."""


def rare_clients(counts: np.ndarray | None, malicious: tuple[int, ...]) -> list[int]:
    """Return the honest clients whose class distribution is far from the federation's.

    A rule that rejects outliers may reject them, too: their false positive rate is reported separately.

    Args:
        counts: (clients, classes) images; None if not counted.
        malicious: clients that are excluded.
    """
    if counts is None:
        return []
    apart = np.abs(counts / counts.sum(1, keepdims=True) - counts.sum(0) / counts.sum()).sum(1) / 2
    return [int(client) for client in np.flatnonzero(apart >= RARE) if client not in set(malicious)]
