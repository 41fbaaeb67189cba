"""The inverse of accounting: the noise multiplier with which Gaussian mechanisms reach a given epsilon."""

import math
from dataclasses import replace

from fedrobust.memoize import memoize
from fedrobust.privacy.accounting import COARSE, LOOSE_GOAL, Releases, epsilon_by_pld, epsilon_by_rdp, spent

CLOSE = 1e-6
"""How far the epsilon of the noise may be below the wanted one."""

WIDE = 0.35
"""Factor in logarithms between two noise multipliers that are tried while the root is bracketed."""


@memoize(keep=256)
def calibrated(epsilon: float, delta: float, releases: Releases) -> float:
    """Return the smallest noise multiplier with which `releases` have at most `epsilon` at `delta`.

    Their epsilon is the smaller bound of `spent`, as it is reported, and with this noise at most 1e-6 below the wanted
    one. dp-accounting's ``calibrate_dp_mechanism`` does the same for one accountant, to 1e-6 of the noise.

    Args:
        epsilon: above 0.
        delta: of the promise.
        releases: their own noise multiplier does not matter.

    Example:
        >>> one = Releases(1.0, 20, "all", 1.0)
        >>> noise = calibrated(8.0, 1e-3, one)
        >>> found = min(spent(replace(one, noise_multiplier=noise), 1e-3))
        >>> 8.0 - 1e-6 <= found <= 8.0
        True
    """
    # Imported here, so that a study without privacy does not wait for it.
    from scipy.optimize import brentq

    def at(log_noise: float) -> Releases:
        return replace(releases, noise_multiplier=math.exp(log_noise))

    def rough(log_noise: float) -> float:
        pld = None if epsilon > LOOSE_GOAL else epsilon_by_pld(at(log_noise), delta, COARSE)
        return math.log(max(epsilon_by_rdp(at(log_noise), delta) if pld is None else pld, 1e-300) / epsilon)

    def excess(log_noise: float) -> float:
        if epsilon > LOOSE_GOAL:
            return epsilon_by_rdp(at(log_noise), delta) - epsilon
        rdp, pld = spent(at(log_noise), delta)
        return (rdp if pld is None else min(rdp, pld)) - epsilon

    low = high = math.log(releases.rate * math.sqrt(2 * releases.count * math.log(1.25 / delta)) / epsilon)
    while rough(high) > 0:
        low, high = high, high + WIDE
    while rough(low) <= 0:
        low, high = low - WIDE, low
    # In wide intervals of privacy loss, which are ten times as fast, to the place where the narrow ones begin.
    log_noise = float(brentq(rough, low, high, xtol=1e-9))
    slope = epsilon * (rough(log_noise + 1e-3) - rough(log_noise - 1e-3)) / 2e-3
    found = excess(log_noise)
    for _ in range(10):
        if -CLOSE <= found <= 0:
            break
        log_noise -= (found + CLOSE / 2) / slope
        found = excess(log_noise)
    while found > 0:
        log_noise += CLOSE
        found = excess(log_noise)
    return math.exp(log_noise)
