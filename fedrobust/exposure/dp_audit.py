"""A one-run audit of a study's mechanism of differential privacy: of clients here, of images in `image_canaries`.

The canary clients' updates are the worst case that clipping allows: each lies in a coordinate of its own, far longer
than the clipping norm, in every round. They pass through the study's own postprocessors, in as many rounds as the study
has; no model is trained. So the claim of the mechanism as it runs is audited, not only the accounting.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from fedrobust.evaluation.intervals import Interval
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.one_run_audit import Guesses, guesses, lower_bound
from fedrobust.privacy import Counted, Postprocessor, at_client, at_server, on_arrival
from fedrobust.privacy.contract import State
from fedrobust.privacy.promise import Promise
from fedrobust.runs.record.leakage import PrivacyAuditRecord

CANARIES = 1000
"""Canary clients, each in the federation with probability one half."""

QUIET = 4000
"""Coordinates without canaries, in which the noise is measured."""

LENGTH = 1000.0
"""Norm of a canary's update, in clipping norms."""

SHARES = (1.0, 0.5, 0.2, 0.1, 0.05)
"""Shares of the canaries on which the audit may guess, the most and the least certain ones."""

NOISE_CONFIDENCE = 0.999


class Audited(Protocol):
    """A mechanism as an audit sees it."""

    @property
    def promise(self) -> Promise:
        """What is claimed."""

    @property
    def rate(self) -> float:
        """Probability that a unit is in a release."""

    @property
    def claimed_noise(self) -> float:
        """The noise of a release that the promise implies, in clipping norms."""

    def sums(self, canaries: int, included: NDArray[np.bool_], draw: np.random.Generator) -> Floats:
        """Return a score of each canary, (m,), from all that was released: the higher, the likelier included."""

    def noise(self, draw: np.random.Generator) -> tuple[float, Interval] | None:
        """Return the measured noise in clipping norms, and its interval; None where it cannot be measured."""


@dataclass(frozen=True)
class Mechanism:
    """A mechanism of client-level differential privacy as it runs in a study.

    Attributes:
        postprocessors: of the study.
        promise: of the study.
        rate: probability that a client of the federation is in a round.
        replies: clients in a round, or their expected number.
    """

    postprocessors: Sequence[Postprocessor]
    promise: Promise
    rate: float
    replies: float

    def sums(self, canaries: int, included: np.ndarray, draw: np.random.Generator) -> Floats:
        """Return the scores of the canaries: their own coordinates of the released sums, added over the rounds.

        Each round counts in units of the norm that the mechanism let pass of a canary.

        Args:
            canaries: their number m.
            included: whether each is in the federation, (m,).
            draw: of sampling and noise.
        """
        scores, width = np.zeros(canaries), canaries + 1
        memory: State = {}
        for _ in range(self.promise.releases.count):
            replies, unchanged, passed, total = 0, 0, 0.0, np.zeros(width)
            for place in np.flatnonzero(included & (draw.random(canaries) < self.rate)):
                update = np.zeros(width, np.float32)
                update[place] = LENGTH * self.promise.clip
                sent = at_client(self.postprocessors, update, draw)
                taken, same = on_arrival(self.postprocessors, sent, memory)
                replies, unchanged, passed = replies + 1, unchanged + same, max(passed, float(taken[place]))
                total += taken
            mean = (total / max(replies, 1)).astype(np.float32)
            after, memory = at_server(self.postprocessors, mean, draw, Counted(replies, unchanged), memory)
            scores += np.asarray(after[:canaries], np.float64) * self.replies / (passed or 1.0)
        return scores

    def noise(self, draw: np.random.Generator) -> tuple[float, Interval]:
        """Return the standard deviation of the noise in one released sum, in clipping norms, and its interval.

        As many clients as are expected send updates of zeros.
        """
        clients, nothing = max(1, round(self.replies)), np.zeros(QUIET, np.float32)
        taken = [
            on_arrival(self.postprocessors, at_client(self.postprocessors, nothing, draw), {})[0]
            for _ in range(clients)
        ]
        mean = np.asarray(np.mean(taken, axis=0, dtype=np.float64), np.float32)
        after, _ = at_server(self.postprocessors, mean, draw, Counted(clients, clients), {})
        return deviation_interval(np.asarray(after, np.float64) * self.replies / self.promise.clip)

    @property
    def claimed_noise(self) -> float:
        """The noise of a sum that the promise implies, in clipping norms."""
        shares = math.sqrt(self.replies) if self.promise.noise == "local" else 1.0
        return self.promise.releases.noise_multiplier * shares


