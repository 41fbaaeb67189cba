"""Who is malicious, and in which rounds."""

from collections.abc import Sequence

from fedrobust.config import ConfigError, Poisoning
from fedrobust.randomness import Purpose, generator
from fedrobust.shares import exact, round_half_up


def malicious_clients(settings: Poisoning, clients: int, seed: int) -> tuple[int, ...]:
    """Return the partitions of the malicious clients, ascending.

    A share or a number is drawn with the study's seed; a larger one holds those of a smaller one.

    Args:
        settings: the study's ``[poisoning]``.
        clients: how many there are.
        seed: the study's.

    Raises:
        ConfigError: there are fewer clients than that, or none of that number.

    Example:
        >>> few = malicious_clients(Poisoning(attack="sign-flip", malicious=0.2), 10, seed=0)
        >>> more = malicious_clients(Poisoning(attack="sign-flip", malicious=4), 10, seed=0)
        >>> len(few), len(more), set(few) < set(more)
        (2, 4, True)
    """
    wanted = settings.malicious
    if isinstance(wanted, Sequence):
        strangers = [partition for partition in wanted if partition >= clients]
        if strangers:
            raise ConfigError(
                f"poisoning.malicious = {list(wanted)}: there is no client {strangers[0]}, only 0 to {clients - 1}"
            )
        return tuple(sorted(wanted))
    count = wanted if isinstance(wanted, int) else round_half_up(exact(wanted) * clients)
    if count > clients:
        raise ConfigError(f"poisoning.malicious = {wanted}: there are {clients} clients")
    order = generator(seed, Purpose.POISONING).permutation(clients)
    return tuple(sorted(int(partition) for partition in order[:count]))


def attacks_in(settings: Poisoning, round: int) -> bool:
    """Return whether malicious clients attack in `round` (from 1); in other rounds they are honest.

    Example:
        >>> late = Poisoning(attack="sign-flip", malicious=1, first_round=3, every=2)
        >>> [round for round in range(1, 9) if attacks_in(late, round)]
        [3, 5, 7]
    """
    if settings.attack == "none" or round < settings.first_round:
        return False
    if settings.last_round and round > settings.last_round:
        return False
    return (round - settings.first_round) % settings.every == 0
