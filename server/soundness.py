"""Sanity checks of replies and global models, with and without attackers.

A real federation does not know its attackers, and a faulty client does as much harm. These checks therefore run in
every study, on every reply and every new global model. Each returns why the values are unusable, or "".
"""

from collections.abc import Mapping

import numpy as np

from fedrobust.models.layout import Kind, Layout, Weights
from server.not_finite import all_finite

LARGEST_MEAN = 1e6
"""Largest accepted moving mean. Images reach 255; activations in training are smaller."""

LARGEST_VARIANCE = LARGEST_MEAN**2

LARGEST_UPDATE = 1e6
"""Largest accepted value of an aggregated update with a server optimiser, and of arrays beside weights: both enter a
state that lasts for hundreds of rounds."""


def statistics_fault(statistics: np.ndarray, layout: Layout) -> str:
    """Return why `statistics` (statistics,) are impossible for BatchNorm, "" if they are possible.

    Variances are not negative, and means and variances do not exceed plausible activations. Other untrained values (a
    counter of a user's network) are only checked to be finite, when they are read.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> names = ("norm/moving_mean", "norm/moving_variance")
        >>> layout = Layout(tuple(Entry(name, (2,), "statistic") for name in names))
        >>> statistics_fault(np.array([0.1, -0.1, 1.0, 0.0], np.float32), layout)
        ''
        >>> statistics_fault(np.array([0.1, -0.1, 1.0, -0.5], np.float32), layout)
        'statistics: 1 of 2 moving variances are negative, the first in norm/moving_variance'
        >>> statistics_fault(np.array([0.1, -1e20, 1.0, 0.5], np.float32), layout)
        'statistics: a moving mean of -1e+20, no more than 1e+06 either way is believed, the first in norm/moving_mean'
    """
    variances = statistics[layout.places("variance")]
    negative = int((variances < 0).sum())
    if negative:
        where = layout.first_of("statistic", layout.places("variance")[variances < 0])
        return f"statistics: {negative} of {len(variances)} moving variances are negative{where}"
    for name, places, limit in (
        ("mean", layout.places("moving_mean"), LARGEST_MEAN),
        ("variance", layout.places("variance"), LARGEST_VARIANCE),
    ):
        values = statistics[places]
        far = np.abs(values) > limit
        if far.any():
            most = f"no more than {limit:.0e}{' either way' if name == 'mean' else ''} is believed"
            where = layout.first_of("statistic", places[far])
            return f"statistics: a moving {name} of {values[far][0]:.3g}, {most}{where}"
    return ""


def beside_fault(beside: np.ndarray) -> str:
    """Return why a client's arrays `beside` (n,) weights are unusable, "" if they are usable."""
    largest = float(np.abs(beside).max(initial=0.0))
    if largest <= LARGEST_UPDATE:
        return ""
    return f"beside its weights it sends a number of {largest:.3g}, no more than {LARGEST_UPDATE:.0e} is believed"


def weights_fault(weights: Weights, layout: Layout) -> str:
    """Return why `weights` are unusable for the global model, "" if they are usable."""
    both: tuple[tuple[str, np.ndarray, Kind], ...] = (
        ("weights", weights.trainable, "trainable"),
        ("statistics", weights.statistics, "statistic"),
    )
    for name, vector, kind in both:
        if not all_finite(vector):
            bad = np.flatnonzero(~np.isfinite(vector))
            return f"{len(bad)} of its {name} are not finite{layout.first_of(kind, bad)}"
    return statistics_fault(weights.statistics, layout)


def update_fault(update: np.ndarray) -> str:
    """Return why the aggregated `update` (parameters,) is unusable for a server optimiser, "" if it is usable."""
    largest = float(np.abs(update).max(initial=0.0))
    if largest <= LARGEST_UPDATE:  # NaN is not
        return ""
    return (
        f"the aggregated update has numbers of {largest:.3g}, more than {LARGEST_UPDATE:.0e}: the server optimiser "
        "would remember them"
    )


def memory_fault(memory: Mapping[str, np.ndarray]) -> str:
    """Return why the state of rules and server optimiser is unusable, "" if it is usable."""
    for name, array in memory.items():
        # A rule may mark unknown values by NaN; infinity results only from an overflow.
        if np.issubdtype(array.dtype, np.floating) and np.isinf(array).any():
            return f"what is remembered of it as {name} is not finite"
    return ""