def deviation_interval(drawn: Floats) -> tuple[float, Interval]:
    """Return the standard deviation of Gaussian numbers of mean 0, and its interval at 99.9 %.

    Example:
        >>> deviation_interval(np.zeros(10))
        (0.0, (0.0, 0.0))
    """
    n, squares, tail = len(drawn), float(np.square(drawn).sum()), (1 - NOISE_CONFIDENCE) / 2
    # `chdtri(k, p)` is the value above which a chi-square of k degrees of freedom lies with probability p.
    interval = math.sqrt(squares / chdtri(n, tail)), math.sqrt(squares / chdtri(n, 1 - tail))
    return math.sqrt(squares / n), interval


def guess_share(mechanism: Audited, noise: float, canaries: int, delta: float, seed: int) -> float:
    """Return the share of canaries to guess on that gives the best bound for a Gaussian mechanism.

    It is chosen from simulated scores, before the audit's own are seen: otherwise the bound would not hold.

    Args:
        mechanism: gives the number of releases, and the probability that a unit is in one.
        noise: of a release, in clipping norms: measured, or else claimed.
        canaries: their number m.
        delta: of the bound.
        seed: of the simulation.
    """
    draw, rounds = np.random.default_rng([seed, 1]), mechanism.promise.releases.count
    included = draw.random(canaries) < 0.5
    present = draw.binomial(rounds, mechanism.rate, canaries) * included
    scores = present + draw.normal(size=canaries) * noise * math.sqrt(rounds)
    bounds = [lower_bound(guesses(scores, included, round(share * canaries)), delta) for share in SHARES]
    return SHARES[int(np.argmax(bounds))]


def audited(
    mechanism: Audited, delta: float, seed: int, canaries: int = CANARIES, claimed: float | None = None
) -> PrivacyAuditRecord:
    """Return a lower bound of a mechanism's epsilon at 95 %, beside the claimed one.

    The bound is for a delta so small that it costs the bound little, 1 / (100 m) for m canaries; the claim is that of
    the same mechanism at this delta.

    Args:
        mechanism: as it runs.
        delta: of the promise.
        seed: of everything random.
        canaries: their number m.
        claimed: epsilon at the audit's delta; None: what the promise computes.
    """
    began, small = time.perf_counter(), min(delta, 0.01 / canaries)
    if claimed is None:
        rdp, pld = mechanism.promise.spent(small)
        claimed = rdp if pld is None else min(rdp, pld)
    wanted = mechanism.claimed_noise
    noise, interval = mechanism.noise(np.random.default_rng([seed, 3])) or (None, None)
    share = guess_share(mechanism, wanted if noise is None else noise, canaries, small, seed)
    draw = np.random.default_rng([seed, 2])
    included = draw.random(canaries) < 0.5
    found = guesses(mechanism.sums(canaries, included, draw), included, round(share * canaries))
    bound = lower_bound(found, small)
    return PrivacyAuditRecord(
        unit=mechanism.promise.unit,
        mechanism=mechanism.promise.mechanism,
        claimed=claimed,
        delta=small,
        canaries=canaries,
        guesses=found.made,
        right=found.right,
        bound=bound,
        ceiling=lower_bound(Guesses(canaries, canaries, canaries), small),
        noise=noise,
        noise_interval=interval,
        noise_claimed=wanted,
        caught=bool(bound > claimed or (interval is not None and interval[1] < wanted)),
        seconds=time.perf_counter() - began,
    )
