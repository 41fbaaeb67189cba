"""The malicious clients of a study, and how many of them its rules tolerate."""

from typing import Any

from fedrobust.config.sections import Federation, Poisoning
from fedrobust.poisoning import malicious_clients
from fedrobust.shares import exact, round_half_up, sample_size


def malicious_of(poisoning: Poisoning, clients: int, seed: int) -> tuple[int, ...]:
    """Return the ids of the malicious clients, ascending; empty without an attack.

    Raises:
        ConfigError: there are not as many clients.
    """
    return () if poisoning.attack == "none" else malicious_clients(poisoning.malicious, clients, seed)


def tolerated_of(federation: Federation, poisoning: Poisoning, seed: int) -> int:
    """Return the number of malicious clients in a round that the server's defence tolerates.

    The default is the mean number in a round, rounded up: the true number, an oracle, as is usual in comparisons of
    rules; the same study without its attack has the same number. With participation below 1 many rounds have more;
    ``federation.tolerate-quantile`` = 0.95 takes the smallest number that suffices in 95 % of them: the quantile of
    `in_a_round`.

    Raises:
        ConfigError: there are fewer clients than malicious ones.
    """
    sampled = sample_size(federation.participation, federation.clients)
    wanted = federation.tolerate
    if isinstance(wanted, int):
        return wanted
    if wanted is not None:
        return round_half_up(exact(wanted) * sampled)
    malicious = len(malicious_clients(poisoning.malicious, federation.clients, seed))
    if federation.tolerate_quantile is None:
        return -(-malicious * sampled // federation.clients)
    drawn = in_a_round(federation.sampling, federation.participation, federation.clients, malicious)
    return int(drawn.ppf(federation.tolerate_quantile))


def in_a_round(sampling: str, participation: float, clients: int, malicious: int) -> Any:
    """Return the distribution of the number of malicious clients in a round, as SciPy has them.

    With a fixed number of n clients it is Hypergeometric(N, m, n), with Poisson sampling Binomial(m, participation).

    Args:
        sampling: ``federation.sampling``.
        participation: share of the clients that are asked.
        clients: their number N.
        malicious: that of the malicious ones m.

    Example:
        >>> [round(float(in_a_round(each, 0.5, 4, 2).sf(1)), 4) for each in ("fixed", "poisson")]
        [0.1667, 0.25]
    """
    from scipy.stats import binom, hypergeom

    if sampling == "poisson":
        return binom(malicious, participation)
    return hypergeom(clients, malicious, sample_size(participation, clients))
