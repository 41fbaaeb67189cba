"""Who is malicious, and in which rounds."""

from typing import Protocol

from fedrobust.errors import ConfigError
from fedrobust.randomness import Purpose, generator
from fedrobust.shares import exact, round_half_up


class Schedule(Protocol):
    """What is asked of a study's ``[poisoning]``: which attack there is, from which round to which, and how often.

    ``last_round`` = 0 has no end.
    """

    @property
    def attack(self) -> str:
        """The attack as the study names it."""
        ...

    @property
    def first_round(self) -> int:
        """The round in which the attack begins, from 1."""
        ...

    @property
    def last_round(self) -> int:
        """The round in which it ends."""
        ...

    @property
    def every(self) -> int:
        """Rounds between two attacks."""
        ...


def malicious_clients(wanted: int | float | tuple[int, ...], clients: int, seed: int) -> tuple[int, ...]:
    """Return the partitions of the malicious clients, ascending.

    A share or a number is drawn with the study's seed; a larger one holds those of a smaller one.

    Args:
        wanted: their share, their number, or which they are.
        clients: how many there are.
        seed: the study's.

    Raises:
        ConfigError: there are fewer clients than that, or none of that number.

    Example:
        >>> few, more = malicious_clients(0.2, 10, seed=0), malicious_clients(4, 10, seed=0)
        >>> len(few), len(more), set(few) < set(more)
        (2, 4, True)
    """
    if isinstance(wanted, tuple):
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


def attacks_in(schedule: Schedule, round: int) -> bool:
    """Return whether malicious clients attack in `round` (from 1); in other rounds they are honest.

    Example:
        >>> from types import SimpleNamespace
        >>> late = SimpleNamespace(attack="sign-flip", first_round=3, last_round=0, every=2)
        >>> [round for round in range(1, 9) if attacks_in(late, round)]
        [3, 5, 7]
    """
    if schedule.attack == "none" or round < schedule.first_round:
        return False
    if schedule.last_round and round > schedule.last_round:
        return False
    return (round - schedule.first_round) % schedule.every == 0
