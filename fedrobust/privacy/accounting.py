"""Privacy accounting: the epsilon of repeated Gaussian mechanisms, computed by the library dp-accounting."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

from fedrobust.errors import ConfigError
from fedrobust.memoize import memoize

MISSING = (
    "differential privacy is accounted by the package dp-accounting, which is not installed: pip install "
    '"fedrobust[privacy]"'
)

WHOLE = (*range(2, 65), 128, 256)
"""Orders of Rényi divergences that are fast to compute with Poisson sampling; fewer orders give a larger bound."""

CLOSE = 1e-3
"""How far noise is from the smallest that suffices, as a share of it."""

COARSE = 1e-3
"""Largest width of the intervals of privacy loss; the result is an upper bound at any width."""

FINEST = 1e-6
"""Smallest width: below it rounding errors of the composition add more than the width does."""

FINE = 20.0
"""Largest epsilon for which privacy loss distributions have the library's narrow intervals."""


LOOSE = 1000.0
"""Largest epsilon by Rényi divergences beside which privacy loss distributions are computed: their memory and time grow
with it, without a limit as noise gets small. An epsilon of this size promises nothing either way."""

LOOSE_GOAL = 400.0
"""Epsilon from which noise is computed by Rényi divergences alone: that by privacy loss distributions is up to half as
large, and `LOOSE` is not to lie between."""


@dataclass(frozen=True)
class Releases:
    """Gaussian mechanisms in sequence on the same data.

    Each releases a sum of vectors of norm at most C, with noise of standard deviation `noise_multiplier` times C in
    each coordinate.

    Attributes:
        noise_multiplier: z; 0 promises nothing.
        count: number of releases.
        sampling: which records are in each sum. "all": every one; "poisson": each with probability `rate`,
            independently; "without-replacement": `sampled` of `population`, drawn anew each time.
        rate: for "poisson".
        population: for "without-replacement".
        sampled: for "without-replacement".
        replace_one: neighbouring data sets differ in the value of one record, which may change a sum by 2 C. Otherwise
            one record is added or removed, which changes it by C. Always so for "without-replacement", whose theorem
            takes the number of records as known (Wang, Balle and Kasiviswanathan, 2019, arXiv:1808.00087, theorem 27).
    """

    noise_multiplier: float
    count: int
    sampling: Literal["all", "poisson", "without-replacement"] = "all"
    rate: float = 1.0
    population: int = 0
    sampled: int = 0
    replace_one: bool = False

    @property
    def adjacency(self) -> str:
        """The relation between neighbouring data sets in words."""
        replaced = self.replace_one or self.sampling == "without-replacement"
        return "replace one" if replaced else "add or remove one"

    def after(self, count: int) -> "Releases":
        """Return the first `count` releases."""
        return replace(self, count=count)

    def event(self) -> Any:
        """Return one release as an event of dp-accounting.

        The library's two accountants do not treat the replacement of a record alike: the one by Rényi divergences
        takes the noise relative to the change of the sum, the other relative to the clipping norm. Here the noise is
        always given relative to the change of the sum, to accountants of one added or removed record.
        """
        library = _library()
        if self.sampling == "poisson":
            return library.PoissonSampledDpEvent(self.rate, library.GaussianDpEvent(self.noise_multiplier))
        if self.sampling == "without-replacement":
            half = library.GaussianDpEvent(self.noise_multiplier / 2)
            return library.SampledWithoutReplacementDpEvent(self.population, self.sampled, half)
        return library.GaussianDpEvent(self.noise_multiplier / (2 if self.replace_one else 1))


def epsilon_by_rdp(releases: Releases, delta: float, orders: Sequence[float] | None = None) -> float:
    """Return an upper bound of epsilon by Rényi divergences (Mironov, 2017, arXiv:1702.07476); infinite without noise.

    Args:
        releases: Gaussian mechanisms.
        delta: of the promise.
        orders: of the divergences; None: the library's.

    Example:
        >>> round(epsilon_by_rdp(Releases(1.0, 20), delta=0.01), 1)
        21.9
    """
    if not releases.noise_multiplier:
        return math.inf
    if not releases.count:
        return 0.0
    from dp_accounting import NeighboringRelation, rdp

    wor = releases.sampling == "without-replacement"
    relation = NeighboringRelation.REPLACE_ONE if wor else NeighboringRelation.ADD_OR_REMOVE_ONE
    with _quiet():
        accountant = rdp.RdpAccountant(orders, relation)
        return float(accountant.compose(releases.event(), releases.count).get_epsilon(delta))


def epsilon_by_pld(releases: Releases, delta: float, width: float = 1e-4) -> float | None:
    """Return epsilon by privacy loss distributions (Koskela et al., 2020, arXiv:1906.03049), which is tight.

    Args:
        releases: Gaussian mechanisms; infinite without noise, None for sampling without replacement, whose privacy
            loss distribution is not known, and for an epsilon above `LOOSE`.
        delta: of the promise.
        width: of the intervals of privacy loss.
    """
    if releases.sampling == "without-replacement":
        return None
    if not releases.noise_multiplier:
        return math.inf
    if not releases.count:
        return 0.0
    _library()
    if epsilon_by_rdp(releases, delta) > LOOSE:
        return None
    from dp_accounting import pld

    with _quiet():
        accountant = pld.PLDAccountant(value_discretization_interval=width)
        return float(accountant.compose(releases.event(), releases.count).get_epsilon(delta))


