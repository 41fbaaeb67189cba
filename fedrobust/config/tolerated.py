"""The malicious clients of a study, and how many of them its rules tolerate."""

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
    Hypergeometric(N, m, n), for n of N clients in a round and m malicious ones.

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
    from scipy.stats import hypergeom

    return int(hypergeom.ppf(federation.tolerate_quantile, federation.clients, malicious, sampled))
