"""Line search for the strength of an attack that moves the aggregate farthest."""

from collections.abc import Callable, Iterable

import numpy as np

from fedrobust.vectors import length


def strongest(
    candidates: Iterable[float],
    sent: Callable[[float], np.ndarray],
    outcome: Callable[[np.ndarray], np.ndarray],
    honest_mean: np.ndarray,
    refinements: int = 8,
) -> float:
    """Return the strength whose aggregate lies farthest from the honest mean.

    All `candidates` are tried; then the gaps beside the best one are halved, again and again. The result is
    therefore never weaker than any candidate.

    Args:
        candidates: strengths to try, ascending or not.
        sent: strength to the update that malicious clients send (d,).
        outcome: that update to the server's aggregate (d,).
        honest_mean: (d,).
        refinements: how often the gaps are halved.
    """
    tried: dict[float, float] = {}

    def harm(strength: float) -> float:
        if strength not in tried:
            apart = outcome(sent(strength)).astype(np.float64) - honest_mean
            far = length(apart)
            # A model that is not finite is kept back by the server: nothing was moved.
            tried[strength] = far if np.isfinite(far) else -1.0
        return tried[strength]

    best = max(candidates, key=harm)
    for _ in range(refinements):
        known = sorted(tried)
        place = known.index(best)
        beside = [known[i] for i in (place - 1, place + 1) if 0 <= i < len(known)]
        best = max([best, *((best + other) / 2 for other in beside)], key=harm)
    return best
