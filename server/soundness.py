"""Sanity checks of replies and global models, with and without attackers.

A real federation does not know its attackers, and a faulty client does as much harm. These checks therefore run in
every study, on every reply and every new global model. Each returns why the numbers cannot be used, or "".
"""

from collections.abc import Mapping

import numpy as np

from fedrobust.models.layout import Layout, Weights
from server.replies import all_finite

LARGEST_MEAN = 1e6
"""Largest moving mean that is accepted. Images reach 255, and activations in training are smaller."""

LARGEST_VARIANCE = LARGEST_MEAN**2

LARGEST_UPDATE = 1e6
"""Largest number of an aggregated update that a server optimiser is given: it remembers it for hundreds of rounds. So
does an algorithm what clients send beside weights."""


def statistics_fault(statistics: np.ndarray, layout: Layout) -> str:
    """Return why `statistics` (statistics,) cannot be BatchNorm's, "" if they can.

    A variance is not negative, and neither mean nor variance exceeds what activations reach. Other untrained numbers
    (an own network's counters) are only checked to be finite, where they are read.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> names = ("norm/moving_mean", "norm/moving_variance")
        >>> layout = Layout(tuple(Entry(name, (2,), "statistic") for name in names))
        >>> statistics_fault(np.array([0.1, -0.1, 1.0, 0.0], np.float32), layout)
        ''
        >>> statistics_fault(np.array([0.1, -0.1, 1.0, -0.5], np.float32), layout)
        'statistics: 1 of 2 moving variances are negative'
        >>> statistics_fault(np.array([0.1, -1e20, 1.0, 0.5], np.float32), layout)
        'statistics: a moving mean of -1e+20, no more than 1e+06 either way is believed'
    """
    variances = statistics[layout.places("variance")]
    negative = int((variances < 0).sum())
    if negative:
        return f"statistics: {negative} of {len(variances)} moving variances are negative"
    for name, values, limit in (
        ("mean", statistics[layout.places("moving_mean")], LARGEST_MEAN),
        ("variance", variances, LARGEST_VARIANCE),
    ):
        beyond = values[np.abs(values) > limit]
        if len(beyond):
            most = f"no more than {limit:.0e}{' either way' if name == 'mean' else ''} is believed"
            return f"statistics: a moving {name} of {beyond[0]:.3g}, {most}"
    return ""


def beside_fault(beside: np.ndarray) -> str:
    """Return why what a client sends `beside` (n,) its weights cannot be used, "" if it can."""
    largest = float(np.abs(beside).max(initial=0.0))
    if largest <= LARGEST_UPDATE:
        return ""
    return f"beside its weights it sends a number of {largest:.3g}, no more than {LARGEST_UPDATE:.0e} is believed"


def weights_fault(weights: Weights, layout: Layout) -> str:
    """Return why `weights` cannot be those of the global model, "" if they can."""
    for name, vector in (("weights", weights.trainable), ("statistics", weights.statistics)):
        if not all_finite(vector):
            return f"{vector.size - int(np.isfinite(vector).sum())} of its {name} are not finite"
    return statistics_fault(weights.statistics, layout)


def update_fault(update: np.ndarray) -> str:
    """Return why a server optimiser must not see the aggregated `update` (parameters,), "" if it may."""
    largest = float(np.abs(update).max(initial=0.0))
    if largest <= LARGEST_UPDATE:  # NaN is not
        return ""
    return (
        f"the aggregated update has numbers of {largest:.3g}, more than {LARGEST_UPDATE:.0e}: the server optimiser "
        "would remember them"
    )


def memory_fault(memory: Mapping[str, np.ndarray]) -> str:
    """Return why what a rule and the server optimiser remember cannot be used again, "" if it can."""
    for name, array in memory.items():
        # A rule may mark what it does not know yet by NaN; infinity comes of nothing but an overflow.
        if np.issubdtype(array.dtype, np.floating) and np.isinf(array).any():
            return f"what is remembered of it as {name} is not finite"
    return ""