def epsilon_together(all_releases: Iterable[Releases], delta: float) -> float:
    """Return the smaller bound of epsilon of several mechanisms on the same data; infinite if one has no noise.

    Args:
        all_releases: Gaussian mechanisms of different noise and sampling, none without replacement; neighbouring data
            sets differ in one record that is added or removed.
        delta: of the promise.

    Raises:
        ConfigError: dp-accounting is not installed.

    Example:
        >>> one = Releases(1.0, 10)
        >>> round(epsilon_together([one, one], 0.01), 2) == round(epsilon_together([one.after(20)], 0.01), 2)
        True
        >>> epsilon_together([], 0.01)
        0.0
    """
    counts: Counter[Releases] = Counter()
    for one in all_releases:
        counts[one.after(1)] += one.count
    counts = +counts
    if not counts:
        return 0.0
    if any(not one.noise_multiplier for one in counts):
        return math.inf
    _library()
    from dp_accounting import pld, rdp

    with _quiet():
        by_rdp = rdp.RdpAccountant()
        for one, count in counts.items():
            by_rdp.compose(one.event(), count)
        found = float(by_rdp.get_epsilon(delta))
        if found > LOOSE:
            return found

        def tight(width: float) -> float:
            by_pld = pld.PLDAccountant(value_discretization_interval=width)
            for one, count in counts.items():
                by_pld.compose(one.event(), count)
            return float(by_pld.get_epsilon(delta))

        width = width_for(found, counts.total())
        found = min(found, tight(width))
        finer = width_for(found, counts.total())
        return found if finer == width else min(found, tight(finer))


def spent(releases: Releases, delta: float) -> tuple[float, float | None]:
    """Return epsilon by Rényi divergences and by privacy loss distributions; the second is None where it is not known.

    For an epsilon above `FINE` the second is computed in wider intervals, which takes less time: still an upper bound.
    """
    rdp = epsilon_by_rdp(releases, delta)
    width = min(1e-4 if rdp <= FINE else COARSE, width_for(rdp, releases.count))
    pld = epsilon_by_pld(releases, delta, width)
    if pld is not None and (finer := width_for(pld, releases.count)) < width:
        pld = min(pld, epsilon_by_pld(releases, delta, finer) or math.inf)
    return rdp, pld


def width_for(epsilon: float, count: int) -> float:
    """Return the width of intervals of privacy loss whose error is about 0.1 % of `epsilon` after `count` releases.

    The error grows with the square of the width and with the number of releases (measured).

    Example:
        >>> width_for(4.0, 20), round(width_for(0.1, 5000), 6), width_for(1e-9, 5000)
        (0.001, 4.5e-05, 1e-06)
    """
    return max(FINEST, min(COARSE, math.sqrt(1e-4 * min(epsilon, LOOSE) / max(count, 1))))


@memoize(keep=256)
def noise_for(epsilon: float, delta: float, releases: Releases) -> float:
    """Return the smallest noise multiplier with which `releases` have at most `epsilon` at `delta`, to 0.1 %.

    Args:
        epsilon: above 0.
        delta: of the promise.
        releases: not sampled without replacement; their own noise multiplier does not matter.

    Example:
        >>> noise = noise_for(4.0, 1e-3, Releases(1.0, 1))
        >>> 3.9 < epsilon_by_pld(Releases(noise, 1), 1e-3) <= 4.0
        True
    """
    # Imported here, so that a study without privacy does not wait for it.
    from scipy.optimize import brentq

    orders = None if epsilon > LOOSE_GOAL else WHOLE
    width = width_for(epsilon, releases.count)

    def excess(log_noise: float, by_pld: bool) -> float:
        tried = replace(releases, noise_multiplier=math.exp(log_noise))
        spent = epsilon_by_rdp(tried, delta, orders)
        if by_pld and (tight := epsilon_by_pld(tried, delta, width)) is not None:
            spent = min(spent, tight)
        return math.log(max(spent, 1e-300) / epsilon)

    high = 0.0
    while excess(high, False) > 0:
        high += 0.7
    while excess(high - 0.7, False) <= 0:
        high -= 0.7
    if epsilon > LOOSE_GOAL:
        return math.exp(brentq(excess, high - 0.7, high, (False,), xtol=CLOSE / 2) + CLOSE / 2)
    # The bound by Rényi divergences is fast, and its noise is some per cent too large: the tight one is below.
    low = high - 1.4
    while excess(low, True) <= 0:
        low -= 0.7
    log_noise = brentq(excess, low, high, (True,), xtol=CLOSE / 2)
    while excess(log_noise, True) > 0:
        log_noise += CLOSE / 2
    return math.exp(log_noise)


def installed() -> bool:
    """Return whether dp-accounting is installed."""
    return find_spec("dp_accounting") is not None


def _library() -> Any:
    try:
        import dp_accounting
    except ImportError as error:
        raise ConfigError(MISSING) from error
    return dp_accounting


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's warnings of orders that it leaves out of a minimum from the terminal."""
    log = logging.getLogger("absl")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
